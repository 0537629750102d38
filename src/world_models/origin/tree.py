"""From a file back to everything that it was made from, as DVC's lock files tell it."""

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

from world_models.errors import InputError
from world_models.origin import changes, digests, git
from world_models.origin.lock import LOCK, Entry, Lock, text_of
from world_models.storage.artifact import CARD, file_digest

VERSIONS = "src/world_models/stages/dependencies.yaml"


@dataclass
class Node:
    """One output of a stage, and what the stage read.

    Attributes:
        path: of the output, from the root.
        entry: the stage that made it.
        here: whether it lies in the working folder.
        revision: the newest commit whose lock file has this output; None if no commit has.
        output: SHA-256 of its card, or of a file, by which its MLflow run is found; None if it is
            not here.
        problems: what no longer matches, in words.
        inputs: nodes of what the stage read.
    """

    path: str
    entry: Entry
    here: bool
    revision: str | None
    output: str | None
    problems: list[str]
    inputs: list["Node"] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """DVC's."""
        return self.entry.outs[self.path]

    @property
    def versions(self) -> Mapping[str, str]:
        """The packages that computed it, with their versions."""
        values = self.entry.parameters.get(VERSIONS, {}).values()
        return {name: version for found in values for name, version in found.items()}

    @property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """The experiment's parameters that the stage had, by file."""
        return {file: v for file, v in self.entry.parameters.items() if file != VERSIONS}

    @property
    def code(self) -> int:
        """How many files and folders of code the stage depends on."""
        return sum(path.startswith("src/") for path in self.entry.deps)


class Builder:
    """Builds trees of the project ``root``, which is the working folder; parts of trees once.

    Attributes:
        lock: what DVC's lock files say.
    """

    def __init__(self, root: Path) -> None:
        self.lock = Lock.read(root)
        self._root = root
        self._made: dict[str, Node] = {}
        self._text = partial(text_of, root)
        self._digest = cache(lambda path: digests.of_disk(root / path))  # stages share code

    def build(self, path: str) -> Node:
        """The tree of a file or folder.

        Raises:
            InputError: no stage in a lock file made it.
        """
        found = self.lock.maker(path)
        if found is None:
            known = sorted(out for entry in self.lock.entries for out in entry.outs)
            near = difflib.get_close_matches(path, known, n=3, cutoff=0.5) or known[:3]
            made = f"Name what one made ({', '.join(near)})" if known else "Run `dvc repro` first"
            raise InputError(
                f"No stage in dvc.lock made {path}. {made}, or name the id of an MLflow run."
            )
        return self._node(*found)

    def outputs(self, path: str) -> set[str]:
        """:func:`output` of all that the stage of ``path`` and those upstream made and is here."""
        paths = (out for entry in self.lock.upstream([path]) for out in entry.outs)
        return {made for name in paths if (made := output(self._root / name))}

    def _node(self, entry: Entry, out: str) -> Node:
        if out not in self._made:
            problems = [*self._of_output(entry, out), *self._of_inputs(entry)]
            file = self._root / out
            node = Node(out, entry, file.exists(), _revision(entry, out), output(file), problems)
            self._made[out] = node
            made = (self.lock.maker(dep) for dep in entry.deps)
            node.inputs = [self._node(*found) for found in made if found]
        return self._made[out]

    def _of_output(self, entry: Entry, out: str) -> Iterator[str]:
        digest = self._digest(out)
        if digest not in (None, entry.outs[out]):
            yield f"what lies here has been changed since, or is not whole: md5 {digest[:8]}"
        yield from (
            f"other parameters now: {change}" for change in changes.of_parameters(entry, self._text)
        )
        code = changes.of_code(entry, self.lock, self._digest)
        if code:
            more = f" and {len(code) - 3} more" if len(code) > 3 else ""
            yield f"other code now: {', '.join(code[:3])}{more}"

    def _of_inputs(self, entry: Entry) -> Iterator[str]:
        for dep, digest in entry.deps.items():
            found = self.lock.maker(dep)
            if found and found[0].outs.get(dep, digest) != digest:
                yield f"was made from another {dep}: md5 {digest[:8]}, now {found[0].outs[dep][:8]}"


def _revision(entry: Entry, out: str) -> str | None:
    return git.newest_with(entry.outs[out], entry.file.replace("dvc.yaml", LOCK))


def output(path: Path) -> str | None:
    """SHA-256 of an artifact's card, or of a file: by it MLflow's runs are found."""
    file = path / CARD if path.is_dir() else path
    return file_digest(file) if file.is_file() else None
