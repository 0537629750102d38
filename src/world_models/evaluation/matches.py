"""A set of episodes that one policy plays, spread over an engine's workers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_models.engine.api import Engine, Task
from world_models.evaluation.trials import Played, Trial
from world_models.progress import progress

Seeds = NDArray[np.int64]


@dataclass(frozen=True)
class Match:
    """Units of one task; see :mod:`world_models.evaluation.tasks`."""

    title: str
    task: Task
    units: list[Any]

    def play(self, engine: Engine) -> list[Played]:
        """All units, in order."""
        results: dict[int, Any] = {}
        with progress(len(self.units), self.title) as bar:
            for index, result in engine.run(self.task, self.units):
                results[index] = result
                bar.advance(1)
        return [results[index] for index in range(len(self.units))]


def batches(seeds: Seeds, size: int) -> Iterator[Seeds]:
    """Cut the seeds of n episodes, int64 (n,), into those that are played in lockstep."""
    for start in range(0, len(seeds), size):
        yield seeds[start : start + size]


def trials_of(theta: NDArray[np.float32], seeds: Seeds, batch: int, record: int = 0) -> list[Trial]:
    """The units of C with parameters ``theta``; the first ``record`` episodes are recorded."""
    return [
        Trial(theta, part, record=max(0, min(record - number * batch, len(part))))
        for number, part in enumerate(batches(seeds, batch))
    ]
