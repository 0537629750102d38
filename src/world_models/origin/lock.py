"""DVC's lock files: what each stage read and made when it ran last."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from world_models.origin import git

LOCK = "dvc.lock"
EXPERIMENTS = "experiments"
SCORE = "metrics/{}/evaluate.json"
"""An environment's score."""


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]
    """libyaml's parser (ruamel's takes over a second for our files), with YAML 1.2's numbers."""


_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+0123456789."))


def parse_yaml(text: str) -> Any:
    """The content of a lock file or of one with parameters.

    Raises:
        ValueError: it is no YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


@dataclass(frozen=True)
class Entry:
    """A stage of a lock file; paths are from the project's root.

    Attributes:
        file: the pipeline, such as ``dvc.yaml``.
        name: such as ``vae@carracing``.
        command: what ran.
        deps: DVC's digest of each file or folder that it read.
        outs: of each that it made.
        parameters: by file and key, the values that it was given.
    """

    file: str
    name: str
    command: str
    deps: Mapping[str, str]
    outs: Mapping[str, str]
    parameters: Mapping[str, Mapping[str, Any]]

    @property
    def target(self) -> str:
        """The name by which ``dvc repro`` finds it from the root."""
        return self.name if self.file == "dvc.yaml" else f"{self.file}:{self.name}"


class Lock:
    """All lock files of a project: the root's and those of its experiments."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        """Take their texts, by path from the root; what is no lock file counts as empty."""
        self.entries = [entry for path, text in texts.items() for entry in _parse(path, text)]

    @classmethod
    def read(cls, root: Path) -> "Lock":
        """Those of a working folder."""
        paths = [root / LOCK, *sorted(root.glob(f"{EXPERIMENTS}/*/{LOCK}"))]
        found = [path for path in paths if path.is_file()]
        return cls({p.relative_to(root).as_posix(): p.read_text("utf-8") for p in found})

    @classmethod
    def of(cls, revision: str, paths: Sequence[str]) -> "Lock":
        """Those lock files of a revision, in the working folder's repository."""
        texts = {path: git.show(revision, path) for path in paths}
        return cls({path: text for path, text in texts.items() if text})

    def maker(self, path: str) -> tuple[Entry, str] | None:
        """The stage that made a file or folder, and which of its outputs that is or lies in."""
        inside = {path, *map(str, PurePosixPath(path).parents)}
        for entry in self.entries:
            for out in entry.outs:
                if out in inside:
                    return entry, out
        return None

    def digest(self, path: str) -> str | None:
        """DVC's digest of an output: an MD5, with ``.dir`` for a folder."""
        made = self.maker(path)
        return made[0].outs.get(path) if made else None

    def upstream(self, paths: Sequence[str]) -> list[Entry]:
        """The stages that made these and all that they were made from, the nearest first."""
        found: list[Entry] = []
        waiting = list(paths)
        while waiting:
            made = self.maker(waiting.pop(0))
            if made and made[0] not in found:
                found.append(made[0])
                waiting += made[0].deps
        return found

    def scored(self, environment: str) -> list[Entry]:
        """The stages that led to an environment's score, the last one first."""
        return self.upstream([SCORE.format(environment)])

    def given(self, environment: str) -> dict[str, Any]:
        """The parameters of the stages that led to an environment's score, by dotted key."""
        entries = self.scored(environment)
        files = (values for entry in entries for values in entry.parameters.values())
        found = (leaf for values in files for leaf in leaves(values))
        return {key: value for key, value in found if key.startswith(f"{environment}.")}


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested mappings, each with its dotted name."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def text_of(root: Path, path: str) -> str | None:
    """A file of the working folder, by its path from the root; None if there is none."""
    return (root / path).read_text("utf-8") if (root / path).is_file() else None


def within(root: Path, path: Path) -> str:
    """A path as lock files have it, from the root; whole if it lies elsewhere."""
    whole, top = path.resolve(), root.resolve()
    return (whole.relative_to(top) if whole.is_relative_to(top) else whole).as_posix()


def _parse(path: str, text: str) -> Iterator[Entry]:
    try:
        for name, stage in parse_yaml(text)["stages"].items():
            yield Entry(
                file=path.replace(LOCK, "dvc.yaml"),
                name=name,
                command=str(stage.get("cmd", "")),
                deps=_digests(stage.get("deps", ())),
                outs=_digests(stage.get("outs", ())),
                parameters=stage.get("params", {}),
            )
    except (ValueError, KeyError, TypeError, AttributeError):
        return


def _digests(listed: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    return {item["path"]: str(item.get("md5", "")) for item in listed}
