"""A training of a few steps as a program of its own: prints how many numbers it logged, and a loss.

Its devices are those of the environment, as a stage's.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from world_models.devices import DeviceSettings
from world_models.training.fit import fit
from world_models.training.module import Plan, Row, Training


def rate(_: int) -> float:
    return 0.01


ROWS = torch.arange(8.0).reshape(4, 2)


class Loss(NamedTuple):
    total: Tensor


class Line(Training[tuple[Tensor]]):
    """A line through zero, fitted to the sum of two numbers."""

    name, parts = "line", ("total",)

    @contextmanager
    def open_losses(self) -> Iterator[Callable[[tuple[Tensor]], Loss]]:
        yield lambda batch: Loss((self.network(batch[0]) - batch[0].sum(1, True)).square().mean())

    def batches(self, start: int, rank: int, world: int) -> Iterator[tuple[Tensor]]:
        for _ in range(start, self.plan.steps):
            yield (ROWS[rank::world],)

    def note(self, row: Row) -> str:
        return ""


def log(into: Path, row: Mapping[str, float], step: int) -> None:
    with into.open("a") as file:
        file.write(f"{step} {len(row)}\n")


if __name__ == "__main__":
    torch.manual_seed(0)
    network = torch.nn.Linear(2, 1, bias=False)
    plan = Plan(4, 2, None, rate)
    with tempfile.TemporaryDirectory() as name:
        into = Path(name, "logged")
        into.touch()
        settings = DeviceSettings.from_environment()
        history = fit(Line(network, plan, [(ROWS,)]), Path(name), settings, partial(log, into))
        logged = len(into.read_text().splitlines())
    sys.stdout.write(json.dumps({"logged": logged, "loss": history[-1]["validation_total"]}))
