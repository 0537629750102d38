"""What a stage says about its run: lines of the journal."""

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from world_models.errors import UserError
from world_models.origin.lock import leaves
from world_models.storage.artifact import CARD, Card, file_digest
from world_models.storage.scratch import find_root
from world_models.tracking.journal import Journal

CURVES = "curves"
"""Group of the metrics that a stage reports while it works."""


class Tracker:
    """Takes what a stage reports. No method waits or raises; a fault becomes a line on stderr.

    It may be pickled and used in several processes at once. Without a journal it records nothing.
    Letters, digits and ``_-./: `` may stand in a metric's name; other characters become ``_``.

    MLflow groups metrics by what stands before the last ``/`` of their name: ``curves`` while the
    stage works; in the end the stage's name, or the name that its metrics have for a group.

    Attributes:
        continued: whether the run is that of an interrupted attempt, which recorded its part.
    """

    def __init__(
        self, journal: Journal | None = None, *, stage: str = "", continued: bool = False
    ) -> None:
        self.continued = continued
        self._journal, self._stage = journal, stage

    @property
    def recording(self) -> bool:
        """Whether anything is recorded at all."""
        return self._journal is not None

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record numbers at a step (stage's own count: gradient step, generation, shard)."""
        values = {clean(f"{CURVES}/{key}"): float(value) for key, value in metrics.items()}
        self._append(do="metrics", values=values, step=int(step))

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Record a file, or all files of a folder, as they are now, under ``folder``."""
        if self._journal is not None:
            with warned(f"{path} is not recorded"):
                kept = self._journal.keep(path).absolute()
                self._append(do="artifact", path=str(kept), folder=folder)

    def log_input(self, name: str, path: Path, card: Card) -> None:
        """Record what the stage reads, by its digests and never its bytes.

        Args:
            name: such as ``rollouts``.
            path: where it lies, from the repository's root.
            card: what it is.
        """
        lasting = find_root().resolve() / path if not path.is_absolute() else path
        self._append(
            do="input",
            name=name,
            kind=card.kind,
            given=str(path),
            path=str(path.resolve()),
            lasting=str(lasting),
            root=str(Path.cwd()),
            digest=card.digest(),
            profile=numbers(card.metrics),
        )

    def log_model(self, folder: Path, kind: str, frames: Path) -> None:
        """Record V, M or C as it is now, as a model of MLflow.

        Args:
            folder: the artifact.
            kind: of it.
            frames: the file that stage vae stores for its pictures, for an example of the input;
                it may be missing.
        """
        with warned(f"{folder} is not recorded"):
            path = self._keep(folder)
            self._append(do="model", path=path, kind=kind, frames=self._keep(frames))

    def log_agent(self, parts: Mapping[str, Path], episodes: Path, frames: Path) -> None:
        """Record V, M and C together as a model of MLflow; its figures are those that follow.

        Args:
            parts: folders of the artifacts, by kind.
            episodes: the table of every episode that the agent was scored on.
            frames: as for :meth:`log_model`.
        """
        with warned("the agent is not recorded"):
            kept = {kind: self._keep(path) for kind, path in parts.items()}
            found = {"episodes": self._keep(episodes), "frames": self._keep(frames)}
            self._append(do="agent", parts=kept, **found)

    def _keep(self, path: Path) -> str:
        """Where a file or folder is kept; empty if there is none."""
        if self._journal is None or not path.exists():
            return ""
        return str(self._journal.keep(path).absolute())

    def log_result(self, result: Path) -> None:
        """Record the digest of an artifact's card, or of a file: by it this run is found."""
        with warned(f"{result} is not recorded"):
            file = result / CARD if result.is_dir() else result
            self._append(do="tags", values={"output": file_digest(file)})

    def log_outputs(self, metrics: Path | None, reports: Path) -> None:
        """Record a stage's metrics JSON (its numbers, by ``group/name``) and its reports folder."""
        if metrics is not None:
            with warned(f"{metrics} is not recorded"):
                found = json.loads(metrics.read_text(encoding="utf-8"))
                self._append(do="metrics", values=grouped(self._stage, found), step=0)
                self.log_artifact(metrics)
        if reports.is_dir():
            with warned(f"{reports} is not recorded"):
                kept = self._keep(reports)
                self._append(do="artifact", path=kept, folder="reports")
                self._append(do="tables", path=kept)

    def log_slides(self, folder: Path) -> None:
        """Record pictures by step, ``folder/<slider>/<step>.png``, as they are now."""
        with warned("slides are not recorded"):
            self._append(do="slides", path=self._keep(folder))

    def _append(self, **message: Any) -> None:
        if self._journal is not None:
            with warned(f"{message['do']} not recorded"):
                self._journal.append(message)


@contextmanager
def warned(what: str) -> Iterator[None]:
    """Turn a fault in the block into a line on stderr."""
    try:
        yield
    except (OSError, ValueError, UserError) as error:
        warn(f"{what}: {error}")


def warn(text: str) -> None:
    """Tell people."""
    print(f"tracking: {text}", file=sys.stderr, flush=True)  # noqa: T201


def clean(key: str) -> str:
    """A name that MLflow takes."""
    return re.sub(r"[^\w\-. /:]", "_", key, flags=re.ASCII)


def grouped(stage: str, metrics: Mapping[str, Any]) -> dict[str, float]:
    """Numbers by ``group/name``: groups as the metrics have them, and the stage's own."""
    return {
        key.replace(".", "/", 1) if "." in key else f"{stage}/{key}": value
        for key, value in numbers(metrics).items()
    }


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among nested values, by their dotted names; no NaN."""
    found = {clean(k): v for k, v in leaves(values) if isinstance(v, int | float)}
    return {key: float(value) for key, value in found.items() if not math.isnan(value)}
