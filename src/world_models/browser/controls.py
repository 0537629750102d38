"""What a player's keys mean: for each environment, which numbers of the action they set."""

import itertools
from collections.abc import Mapping
from typing import Any

from world_models.envs.actions import Actions, Argmax, Thresholds

Control = Mapping[str, Any]

KEYS = {"left": "ArrowLeft", "right": "ArrowRight", "up": "ArrowUp", "down": "ArrowDown"}
NAMED: Mapping[str, Mapping[str, tuple[str, int, float]]] = {
    "carracing": {
        "left": ("steer left", 0, -1.0),
        "right": ("steer right", 0, 1.0),
        "up": ("gas", 1, 1.0),
        "down": ("brake", 2, 1.0),
    },
}
"""By environment and arrow: what it does, the number of the action that it sets, and to what."""
NUMBERED: Mapping[str, tuple[str, ...]] = {
    "takecover": ("left", "", "right"),
    "healthgathering": ("left", "right", "up"),
}
"""Where actions are numbered: the arrow of each; that without one is what no key does."""


def controls(environment: str, actions: Actions) -> dict[str, Any]:
    """The page's controls.

    Args:
        environment: its name.
        actions: its action space.

    Returns:
        ``idle``, the action (A,) without a key; ``smooth``, the share of the way that a held key
        moves the action each step; ``keys``, for each its arrow's name, a label, and ``set``, the
        numbers that it changes, by index.
    """
    if isinstance(actions, Argmax | Thresholds):
        return _numbered(environment, actions)
    named = NAMED.get(environment) or _arrows(actions)
    idle = [min(max(0.0, low), high) for low, high in zip(*_bounds(actions), strict=True)]
    keys = [
        {"arrow": arrow, "key": KEYS[arrow], "label": label, "set": {str(index): value}}
        for arrow, (label, index, value) in named.items()
        if value != idle[index]
    ]
    return {"idle": idle, "smooth": 0.2, "keys": keys}


def _numbered(environment: str, actions: Argmax | Thresholds) -> dict[str, Any]:
    vectors = _vectors(actions)
    arrows = NUMBERED.get(environment) or ("", *KEYS)[: actions.n]
    keys = [
        {
            "arrow": arrow,
            "key": KEYS[arrow],
            "label": {"up": "forward", "down": "back"}.get(arrow, arrow),
            "set": {str(i): value for i, value in enumerate(vector)},
        }
        for arrow, vector in zip(arrows, vectors, strict=False)
        if arrow
    ]
    # Where every action has an arrow, none of them is the one that no key does.
    idle = vectors[arrows.index("")] if "" in arrows else [0.0] * actions.size
    return {"idle": idle, "smooth": 1.0, "keys": keys}


def _vectors(actions: Argmax | Thresholds) -> list[list[float]]:
    """The action (A,) of each number: one-hot, or the middle of its range."""
    if isinstance(actions, Argmax):
        return [[float(i == j) for j in range(actions.n)] for i in range(actions.n)]
    borders = [-1.0, *actions.cuts, 1.0]
    return [[(low + high) / 2] for low, high in itertools.pairwise(borders)]


def _arrows(actions: Actions) -> dict[str, tuple[str, int, float]]:
    """Of any other action space: its first two numbers, to their bounds."""
    low, high = _bounds(actions)
    pairs = (("left", "right"), ("down", "up"))[: actions.size]
    return {
        arrow: (f"{word} {i + 1}", i, bound[i])
        for i, names in enumerate(pairs)
        for arrow, word, bound in zip(names, ("lower", "raise"), (low, high), strict=True)
    }


def _bounds(actions: Actions) -> tuple[list[float], list[float]]:
    return [float(x) for x in actions.low], [float(x) for x in actions.high]
