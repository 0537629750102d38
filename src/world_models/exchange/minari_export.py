"""Episodes as a Minari data set, without loss, in memory that does not grow with it.

Minari has an observation more than steps. Ours end with the last action, so the last frame stands
there twice; importing leaves the second one out.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from world_models.envs import catalogue
from world_models.envs.frames import SIZE
from world_models.errors import UserError
from world_models.exchange import library
from world_models.progress import progress
from world_models.storage import atomic
from world_models.storage.artifact import Card, open_artifact
from world_models.storage.episodes import EpisodeReader
from world_models.storage.shards import Episode

CARD = "world_models"
"""Key of Minari's metadata under which the whole card stands."""
FINAL = "The last observation of an episode repeats the one before: no frame was kept after the end"


def export(folder: Path, name: str, root: Path | None = None) -> Path:
    """Write a data set of episodes where Minari finds it by ``name``, whole or not at all.

    Args:
        folder: of the episodes.
        name: such as ``world-models/carracing-v0``.
        root: Minari's folder; None: where Minari itself looks.

    Returns:
        The new folder.

    Raises:
        InputError: the episodes are missing or damaged.
        UserError: Minari is missing, or has a data set of that name.
    """
    library.check_name(name)
    minari = library.minari()
    card = open_artifact(folder, "rollouts")
    out = library.root(root) / name
    if out.exists():
        raise UserError(f"{out} exists. Give the data set another name or version.")
    with EpisodeReader(folder) as reader, atomic.atomic_folder(out, replaces=False) as draft:
        storage = _storage(draft / "data", card, reader.action_size)
        storage.update_metadata(_metadata(name, card, minari.__version__))
        storage.update_episodes(_buffers(reader))
    return out


def _storage(folder: Path, card: Card, action_size: int) -> Any:
    from minari.dataset.minari_storage import MinariStorage

    return MinariStorage.new(
        folder,
        observation_space=spaces.Box(0, 255, (SIZE, SIZE, 3), np.uint8),
        action_space=_action_space(card.environment, action_size),
        env_spec=_environment(card),
        data_format="hdf5",
        jpeg_encoding=False,  # JPEG loses, and V would learn its blocks
    )


def _action_space(environment: str, size: int) -> spaces.Box:
    if environment in catalogue.names():
        actions = catalogue.specification(environment).actions
        return spaces.Box(actions.low, actions.high, dtype=np.float32)
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)


def _environment(card: Card) -> Any:
    """What ``recover_environment`` makes: the simulator with the renderer of the data."""
    if card.environment not in catalogue.names():
        return None
    found = copy.deepcopy(gymnasium.spec(catalogue.specification(card.environment).id))
    renderer = card.details.get("renderer")
    if renderer is not None:
        found.kwargs["renderer"] = renderer
    return found


def _metadata(name: str, card: Card, version: str) -> dict[str, Any]:
    policies = [str(one["policy"]) for one in card.details.get("sources", [card.details])]
    versions = card.details.get("simulator", {})
    return {
        "dataset_id": name,
        "minari_version": version,
        "algorithm_name": ", ".join(dict.fromkeys(policies)),
        "description": f"Episodes of {card.environment} for a world model. {FINAL}.",
        "requirements": [f"{name}=={v}" for name, v in versions.items() if v != "unknown"],
        CARD: {"digest": card.digest(), "final_observation": "repeated", **_card(card)},
    }


def _card(card: Card) -> dict[str, Any]:
    names = ("environment", "stage", "parameters", "metrics", "details", "lineage")
    return {name: getattr(card, name) for name in names}


def _buffers(reader: EpisodeReader) -> Iterator[Any]:
    """Episode by episode, as Minari takes them."""
    with progress(len(reader), "export") as bar:
        for number in range(len(reader)):
            yield _buffer(reader.episode(number))
            bar.advance()


def _buffer(episode: Episode) -> Any:
    from minari.data_collector import EpisodeBuffer

    ends = np.zeros((2, len(episode)), np.bool_)
    ends[:, -1] = episode.terminated, episode.truncated
    return EpisodeBuffer(
        seed=episode.seed,
        observations=np.concatenate([episode.frames, episode.frames[-1:]]),
        actions=episode.actions,
        rewards=episode.rewards,
        terminations=ends[0],
        truncations=ends[1],
        infos={},
    )
