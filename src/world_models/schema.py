"""Strict, frozen parameter objects, and the one way to read them from ``params.yaml``.

Each schema lives beside the class that it configures; this module holds what they share.
Values live in YAML alone: a schema has types, ranges and descriptions, never defaults.
"""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from world_models.errors import ParameterError


class Parameters(BaseModel):
    """Base of every parameter schema: unknown keys, wrong types and other ranges are errors."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


P = TypeVar("P", bound=Parameters)


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML 1.2 mapping (``3e-4`` is a number), as DVC itself does.

    Raises:
        ParameterError: the file is missing, is not YAML, or holds no mapping.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParameterError(f"{path} does not exist: run from the project's root.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ParameterError(f"{path} is not valid YAML: {reason}") from None
    if not isinstance(content, dict):
        raise ParameterError(f"{path} holds no mapping of parameters but {type(content).__name__}.")
    return content


def validate(model: type[P], values: object, where: str) -> P:
    """Build ``model``; every fault becomes a line with key, value and what is allowed.

    Args:
        model: the schema.
        values: what the YAML file held.
        where: the key that ``values`` stood under, such as ``carracing.vae``.

    Raises:
        ParameterError: with one line for each fault.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = [_line(fault, where, model) for fault in error.errors()]
        raise ParameterError("\n".join(lines)) from None


def _known(fault: Any, model: type[Parameters]) -> str:
    """The names that are most like an unknown one; all of them if none is."""
    names = list(_schema_at(model, fault["loc"][:-1]).model_fields)
    near = difflib.get_close_matches(str(fault["loc"][-1]), names, n=3)
    if near:
        return f"Did you mean {' or '.join(near)}? docs/parameters.md lists all"
    return f"Known here: {', '.join(names)}" if len(names) <= 20 else "docs/parameters.md lists all"


def _line(fault: Any, where: str, model: type[Parameters]) -> str:
    key = ".".join([where, *map(str, fault["loc"])])
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown parameter. {_known(fault, model)}."
    if fault["type"] == "missing":
        return f"{key}: missing. Give it a value in params.yaml."
    if fault["type"] == "value_error":  # of a check across fields: its message names them
        return f"{key}: {fault['ctx']['error']}."
    return f"{key} = {fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}."


def _schema_at(model: type[Parameters], location: tuple[Any, ...]) -> type[Parameters]:
    """The schema that stands under a key of ``model``: parameters may hold parameters."""
    for key in location:
        below = model.model_fields[key].annotation
        assert isinstance(below, type)
        assert issubclass(below, Parameters)
        model = below
    return model


def merged(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``overlay``, key by key, neither of them changed."""
    result = dict(base)
    for key, value in overlay.items():
        below = result.get(key)
        nested = isinstance(below, Mapping) and isinstance(value, Mapping)
        result[key] = merged(result[key], value) if nested else value
    return result


@dataclass(frozen=True)
class Overlay:
    """What an experiment changes in ``params.yaml``: ``FILE:KEY,KEY…`` on the command line.

    Attributes:
        path: a YAML file; under each of its top-level keys stands ``{stage: {parameter: value}}``.
        keys: those that count, the last one strongest, such as ``common`` and a cell's name.
    """

    path: Path
    keys: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Overlay":
        """Read ``FILE:KEY,KEY…``.

        Raises:
            ParameterError: the text names no file or no key.
        """
        path, _, keys = text.rpartition(":")
        if not path or not all(keys.split(",")):
            raise ParameterError(f"--overlay {text}: give FILE:KEY or FILE:KEY,KEY.")
        return cls(Path(path), tuple(keys.split(",")))

    def __str__(self) -> str:
        return f"{self.path}:{','.join(self.keys)}"

    def apply(self, pipeline: Mapping[str, Any], content: Mapping[str, Any]) -> dict[str, Any]:
        """An environment's parameters with the overlay's in place of them.

        Args:
            pipeline: stage → parameter → value.
            content: what the overlay's file holds.

        Raises:
            ParameterError: a key is not there, or holds no parameters of stages.
        """
        result = dict(pipeline)
        for key in self.keys:
            values = content.get(key)
            if not isinstance(values, Mapping):
                known = ", ".join(content)
                raise ParameterError(f"{self.path} has no parameters under {key}. It has: {known}.")
            result = merged(result, values)
        return result


def read_pipeline(path: Path, environment: str, overlay: Overlay | None = None) -> dict[str, Any]:
    """One environment's parameters, unchecked: stage → parameter → value.

    Raises:
        ParameterError: a file, or what is asked of it, is missing.
    """
    values = read_yaml(path).get(environment)
    if not isinstance(values, dict):
        raise ParameterError(f"{path} has no parameters for {environment}.")
    return overlay.apply(values, read_yaml(overlay.path)) if overlay else values


def load(
    path: Path,
    environment: str,
    stage: str,
    model: type[P],
    *,
    offset: int = 0,
    overlay: Overlay | None = None,
) -> P:
    """Read one stage's slice ``<environment>.<stage>`` of ``params.yaml``.

    Args:
        path: the file.
        environment: such as ``carracing``.
        stage: such as ``vae``.
        model: the stage's schema.
        offset: added to ``seed``: another repetition or round with the same parameters.
        overlay: what an experiment changes.

    Raises:
        ParameterError: the slice is missing or does not fit ``model``.
    """
    values = read_pipeline(path, environment, overlay).get(stage)
    where = f"{environment}.{stage}"
    if values is None:
        raise ParameterError(f"{path} has no parameters for {where}.")
    where += f" with {overlay}" if overlay else ""
    given = validate(model, values, where)
    if not offset:
        return given
    values = values | {"seed": values["seed"] + offset}
    return validate(model, values, f"{where} with --offset {offset}")
