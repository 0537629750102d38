"""Workers of a Dask cluster."""

from collections.abc import Iterator, Sequence
from typing import Any

from world_models.engine.api import Task
from world_models.errors import UserError


class ClusterEngine:
    def __init__(self, address: str, timeout: float) -> None:
        raise UserError("not yet")

    def __enter__(self) -> "ClusterEngine":
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    def workers(self) -> int:
        return 0

    def run(self, task: Task, units: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        raise NotImplementedError
