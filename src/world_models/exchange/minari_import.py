"""A Minari data set of pictures as a source of episodes, read one after the other."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from world_models.errors import InputError, UserError
from world_models.exchange import library, recorded, spaces
from world_models.exchange.minari_export import CARD
from world_models.storage import guard
from world_models.storage.shards import FRAME, LENGTH, Episode


@dataclass(frozen=True)
class Source:
    """What is imported.

    Attributes:
        count: episodes.
        episodes: all of them, in order; each is read when it is asked for.
        details: for the card: whence they are, JSON-able.
        policy: who acted.
    """

    count: int
    episodes: Callable[[], Iterator[Episode]]
    details: dict[str, Any]
    policy: str


def open_source(name: str, environment: str, key: str | None, root: Path | None = None) -> Source:
    """Open a data set by Minari's name for it, or by its folder.

    Args:
        name: such as ``world-models/carracing-v0``, or a folder that holds ``data``.
        environment: that the data are of.
        key: which observations are the pictures, where they have several parts.
        root: Minari's folder; None: where Minari itself looks.

    Raises:
        InputError: it is missing or damaged, or holds no pictures.
        UserError: Minari is missing.
    """
    minari = library.minari()
    folder = Path(name) if Path(name, "data").is_dir() else library.root(root) / name
    if not folder.is_dir():
        raise InputError(
            f"{name} is no Minari data set on this machine ({folder} is missing). `minari list "
            f"local` names those there are, `minari download {name}` brings one of Farama's."
        )
    with _readable(name):
        recorded.check(folder / "data")
    try:
        data = minari.MinariDataset(folder / "data")
    except UserError:
        raise
    except Exception as error:  # whatever Minari meets in what others wrote
        raise InputError(
            f"{name} is no Minari data set on this machine ({error}). `minari list local` names "
            f"those there are, `minari download {name}` brings one of Farama's."
        ) from error
    key_path = spaces.picture_key(data.observation_space, key)
    read = spaces.action_reader(data.action_space, environment)
    with _readable(name):
        seeds, metadata = _seeds(data), dict(data.storage.metadata)
    shape = tuple(_picture_space(data.observation_space, key_path).shape)

    def episodes() -> Iterator[Episode]:
        with _readable(name):
            for number, found in enumerate(data.iterate_episodes()):
                seed = number if seeds is None else seeds[number]
                yield _episode(found, key_path, shape, read, seed)

    policy = str(metadata.get("algorithm_name", "unknown"))
    details = _details(data, metadata) | {
        "seeds": "numbers of the episodes" if seeds is None else "of the source",
        "resized": shape != FRAME,
    }
    return Source(int(data.total_episodes), episodes, details, policy)


def _details(data: Any, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of a data set as a whole, for the card."""
    return {
        "format": "minari",
        "name": str(data.id),
        "minari_version": str(data.minari_version),
        "lossy": bool(metadata.get("jpeg_encoding", False)),
        "card": metadata.get(CARD, {}).get("digest"),
    }


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except (UserError, MemoryError) as error:
        if name in str(error) or isinstance(error, MemoryError):
            raise
        raise InputError(f"{name}: {error} Download or export it again.") from error
    except Exception as error:  # whatever Minari meets in what others wrote
        said = guard.brief(error)
        raise InputError(f"{name} is damaged ({said}). Download or export it again.") from error


def _picture_space(space: Any, key_path: tuple[str, ...]) -> Any:
    for key in key_path:
        space = space.spaces[key]
    return space


def _seeds(data: Any) -> list[int] | None:
    """Seeds of the episodes; None where some have none or the same: they are no names then."""
    found = [one.get("seed") for one in data.storage.get_episode_metadata(data.episode_indices)]
    if any(seed is None for seed in found) or len(set(found)) < len(found):
        return None
    seeds, largest = [int(seed) for seed in found], np.iinfo(np.int64).max
    if max(map(abs, seeds)) > largest:
        raise InputError("A seed is an integer of 64 bits; one is larger.")
    return seeds


def _episode(
    found: Any,
    key_path: tuple[str, ...],
    shape: tuple[int, ...],
    read: Callable[[Any], Any],
    seed: int,
) -> Episode:
    pictures = found.observations
    for key in key_path:
        pictures = pictures[key]
    rewards = np.asarray(found.rewards, np.float32)
    steps = len(rewards)  # there is an observation more: what came after the last action
    if rewards.ndim != 1 or not 1 <= steps <= LENGTH or not np.isfinite(rewards).all():
        raise InputError(f"An episode has 1 to {LENGTH:,} finite rewards; one has others.")
    terminated, truncated = (_last(ends, steps) for ends in (found.terminations, found.truncations))
    actions = read(found.actions)
    if len(actions) != steps:
        raise InputError(f"An episode has {len(actions):,} actions and {steps:,} rewards.")
    return Episode(
        seed=seed,
        frames=spaces.to_frames(np.asarray(pictures[:steps]), (steps, *shape)),
        actions=actions,
        rewards=rewards,
        terminated=terminated,
        truncated=truncated,
    )


def _last(ends: Any, steps: int) -> bool:
    """Whether an episode ended so; ``ends`` says it for each step."""
    array = np.asarray(ends)
    if array.shape != (steps,) or not np.isin(array, (0, 1)).all():
        raise InputError(f"Ends are {array.dtype} {array.shape}: give a truth for each step.")
    return bool(array[-1])
