"""A hook of mkdocs: what the site's pages take from elsewhere, so that it stands once."""

import argparse
import re
from pathlib import Path
from typing import Any

from world_models import cli

ROOT = Path(__file__).resolve().parents[1]


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in what comments ask for: ``<!-- readme: results -->``, ``<!-- command line -->``."""
    filled = re.sub(r"<!-- readme: (\w+) -->", lambda found: from_readme(found[1]), markdown)
    return re.sub("<!-- command line -->", lambda _: command_line(), filled)


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
