"""Artifacts whose bytes are damaged at random, with checksums that match: refused, or harmless."""

import json
import random
import shutil
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from torture.rows import Outcome, Row
from world_models import folders
from world_models.errors import UserError
from world_models.storage import artifact
from world_models.storage.episodes import EpisodeReader
from world_models.storage.latents import Latents

MEMORY = 1 << 30
"""Bytes that reading a toy artifact may take at most."""


def flip(content: bytearray, rng: random.Random) -> None:
    """Another bit, or a few."""
    for _ in range(rng.choice([1, 1, 4, 32])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def flip_early(content: bytearray, rng: random.Random) -> None:
    """Another bit in the first kB, where formats keep what they say of the rest."""
    content[rng.randrange(min(len(content), 1024))] ^= 1 << rng.randrange(8)


def cut(content: bytearray, rng: random.Random) -> None:
    """The end is missing."""
    del content[rng.randrange(len(content)) :]


def repeat(content: bytearray, rng: random.Random) -> None:
    """A piece twice."""
    at = rng.randrange(len(content))
    content[at:at] = content[at : at + rng.randint(1, 4096)]


def fill(content: bytearray, rng: random.Random) -> None:
    """A piece of zeros, or of ones: NaN in most formats of numbers."""
    at, size = rng.randrange(len(content)), rng.choice([1, 4, 8, 64, 1024])
    content[at : at + size] = bytes([rng.choice([0, 255])]) * len(content[at : at + size])


def words(content: bytearray, rng: random.Random) -> None:
    """Another number or word in what is text."""
    at = rng.randrange(len(content))
    content[at : at + rng.randint(0, 3)] = rng.choice(
        [b"-1", b"1e308", b"NaN", b"99999999999", b"null", b"[]", b"{}", b'"', b"\x00", b"../"]
    )


HARMS = (flip, flip_early, cut, repeat, fill, words)


def run(
    models: dict[str, Path], count: int, seed: int, tell: Callable[[str], None]
) -> dict[str, Row]:
    """Damage a file of an artifact, ``count`` times in all, and read the artifact.

    Args:
        models: sound artifacts by kind.
        count: files to damage.
        seed: of what is damaged.
        tell: takes a line for each fault.
    """
    rng, rows = random.Random(seed), {kind: Row() for kind in models}
    kinds = sorted(models)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        row = rows[kind]
        with tempfile.TemporaryDirectory(prefix="torture-") as name:
            folder = Path(name) / kind
            shutil.copytree(models[kind], folder)
            what = _harm(folder, rng)
            fault = _read(folder)
        row.add(Outcome(why=fault))
        if fault:
            row.why.append(f"{what}: {fault}")
            tell(f"{kind}: {what}: {fault}")
        if number % 100 == 99:
            tell(f"files: {number + 1} of {count}")
    return rows


def artifacts(clone: Path) -> dict[str, Path]:
    """One of each kind, of a clone whose pipeline was reproduced."""
    data, models = clone / "data/takecover", clone / "models/takecover"
    kinds = {
        "vae": models,
        "mdnrnn": models,
        "controller": models,
        "rollouts": data,
        "latents": data,
    }
    return {kind: folder / kind for kind, folder in kinds.items()}


def _harm(folder: Path, rng: random.Random) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)
    path, harm = rng.choice(files), rng.choice(HARMS)
    content = bytearray(path.read_bytes())
    harm(content, rng)
    path.write_bytes(content)
    if path.name != artifact.CARD:
        card = json.loads((folder / artifact.CARD).read_text())
        card["files"] = {
            n: artifact.file_digest(folder / n) for n in card["files"] if (folder / n).exists()
        }
        (folder / artifact.CARD).write_text(json.dumps(card))
    return f"{harm.__name__} {path.name}"


def _read(folder: Path) -> str:
    """What is wrong with how the folder is read; empty if nothing is."""
    tracemalloc.start()
    try:
        _check(folders.read(folder))
    except UserError as error:
        text = str(error)
        return "" if str(folder) in text and "\n" not in text else f"says {text[:200]!r}"
    except AssertionError as error:
        return f"is taken for sound: {error}"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return "" if peak < MEMORY else f"takes {peak >> 20} MB"


def _check(read: Any) -> None:
    """All numbers that were read are finite."""
    if isinstance(read, EpisodeReader):
        with read:
            for number in range(len(read)):
                episode = read.episode(number)
                _finite(actions=episode.actions, rewards=episode.rewards)
    elif isinstance(read, Latents):
        _finite(mu=read.mu, logvar=read.logvar, actions=read.actions, rewards=read.rewards)
    else:
        _finite(**read.payload()[0])


def _finite(**arrays: np.ndarray[Any, Any]) -> None:
    for name, values in arrays.items():
        assert np.isfinite(values).all(), name
