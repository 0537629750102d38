"""Write ``.dvc/plots/vega.js``: with it the pages of ``dvc plots`` need no network."""

from pathlib import Path

import vl_convert

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / ".dvc/plots/vega.js"
VERSION = "5.21"
"""Of Vega-Lite: the schema that DVC's templates and ours name is its version 5."""


def main() -> None:
    """Write the bundle of Vega, Vega-Lite and Vega-Embed; its one name is ``vegaEmbed``."""
    snippet = "window.vegaEmbed = vegaEmbed;"
    bundle = vl_convert.javascript_bundle(snippet, vl_version=VERSION)
    BUNDLE.write_text(bundle, encoding="utf-8")


if __name__ == "__main__":
    main()
