"""Peak memory of reading: on a data set ten times as large it must not grow with the data.

Peer: the same path on the small data set. Each figure comes from a process of its own.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from world_models.seeding import hold_out
from world_models.storage.episodes import (
    Episode,
    EpisodeReader,
    assemble,
    encode_shard,
    shard_info,
    shard_name,
)
from world_models.storage.latents import LatentsWriter
from world_models.vision import encoding
from world_models.vision.data import FrameStream, as_batch
from world_models.vision.model import Vision
from world_models.vision.network import PAPER_CHANNELS, VAE

BATCH = 100
LENGTH, EPISODES = 500, 7
"""Of a shard: 3,500 frames, 43 MB."""
SHARDS = {"vae": 4, "encode": 1}
"""Of the small data set: V's shuffling holds two groups of 6,400 frames, which 14,000 fill."""
FACTOR = 10
TARGET = 1.2


def write(folder: Path, shards: int) -> None:
    """A data set of ``shards`` shards of equal content: only sizes matter here."""
    rng = np.random.default_rng(0)
    data = encode_shard(_episode(rng, seed) for seed in range(EPISODES))
    folder.mkdir()
    infos = []
    for number in range(shards):
        (folder / shard_name(number)).write_bytes(data)
        infos.append(shard_info(shard_name(number), data))
    assemble(folder, infos)


def _episode(rng: np.random.Generator, seed: int) -> Episode:
    base = rng.integers(0, 200, size=(64, 64, 3), dtype=np.uint8)
    frames = base + np.arange(LENGTH, dtype=np.uint8)[:, None, None, None] % 50
    actions = rng.normal(size=(LENGTH, 3)).astype(np.float32)
    return Episode(seed, frames, actions, actions[:, 0], terminated=True, truncated=False)


def vae(folder: Path) -> None:
    """An epoch of V's batches, and the frames held out."""
    reader = EpisodeReader(folder)
    parts = hold_out(reader.index["seed"].to_numpy(), 0.05)
    reader.spread(parts.held_out.tolist(), 500)
    frames = FrameStream(reader, parts.training.tolist(), seed=0)
    steps = frames.frames // BATCH
    for step, batch in enumerate(frames.batches(BATCH, 0, steps)):
        as_batch(batch, frames.noise(step, BATCH, 32))


def encode(folder: Path) -> None:
    """All episodes through V's encoder, to latents on disk."""
    reader, vision = EpisodeReader(folder), Vision(VAE(32, PAPER_CHANNELS))
    out = folder / "latents"
    out.mkdir()
    with LatentsWriter(out, steps=reader.frames_total, z_size=32, action_size=3) as writer:
        for encoded in encoding.encode_episodes(vision, reader, BATCH, threads=1):
            encoding.write(encoded, writer)


PATHS: dict[str, Callable[[Path], None]] = {"vae": vae, "encode": encode}


def peak(stage: str, folder: Path) -> float:
    """Peak resident memory in MB of a process that reads ``folder`` as ``stage`` does."""
    code = (
        "import sys; from pathlib import Path; from benchmarks import streaming;"
        "print(streaming.here(sys.argv[1], Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", code, stage, str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def here(stage: str, folder: Path) -> float:
    """The same, of this process.

    Not by ``getrusage``: across ``exec`` that keeps the peak of the process that started us.
    """
    PATHS[stage](folder)
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) / 1e3


def measure() -> list[dict[str, object]]:
    """A line for each stage that reads frames."""
    lines: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for stage, shards in SHARDS.items():
            small, large = Path(temporary) / f"{stage}-small", Path(temporary) / f"{stage}-large"
            write(small, shards)
            write(large, shards * FACTOR)
            peer, ours = peak(stage, small), peak(stage, large)
            lines.append(
                {
                    "name": f"peak memory of {stage}, {FACTOR}× the data",
                    "ours": ours,
                    "peer": peer,
                    "unit": "MB",
                    "ratio": ours / peer,
                    "target": TARGET,
                    "met": ours / peer < TARGET,
                }
            )
    return lines
