"""A worker's side: the tasks that it knows, their states, and doing a unit."""

import os
import pickle
import sys
import traceback
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import Any

from world_models.errors import SimulatorDiedError

_KEEP = 4
"""States kept in a worker: training and validation alternate without loading models anew."""
SIMULATOR_DIED = 3
"""A worker's exit code when its simulator died."""


@dataclass(frozen=True)
class Done:
    """A unit's result."""

    result: Any


@dataclass(frozen=True)
class Failed:
    """An exception that ``setup`` or ``work`` raised, and its traceback as text."""

    error: Exception
    trace: str


class _Known:
    """A task, set up when its first unit is done: so a fault in ``setup`` is that unit's."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._work: partial[Any] | None = None

    def perform(self, unit: Any) -> Any:
        if self._work is None:
            setup, payload, work = pickle.loads(self._content)
            self._work = partial(work, payload if setup is None else setup(payload))
            self._content = b""
        return self._work(unit)


_KNOWN: OrderedDict[str, _Known] = OrderedDict()


def perform(key: str, content: bytes | None, unit: bytes) -> bytes:
    """Do one unit. A dead simulator is this process's death: it exits, and is replaced.

    Args:
        key: of the task.
        content: of the task; None if it was sent before.
        unit: pickled.

    Returns:
        A pickled ``Done`` or ``Failed``; empty if the task is unknown here after all.
    """
    if content is not None and key not in _KNOWN:
        _KNOWN[key] = _Known(content)
        if len(_KNOWN) > _KEEP:
            _KNOWN.popitem(last=False)
    if key not in _KNOWN:
        return b""
    _KNOWN.move_to_end(key)
    try:
        return pickle.dumps(Done(_KNOWN[key].perform(pickle.loads(unit))), protocol=5)
    except SimulatorDiedError as error:
        print(f"warning: {error}", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(SIMULATOR_DIED)
    except Exception as error:
        return pickle.dumps(Failed(_portable(error), traceback.format_exc()))


def _portable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
