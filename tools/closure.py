"""The import closure of a module: every file of ours that it may load.

DVC does not follow imports. A stage whose ``deps`` miss a module gives silently stale results,
so the closure is computed from the source and written into ``dvc.yaml`` by ``tools/dag.py``.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path("src")
PACKAGE = "world_models"
EXEMPT = (f"{PACKAGE}.tracking", f"{PACKAGE}.reports")
"""They can change no artifact: a change in logging must not throw away hours of evolution."""


def closure(module: str, root: Path, exempt: tuple[str, ...] = EXEMPT) -> set[str]:
    """Names of all modules of ours that importing ``module`` loads, itself and packages included.

    Imports inside functions count as well: they are reached sooner or later.
    """
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or any(f"{name}.".startswith(f"{e}.") for e in exempt):
            continue
        seen.add(name)
        waiting += [*_parents(name), *_imports(name, root)]
    return seen


def path_of(module: str, root: Path) -> Path | None:
    """The file of a module of ours, relative to ``root``; None if there is no such module."""
    stem = SOURCE.joinpath(*module.split("."))
    for candidate in (stem.with_suffix(".py"), stem / "__init__.py"):
        if (root / candidate).is_file():
            return candidate
    return None


def _parents(module: str) -> Iterator[str]:
    parts = module.split(".")
    for end in range(1, len(parts)):
        yield ".".join(parts[:end])


def _imports(module: str, root: Path) -> Iterator[str]:
    path = path_of(module, root)
    assert path is not None, module
    for node in ast.walk(ast.parse((root / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] == PACKAGE)
        elif isinstance(node, ast.ImportFrom) and _ours(node):
            yield from _from(node, root)


def _ours(node: ast.ImportFrom) -> bool:
    assert node.level == 0, "imports are absolute, so that they can be read here"
    return node.module is not None and node.module.split(".")[0] == PACKAGE


def _from(node: ast.ImportFrom, root: Path) -> Iterator[str]:
    assert node.module is not None
    yield node.module
    for alias in node.names:  # `from package import module` imports the module as well
        name = f"{node.module}.{alias.name}"
        if path_of(name, root):
            yield name
