"""Frames to mp4 and GIF: equal frames give equal bytes."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Video = NDArray[np.uint8]


def write_mp4(path: Path, frames: Video, fps: Fraction) -> None:
    """Write H.264 in yuv420p, which every browser plays.

    One thread and no time stamps, so that the bytes depend on the frames and the encoder alone.

    Args:
        path: the file.
        frames: uint8 (n, H, W, 3), n ≥ 1; an odd last row or column is left out.
        fps: frames a second.
    """
    height, width = frames.shape[1] // 2 * 2, frames.shape[2] // 2 * 2
    options = {"fflags": "+bitexact", "movflags": "+faststart"}
    with av.open(str(path), "w", format="mp4", options=options) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        # Without the macroblock tree: on AVX-512 it reads memory that nothing has written when the
        # width is no multiple of 16, and the bytes differ from one time to the next.
        plain = "mbtree=0"
        stream.options = {"crf": "20", "preset": "veryfast", "threads": "1", "x264-params": plain}
        stream.thread_count = 1
        for frame in frames[:, :height, :width]:
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def write_gif(path: Path, frames: Video, fps: Fraction) -> None:
    """Write an endless GIF with one palette for all frames, without dithering (small, calm).

    Args:
        path: the file.
        frames: uint8 (n, H, W, 3), n ≥ 1.
        fps: frames a second; a GIF counts hundredths of a second.
    """
    palette = _palette(frames)
    images = [
        Image.fromarray(f).quantize(palette=palette, dither=Image.Dither.NONE) for f in frames
    ]
    images[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=10 * round(100 / fps),
        loop=0,
        optimize=False,
    )


def _palette(frames: Video) -> Image.Image:
    """A palette of some frames spread over the video."""
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), 16)).astype(int)
    sheet = np.concatenate(list(frames[chosen]), axis=0)
    return Image.fromarray(sheet).quantize(256, method=Image.Quantize.MEDIANCUT)


def side_by_side(panels: Sequence[Video], height: int, gap: int = 4) -> Video:
    """Put videos next to each other.

    Args:
        panels: uint8 (n, H, W, 3) each, any size; the shortest decides n.
        height: of the result; each panel is scaled to it (pixels of small ones stay sharp).
        gap: black columns between panels.

    Returns:
        uint8 (n, height, W', 3).
    """
    n = min(len(panel) for panel in panels)
    scaled = [scale(panel[:n], height) for panel in panels]
    bar = np.zeros((n, height, gap, 3), np.uint8)
    parts = [part for panel in scaled for part in (bar, panel)][1:]
    return np.concatenate(parts, axis=2)


def scale(frames: Video, height: int) -> Video:
    """Scale uint8 (n, H, W, 3) to a height: averaged when smaller, sharp pixels when larger."""
    n, rows, columns, _ = frames.shape
    width = round(columns * height / rows)
    smaller = height < rows
    method = Image.Resampling.BOX if smaller else Image.Resampling.NEAREST
    scaled = np.empty((n, height, width, 3), np.uint8)
    for frame, out in zip(frames, scaled, strict=True):
        out[:] = np.asarray(Image.fromarray(frame).resize((width, height), method))
    return scaled
