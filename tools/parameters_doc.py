"""Write ``docs/parameters.md`` from the schemas and profiles; ``--check`` only compares."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from world_models.experiment import Extended
from world_models.origin.lock import leaves
from world_models.schema import merged, read_yaml

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/parameters.md"
HEAD = """# Parameters

Made by `python tools/parameters_doc.py` from the schemas in the code and the profiles in
`configs/`; `make check` fails when it is stale.

Every value lives once in `params.yaml`, as `<environment>.<stage>.<key>`; schemas hold no defaults.
Change one in the file, or for one experiment: `dvc exp run -S ENV.vae.learning_rate=3e-4`.
Merge a profile: `world-models profile NAME`. Where environments
differ, values stand in the order of `params.yaml`, with a slash between them. The stages
collect, joint and assess stand in parameters of experiments only, beside the others.
"""


def page() -> str:
    """The whole page, a table for each stage."""
    base = read_yaml(ROOT / "params.yaml")
    profiles = {p.stem: merged(base, read_yaml(p)) for p in sorted(ROOT.glob("configs/*.yaml"))}
    sections = ["\n".join(_section(stage, profiles)) for stage in Extended.model_fields]
    return "\n".join([HEAD, *sections]) + "\n"


def _section(stage: str, profiles: dict[str, Any]) -> Iterator[str]:
    schema = Extended.model_json_schema()["$defs"]
    model = Extended.model_fields[stage].annotation
    assert model is not None
    yield f"## {stage}\n"
    yield f"{(model.__doc__ or '').strip().splitlines()[0]}\n"
    names = [name for name, values in profiles.items() if any(stage in values[e] for e in values)]
    yield "".join(f"| {head} " for head in ("key", "allowed", "meaning", *names)) + "|"
    yield "|---" * (3 + len(names)) + "|"
    for key, field in schema[model.__name__]["properties"].items():
        values = [_values(profiles[name], stage, key) for name in names]
        meaning = field.get("description", "").replace("|", "\\|")
        yield (
            "".join(f"| {text} " for text in (f"`{key}`", _allowed(field), meaning, *values)) + "|"
        )
    yield ""


def _values(profile: dict[str, Any], stage: str, key: str) -> str:
    shown = [dict(leaves(profile[e][stage])).get(key, "") for e in profile]
    text = [("none" if value is None else f"{value}") for value in shown]
    return text[0] if len(set(text)) == 1 else " / ".join(text)


def _allowed(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_allowed(option) for option in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    limits = [f"{sign} {field[name]:g}" for name, sign in signs.items() if name in field]
    return " ".join([field.get("type", ""), ", ".join(limits)]).strip()


def main() -> None:
    """Write the page, or with ``--check`` exit 1 if it is not what would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if stale")
    arguments = parser.parse_args()
    text = page()
    if not arguments.check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        sys.exit("docs/parameters.md is stale. Run: python tools/parameters_doc.py")


if __name__ == "__main__":
    main()
