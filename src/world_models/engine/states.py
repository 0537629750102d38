"""A worker's side: the tasks that it knows, their states, and doing a unit."""

import traceback
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from world_models.engine import pickling

_KEEP = 4
"""States kept in a worker: training and validation alternate without loading models anew."""


@dataclass(frozen=True)
class Done:
    """A unit's result."""

    result: Any


@dataclass(frozen=True)
class Failed:
    """An exception that ``setup`` or ``work`` raised, and its traceback as text."""

    error: Exception
    trace: str


class _State:
    def __init__(self, content: bytes) -> None:
        self._content: bytes | None = content

    def perform(self, unit: Any) -> Any:
        if self._content is not None:  # the first unit: set up once, and say so if it fails
            setup, payload, self._work = pickling.loads(self._content)
            self._state = payload if setup is None else setup(payload)
            self._content = None
        return self._work(self._state, unit)


_STATES: OrderedDict[str, _State] = OrderedDict()


def install(key: str, content: bytes) -> None:
    """Make a task known; a state that exists already is kept."""
    if key not in _STATES:
        _STATES[key] = _State(content)
        while len(_STATES) > _KEEP:
            _STATES.popitem(last=False)
    _STATES.move_to_end(key)


def perform(key: str, unit: bytes) -> bytes:
    """Do one unit; the answer is a pickled ``Done`` or ``Failed``, or empty: task unknown."""
    state = _STATES.get(key)
    if state is None:
        return b""
    try:
        return pickling.dumps(Done(state.perform(pickling.loads(unit))))
    except Exception as error:
        return pickling.dumps(Failed(_portable(error), traceback.format_exc()))


def _portable(error: Exception) -> Exception:
    try:
        pickling.loads(pickling.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
