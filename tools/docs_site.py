"""A hook of mkdocs: what the site's pages take from elsewhere, so that it stands once."""

import argparse
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig

from world_models import cli
from world_models.agent import PARTS
from world_models.browser import page

ROOT = Path(__file__).resolve().parents[1]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in what comments ask for: ``<!-- readme: results -->``, ``<!-- command line -->``."""
    filled = re.sub(r"<!-- readme: (\w+) -->", lambda found: from_readme(found[1]), markdown)
    filled = re.sub(r"<!-- dream of (\w+) -->", lambda found: dream(found[1]), filled)
    return re.sub("<!-- command line -->", lambda _: command_line(), filled)


def on_post_page(output: str, **_: Any) -> str:
    """Take out what a page would load from elsewhere: the theme's help for searches on a disk."""
    return re.sub(r'<script src="https://[^"]*"></script>', "", output)


def on_post_template(output_content: str, **_: Any) -> str:
    """The same for the page of what is not found."""
    return on_post_page(output_content)


def on_post_build(config: MkDocsConfig) -> None:
    """Make the pages that :func:`dream` shows: one for each released agent."""
    for models in (path for path in (ROOT / "released").iterdir() if path.is_dir()):
        out = Path(config.site_dir) / "play" / models.name
        page.make({kind: models / kind for kind in PARTS}, models.name, out)


def dream(environment: str) -> str:
    """A frame with the released agent's dream in it, to be played."""
    return (
        f'<iframe src="play/{environment}/index.html" title="{environment}, dreamed by M" '
        'loading="lazy" style="width: 100%; height: 62rem; border: 0"></iframe>'
    )


def from_readme(name: str) -> str:
    """The README's text between ``<!-- name -->`` and ``<!-- end of name -->``."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end of {name} -->", text, re.S)
    assert found, f"README.md has no block {name}"
    return found[1]


def command_line() -> str:
    """The help of each command of ``world-models``."""
    top = cli.parser()
    (commands,) = (a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    return "\n".join(
        f"## {name}\n\n```\n{parser.format_help()}```\n"
        for name, parser in commands.choices.items()
    )
