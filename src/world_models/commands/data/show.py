"""``world-models data show``: what a folder holds, and how its episodes look."""

import json
from argparse import Namespace
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from world_models.envs import catalogue
from world_models.errors import UserError
from world_models.reports.readme import sheet
from world_models.reports.readme.tables import number
from world_models.reports.videos import scale, write_mp4
from world_models.storage import atomic, cards
from world_models.storage.artifact import Card
from world_models.storage.episodes import EpisodeReader

FILMED = 4
"""Episodes that a video shows, spread over the data set."""
STRIDE, HEIGHT = 2, 256
"""Steps between two pictures of a video, and its pixels."""
FPS = 50
"""Steps a second of an environment that this project does not know."""


def run(arguments: Namespace) -> int:
    """Print the summary, and write what was asked for beside it."""
    folder = arguments.folder
    wanted = {".png": arguments.sheet, ".mp4": arguments.video}
    for suffix, path in wanted.items():
        _check(path, suffix)
    card = cards.read(folder)
    if card.kind != "rollouts" and any(wanted.values()):
        raise UserError(f"{folder} holds {card.kind}, which have no frames to show.")
    content = summary(folder, card)
    print(json.dumps(content, indent=2) if arguments.json else "\n".join(_lines(content)))
    if arguments.sheet is not None:
        with EpisodeReader(folder) as reader, atomic.atomic_file(arguments.sheet) as draft:
            sheet.write(draft, sheet.frames(reader))
    if arguments.video is not None:
        with EpisodeReader(folder) as reader, atomic.atomic_file(arguments.video) as draft:
            write_mp4(draft, _film(reader), Fraction(_steps_a_second(card), STRIDE))
    return 0


def _check(path: Path | None, suffix: str) -> None:
    """Refuse a name before any work.

    Raises:
        UserError: it has another suffix, or its folder is missing.
    """
    if path is None:
        return
    if path.suffix != suffix:
        raise UserError(f"{path}: give a name that ends in {suffix}.")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist.")


def summary(folder: Path, card: Card) -> dict[str, Any]:
    """What there is to know of a folder, JSON-able."""
    return {
        "kind": card.kind,
        "environment": card.environment,
        "stage": card.stage,
        "files": len(card.files),
        "bytes": cards.size(folder, card),
        "digest": card.digest(),
        **(_episodes(folder, card) if card.kind == "rollouts" else {}),
        "details": card.details,
        "parameters": card.parameters,
        "metrics": card.metrics,
    }


def _episodes(folder: Path, card: Card) -> dict[str, Any]:
    with EpisodeReader(folder) as reader:
        index = reader.index
    return {
        "episodes": len(index),
        "frames": int(index["length"].sum()),
        "shards": int(index["shard"].nunique()),
        "return": _spread(index["return"]),
        "length": _spread(index["length"]),
        "ended": {str(name): int(n) for name, n in index["ended"].value_counts().items()},
        "seeds": _spread(index["seed"], ("min", "max")),
        "policies": card.details.get("sources", card.details.get("policy")),
    }


def _spread(column: "pd.Series[Any]", names: tuple[str, ...] = ()) -> dict[str, float]:
    found = column.agg(list(names or ("min", "mean", "median", "max")))
    return {str(name): value for name, value in found.to_dict().items()}


def _lines(content: Mapping[str, Any]) -> list[str]:
    """A line for each entry; details, parameters and metrics below a title each."""
    blocks = ("details", "parameters", "metrics")
    lines = [
        f"{name:<12}  {_words(value)}" for name, value in content.items() if name not in blocks
    ]
    for block in (name for name in blocks if content[name]):
        width = max(map(len, content[block]))
        lines += ["", block]
        lines += [f"  {name:<{width}}  {_words(value)}" for name, value in content[block].items()]
    return lines


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(below)}" for name, below in value.items())
    if isinstance(value, list):
        return "; ".join(map(_words, value))
    return number(value)


def _film(reader: EpisodeReader) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    chosen = np.unique(np.linspace(0, len(reader) - 1, FILMED).astype(int)).tolist()
    films = [reader.frames(e, 0, int(reader.lengths[e]))[::STRIDE] for e in chosen]
    return scale(np.concatenate(films), HEIGHT)


def _steps_a_second(card: Card) -> int:
    if card.environment not in catalogue.names():
        return FPS
    return catalogue.specification(card.environment).fps
