"""What people look at: the agent, what V keeps of its view, and what M dreams, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_models.envs import catalogue
from world_models.evaluation.recordings import Recording
from world_models.reports.replay import HEIGHT, Film
from world_models.reports.videos import Video, side_by_side, write_gif, write_mp4
from world_models.vision.model import Vision

STRIDE, GIF_STRIDE = 2, 4
"""Steps between two pictures. Of 50 steps a second a video shows 25 and a GIF 12.5."""
GIF_HEIGHT = 128
"""Pixels; an mp4 has :data:`~world_models.reports.replay.HEIGHT`."""
CHUNK = 64
"""Frames that V works on at a time."""


@dataclass(frozen=True)
class View:
    """One episode in reality, a picture every :data:`STRIDE` steps.

    Attributes:
        pictures: for people, uint8 (n, H, W, 3).
        frames: what V sees, uint8 (n, 64, 64, 3).
        decoded: what V keeps of them: decodings of mu, uint8 (n, 64, 64, 3).
    """

    pictures: Video
    frames: Video
    decoded: Video


def view(film: Film, vision: Vision) -> View:
    """Let V see an episode."""
    mus = [vision.encode(chunk)[0] for chunk in _chunks(film.frames)]
    return View(film.pictures, film.frames, decode(np.concatenate(mus), vision))


def dreamed(recordings: Sequence[Recording], vision: Vision, steps: int) -> Video:
    """V's decoding of what M dreamed, one dream after the other, uint8 (n, 64, 64, 3).

    Args:
        recordings: of dreams.
        vision: V.
        steps: how many to show at most, every :data:`STRIDE` of them.
    """
    z = np.concatenate([recording.z for recording in recordings])[:steps:STRIDE]
    return decode(z, vision)


def decode(z: NDArray[np.float32], vision: Vision) -> Video:
    """Decode z, float32 (n, Z), in chunks."""
    return np.concatenate([vision.decode(np.ascontiguousarray(part)) for part in _chunks(z)])


def _chunks(array: NDArray[Any]) -> list[NDArray[Any]]:
    return [array[start : start + CHUNK] for start in range(0, len(array), CHUNK)]


def panels(seen: View, height: int) -> Video:
    """The game, V's view of it, V's reconstruction, side by side."""
    return side_by_side([seen.pictures, seen.frames, seen.decoded], height)


def write(path: Path, environment: str, videos: Sequence[Video]) -> None:
    """Write videos of 64×64 or larger frames one after the other, as ``.mp4`` or ``.gif``.

    Args:
        path: its suffix decides.
        environment: whose pace they have.
        videos: with a picture every :data:`STRIDE` steps.
    """
    if path.suffix == ".gif":
        every = GIF_STRIDE // STRIDE
        frames = [side_by_side([video[::every]], GIF_HEIGHT) for video in videos]
        write_gif(path, np.concatenate(frames), _fps(environment, GIF_STRIDE))
    else:
        frames = [side_by_side([video], HEIGHT) for video in videos]
        write_mp4(path, np.concatenate(frames), _fps(environment, STRIDE))


def write_agent(path: Path, environment: str, views: Sequence[View]) -> None:
    """Write :func:`panels` of one or more episodes, one after the other."""
    write(path, environment, [panels(seen, HEIGHT) for seen in views])


def write_dream(folder: Path, environment: str, seen: View, dream: Video) -> None:
    """Write ``dream.mp4``: reality as V keeps it on the left, M's dream on the right."""
    video = side_by_side([seen.frames, seen.decoded, dream], HEIGHT)
    write_mp4(folder / "dream.mp4", video, _fps(environment, STRIDE))


def write_gifs(folder: Path, environment: str, seen: View, dream: Video, steps: int) -> None:
    """Write ``agent.gif`` (the game) and ``agent-and-dream.gif`` (game, V's view, dream)."""
    every, last = GIF_STRIDE // STRIDE, -(-steps // STRIDE)
    fps = _fps(environment, GIF_STRIDE)
    pictures, decoded, dream = (v[:last:every] for v in (seen.pictures, seen.decoded, dream))
    write_gif(folder / "agent.gif", side_by_side([pictures], GIF_HEIGHT), fps)
    together = side_by_side([pictures, decoded, dream], GIF_HEIGHT)
    write_gif(folder / "agent-and-dream.gif", together, fps)


def _fps(environment: str, stride: int) -> Fraction:
    return Fraction(catalogue.specification(environment).fps, stride)
