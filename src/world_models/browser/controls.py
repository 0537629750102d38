"""What a player's keys mean on the page: which numbers of the action they set."""

import itertools
from typing import Any, get_args

from world_models.envs.actions import Actions, Argmax, Thresholds
from world_models.envs.specification import Arrow, Key, Specification


def controls(about: Specification) -> dict[str, Any]:
    """The page's controls of an environment.

    Returns:
        ``idle``, the action (A,) without a key; ``smooth``, the share of the way that a held key
        moves the action each step; ``keys``, for each its arrow's name, the browser's name of it, a
        label, and ``set``, the numbers that it changes, by index.
    """
    actions = about.actions
    if isinstance(actions, Argmax | Thresholds):
        return _numbered(actions, about.keys)
    idle = [min(max(0.0, low), high) for low, high in zip(*_bounds(actions), strict=True)]
    keys = [
        _described(key, {key.number: key.value})
        for key in about.keys or _first_numbers(actions)
        if key.value != idle[key.number]
    ]
    return {"idle": idle, "smooth": 0.2, "keys": keys}


def _numbered(actions: Argmax | Thresholds, given: tuple[Key, ...]) -> dict[str, Any]:
    """Without a key it is the one action that no key is; where each has a key, zeros."""
    vectors = _vectors(actions)
    keys = given or _arrows(actions.n - 1)
    free = sorted(set(range(actions.n)) - {key.number for key in keys})
    return {
        "idle": vectors[free[0]] if free else [0.0] * actions.size,
        "smooth": 1.0,
        "keys": [_described(key, dict(enumerate(vectors[key.number]))) for key in keys],
    }


def _arrows(count: int) -> tuple[Key, ...]:
    """A key for each of the actions from number 1 on, as far as there are arrows."""
    return tuple(Key(arrow, arrow, i) for i, arrow in enumerate(get_args(Arrow)[:count], start=1))


def _described(key: Key, sets: dict[int, float]) -> dict[str, Any]:
    return {
        "arrow": key.arrow,
        "key": f"Arrow{key.arrow.capitalize()}",
        "label": key.label,
        "set": {str(index): value for index, value in sets.items()},
    }


def _vectors(actions: Argmax | Thresholds) -> list[list[float]]:
    """The action (A,) of each number: one-hot, or the middle of its range."""
    if isinstance(actions, Argmax):
        return [[float(i == j) for j in range(actions.n)] for i in range(actions.n)]
    borders = [-1.0, *actions.cuts, 1.0]
    return [[(low + high) / 2] for low, high in itertools.pairwise(borders)]


def _first_numbers(actions: Actions) -> list[Key]:
    """Of any other action space: its first two numbers, to their bounds."""
    low, high = _bounds(actions)
    pairs: tuple[tuple[Arrow, Arrow], ...] = (("left", "right"), ("down", "up"))
    return [
        Key(arrow, f"{word} {i + 1}", i, bound[i])
        for i, arrows in enumerate(pairs[: actions.size])
        for arrow, word, bound in zip(arrows, ("lower", "raise"), (low, high), strict=True)
    ]


def _bounds(actions: Actions) -> tuple[list[float], list[float]]:
    return [float(x) for x in actions.low], [float(x) for x in actions.high]
