"""The one door for files that others may have made.

Nothing that they say is believed before it is looked at: a name stays inside its folder, a file is
a plain one and not too large, and JSON holds what it should. All refusals name the file.
"""

import io
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from world_models.errors import InputError, ParameterError
from world_models.schema import Parameters

_MIB = 1 << 20
LIMITS = {".json": 16 * _MIB, ".parquet": 64 * _MIB, ".safetensors": 8192 * _MIB}
"""Bytes of a file at most, by the end of its name: of those that are read as one."""
DEPTH = 32
"""Lists and mappings within each other in a JSON file."""
_INTEGERS = 1 << 63  # what arrays and other programs can hold
_PART = 255  # bytes of a file's name on common systems
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def name(text: str) -> str:
    """A file's name as it is, if it is one within a folder: ``shard-00000.h5``, ``more/notes``.

    Raises:
        ValueError: it leaves the folder, or no file can have it.
    """
    parts = text.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError("it is no name of a file within the folder")
    if not text.isprintable() or any(len(part.encode()) > _PART for part in parts):
        raise ValueError("no file has such a name")
    return text


Name = Annotated[str, AfterValidator(name)]
"""A file within a folder."""
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
"""SHA-256, hexadecimal."""
Environment = Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]
"""Of an environment, known here or not."""


def inside(folder: Path, text: object, index: str) -> Path:
    """The file ``text`` of ``folder``.

    Args:
        folder: where it has to lie.
        text: its name, as a card or an index gives it.
        index: what gives it, such as ``index.parquet``.

    Raises:
        InputError: it lies elsewhere, or is no name.
    """
    try:
        return folder / name(str(text))
    except ValueError as error:
        raise InputError(f"{folder / index} names the file {_shown(text)}: {error}.") from None


def plain(path: Path, limit: int | None = None) -> None:
    """See that ``path`` is a plain file, or a link to one, before it is opened.

    Args:
        path: the file.
        limit: the most bytes; None for any number.

    Raises:
        InputError: it is something else, or larger.
        OSError: it is missing, or cannot be looked at.
    """
    _judge(path, path.stat(), limit)


@contextmanager
def opened(path: Path, limit: int | None = None) -> Iterator[io.BufferedReader]:
    """Open a plain file for reading; never waits for whoever writes to a pipe.

    Args:
        path: the file, or a link to it (DVC's cache may be linked).
        limit: the most bytes; None for any number.

    Raises:
        InputError: it is no plain file, or larger.
        OSError: it is missing, or cannot be read.
    """
    plain(path, limit)  # to open some devices is to use them
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - of a descriptor
        _judge(path, os.fstat(descriptor), limit)
        yield file


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a plain file; raises as :func:`opened`."""
    with opened(path, limit) as file:  # room is made for what there is, not for the limit
        return file.read(os.fstat(file.fileno()).st_size)


def json_of(path: Path, limit: int = LIMITS[".json"]) -> dict[str, Any]:
    """The mapping that a JSON file holds.

    Its numbers are finite and within 64 bits, its texts can be printed, and it is not deep.

    Raises:
        InputError: it holds something else.
        OSError: the file is missing, or cannot be read.
    """
    return json_in(read_bytes(path, limit), path)


def json_in(text: bytes, place: Path | str, cure: str = "") -> dict[str, Any]:
    """The mapping that a JSON text holds; see :func:`json_of`.

    Args:
        text: the content of a file, UTF-8.
        place: the file, for the message.
        cure: a sentence that ends it.

    Raises:
        InputError: it holds something else.
    """
    try:
        content = json.loads(text.decode("utf-8"))
        fault = _fault(content) if isinstance(content, dict) else "it holds no mapping"
    except RecursionError:
        fault = "it is nested too deeply"
    except ValueError as error:
        fault = f"it is no JSON ({brief(error)})"
    if fault:
        raise InputError(f"{place} cannot be read: {fault}. {cure}".rstrip())
    return dict(content)


M = TypeVar("M", bound=Parameters)


def fitting(schema: type[M], content: object, place: Path | str, cure: str = "") -> M:
    """``content`` as ``schema`` says it.

    Args:
        schema: what it must be.
        content: of a file.
        place: the file, or what the message shall begin with.
        cure: a sentence that ends it.

    Raises:
        InputError: it is something else; the message names the place, the key and the value.
    """
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
    key = ".".join(brief(part) for part in fault["loc"]) or "all of it"
    said = re.sub(r" or instance of \w+", "", fault["msg"].removeprefix("Value error, "))
    if fault["type"] == "missing":
        wrong = f"lacks {key}"
    elif fault["type"] == "extra_forbidden":
        wrong = f"says {key}, which is unknown"
    else:
        wrong = f"says {key} = {_shown(fault['input'])}: {said[0].lower()}{said[1:]}"
    raise InputError(f"{place} {wrong}. {cure}".rstrip())


@contextmanager
def naming(place: Path) -> Iterator[None]:
    """Begin refusals of what a folder holds with the folder's name, if they lack it.

    Raises:
        InputError: in place of every InputError and ParameterError of the block.
    """
    try:
        yield
    except (InputError, ParameterError) as error:
        if str(place) in str(error):
            raise
        raise InputError(f"{place}: {error}") from error


def _judge(path: Path, found: os.stat_result, limit: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = next((said for is_kind, said in _KINDS if is_kind(found.st_mode)), "something else")
        raise InputError(f"{path} cannot be read: it is {kind}, and no plain file.")
    if limit is not None and found.st_size > limit:
        raise InputError(
            f"{path} cannot be read: it has {found.st_size:,} bytes, and such a file has "
            f"{limit:,} at most."
        )


def _fault(content: Any) -> str:
    """What is wrong with a value of a JSON file, in words; empty if nothing is."""
    todo = [(content, 0)]
    while todo:
        found, depth = todo.pop()
        if depth > DEPTH:
            return "it is nested too deeply"
        if isinstance(found, str) and _CONTROL.search(found):
            return f"it holds the text {_shown(found)}, which cannot be printed"
        if isinstance(found, float) and not math.isfinite(found):
            return f"it holds {found}, which is no finite number"
        if isinstance(found, int) and not -_INTEGERS <= found < _INTEGERS:
            return "it holds an integer of more than 64 bits"
        if isinstance(found, dict):
            todo += [(below, depth + 1) for pair in found.items() for below in pair]
        if isinstance(found, list):
            todo += [(below, depth + 1) for below in found]
    return ""


def _shown(value: object) -> str:
    return brief(ascii(value))


def brief(text: object) -> str:
    """What a library says, on one short line."""
    line = " ".join(str(text).split())
    return line if len(line) <= 80 else f"{line[:77]}..."
