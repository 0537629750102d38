"""Any folder that a stage wrote, opened by one function: data for reading, models for use."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from world_models.storage import cards
from world_models.storage.artifact import Card

_Opener = Callable[[Path, Card], Any]


def read(folder: str | Path) -> Any:
    """Open a data set or a model by its folder; its card says what it is.

    Args:
        folder: such as ``data/carracing/rollouts``, wherever it lies.

    Returns:
        - rollouts: :class:`~world_models.storage.episodes.EpisodeReader`, which reads episode by
          episode; files are not checked against the card, ``world-models data verify`` does that;
        - latents: :class:`~world_models.storage.latents.Latents`, all in memory;
        - V: :class:`~world_models.vision.model.Vision`;
        - M: :class:`~world_models.memory.model.Memory`;
        - C: :class:`~world_models.controller.model.Controller`.

    Raises:
        InputError: it is no artifact, or damaged.
    """
    path = Path(folder)
    card = cards.read(path)
    return _OPENERS[card.kind](path, card)


def _rollouts(folder: Path, _card: Card) -> Any:
    return import_module("world_models.storage.episodes").EpisodeReader(folder)


def _latents(folder: Path, card: Card) -> Any:
    return import_module("world_models.storage.latents").LatentsReader(folder, card.files).load()


def _vision(folder: Path, card: Card) -> Any:
    return import_module("world_models.vision.model").Vision.load(folder, card.environment)


def _memory(folder: Path, card: Card) -> Any:
    return import_module("world_models.memory.model").Memory.load(folder, card.environment)


def _controller(folder: Path, card: Card) -> Any:
    return import_module("world_models.controller.model").Controller.load(folder, card.environment)


_OPENERS: Mapping[str, _Opener] = {  # each loads what it needs: rollouts are read without torch
    "rollouts": _rollouts,
    "latents": _latents,
    "vae": _vision,
    "mdnrnn": _memory,
    "controller": _controller,
}
