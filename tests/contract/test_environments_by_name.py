"""An environment's name stands in its own folder: nothing else in the code lists environments."""

import ast
import re
from pathlib import Path

import pytest

from world_models.envs import catalogue

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("src/world_models/**/*.py"), *ROOT.glob("tools/*.py")])
NAME = re.compile(rf"\b({'|'.join(catalogue.names())})\b")


def mentions(source: str) -> list[str]:
    """Identifiers and strings that hold an environment's name; docstrings may give examples."""
    tree = ast.parse(source)
    texts = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    words = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words += [node.value] if id(node) not in texts else []
        words += [
            value
            for field in ("id", "attr", "arg", "name", "module")
            if isinstance(value := getattr(node, field, None), str)
        ]
    return [word for word in words if NAME.search(word)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_outside_its_folder_names_an_environment(path):
    if path.parent.name not in catalogue.names():
        assert not mentions(path.read_text(encoding="utf-8"))


def test_the_search_finds_every_form():
    for line in ("x = 'carracing'", "import a.takecover", "carracing = 1", "f(takecover=1)"):
        assert mentions(line), line
    assert not mentions('"""Such as carracing."""\n')
