"""Trainings that are stopped after a step, as Ctrl-C would."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from world_models.training import module


class StopError(Exception):
    """Raised where the training was to stop."""


@contextmanager
def stopping_at(step: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Stop trainings in the block when ``step`` is shown as done; yields the steps shown."""
    seen: list[int] = []

    @contextmanager
    def progress(_total: int, _name: str, done: int) -> Iterator[object]:
        class Bar:
            def advance(self, n: int = 1, note: str = "") -> None:
                seen.append((seen[-1] if seen else done) + n)
                if seen[-1] == step:
                    raise StopError

        yield Bar()

    with monkeypatch.context() as patch:
        patch.setattr(module, "progress", progress)
        yield seen
