from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from world_models.reports.videos import side_by_side, write_gif, write_mp4


@pytest.fixture(scope="module")
def frames():
    """A bright square that moves over a dark gradient, uint8 (20, 65, 97, 3): odd sizes."""
    video = np.zeros((20, 65, 97, 3), np.uint8)
    video[..., 2] = np.arange(97, dtype=np.uint8)[None, None]
    for t, frame in enumerate(video):
        frame[20:36, 3 * t : 3 * t + 16] = (230, 120, 20)
    return video


def _decoded(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        facts = (stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate)
        pictures = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    return facts, np.stack(pictures)


def test_mp4_plays_everywhere_and_shows_the_frames(tmp_path, frames):
    write_mp4(tmp_path / "a.mp4", frames, Fraction(35, 2))
    facts, pictures = _decoded(tmp_path / "a.mp4")
    assert facts == ("h264", "yuv420p", Fraction(35, 2))
    assert pictures.shape == (20, 64, 96, 3)
    # colour is halved in resolution, so edges differ; the rest is what was drawn
    assert np.abs(pictures.astype(int) - frames[:, :64, :96]).mean() < 6
    assert np.abs(pictures[19, 28, 65].astype(int) - (230, 120, 20)).max() < 16


def test_equal_frames_give_equal_bytes(tmp_path, frames):
    for name in ("a", "b"):
        write_mp4(tmp_path / f"{name}.mp4", frames, Fraction(25))
        write_gif(tmp_path / f"{name}.gif", frames, Fraction(25, 2))
    for suffix in ("mp4", "gif"):
        first = (tmp_path / f"a.{suffix}").read_bytes()
        assert first == (tmp_path / f"b.{suffix}").read_bytes()


def test_bytes_do_not_depend_on_what_memory_held(tmp_path):
    """At a width that is no multiple of 16, where x264 on AVX-512 has read unwritten memory."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (20, 16, 49, 3), np.uint8).cumsum(0, np.uint8) // 8
    video = coarse.repeat(16, axis=1).repeat(16, axis=2)[:, :, :776]
    found = set()
    for _ in range(10):
        used = [rng.bytes(int(size)) for size in rng.integers(1_000, 900_000, 5)]
        del used
        write_mp4(tmp_path / "a.mp4", video, Fraction(25))
        found.add((tmp_path / "a.mp4").read_bytes())
    assert len(found) == 1


def test_gif_is_endless_and_keeps_pace_and_colours(tmp_path, frames):
    write_gif(tmp_path / "a.gif", frames, Fraction(25, 2))
    with Image.open(tmp_path / "a.gif") as image:
        assert (image.n_frames, image.size) == (20, (97, 65))
        assert (image.info["loop"], image.info["duration"]) == (0, 80)
        image.seek(19)
        picture = np.asarray(image.convert("RGB")).astype(int)
    assert np.abs(picture - frames[19]).mean() < 6


def test_side_by_side_scales_to_one_height_and_the_shortest_length():
    red = np.full((3, 64, 64, 3), (255, 0, 0), np.uint8)
    blue = np.full((5, 200, 300, 3), (0, 0, 255), np.uint8)
    video = side_by_side([red, blue], height=128, gap=4)
    assert video.shape == (3, 128, 128 + 4 + 192, 3)
    assert (video[:, :, :128] == (255, 0, 0)).all()
    assert (video[:, :, 128:132] == 0).all()
    assert (video[:, :, 132:] == (0, 0, 255)).all()


def test_small_pixels_stay_sharp_and_large_ones_are_averaged():
    checks = np.zeros((1, 2, 2, 3), np.uint8)
    checks[0, 0, 0] = checks[0, 1, 1] = 200
    large = side_by_side([checks], height=8)[0]
    assert (large[:4, :4] == 200).all()
    assert (large[:4, 4:] == 0).all()
    assert (side_by_side([checks], height=1)[0] == 100).all()
