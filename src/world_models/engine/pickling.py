"""Pickle for the way to a worker: as usual, but ``__main__`` goes under its importable name.

A stage run by ``python -m`` is called ``__main__`` here and by its own name in a worker.
"""

import importlib
import io
import pickle
import sys
from functools import reduce
from types import FunctionType
from typing import Any


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, FunctionType)) and obj.__module__ == "__main__":
            spec = getattr(sys.modules["__main__"], "__spec__", None)
            if spec is not None:
                return find, (spec.name, obj.__qualname__)
        return NotImplemented


def find(module: str, qualname: str) -> Any:
    """The function or class of that name."""
    return reduce(getattr, qualname.split("."), importlib.import_module(module))


def dumps(value: Any) -> bytes:
    """Any picklable value as bytes."""
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=5).dump(value)
    return buffer.getvalue()


def loads(data: bytes) -> Any:
    """The value; only for what our own driver or worker sent."""
    return pickle.loads(data)
