"""The order of the batches: deterministic, resumable, complete, and bounded in memory."""

import tracemalloc
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from world_models.errors import ParameterError
from world_models.storage.episodes import EpisodeReader
from world_models.vision import data
from world_models.vision.data import FrameStream, share

Make = Callable[[list[int]], EpisodeReader]


def names(frames: np.ndarray) -> list[tuple[int, ...]]:
    """(episode, step) of frames, from their first pixel."""
    return [(int(r), int(g) + 256 * int(b)) for r, g, b in frames[:, 0, 0]]


def test_every_frame_once_an_epoch(make_data: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data, "GROUP", 3)
    stream = FrameStream(make_data([70, 130, 51, 9]), [0, 1, 3], seed=1)
    assert stream.frames == 209
    seen = [name for batch in stream.batches(11, 0, 38) for name in names(batch)]
    assert len(seen) == 2 * 209
    expected = Counter((e, t) for e, n in ((0, 70), (1, 130), (3, 9)) for t in range(n))
    assert Counter(seen[:209]) == expected == Counter(seen[209:])
    assert seen[:209] != seen[209:]


def test_batches_are_mixed(make_data: Make) -> None:
    stream = FrameStream(make_data([200] * 4), range(4), seed=1)
    first = names(next(stream.batches(32, 0, 1)))
    assert len({episode for episode, _ in first}) == 4
    assert first != sorted(first)


def test_a_resumed_run_sees_the_same_batches(
    make_data: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "GROUP", 2)
    reader = make_data([70, 130, 51])
    whole = list(FrameStream(reader, range(3), seed=1).batches(16, 0, 40))
    assert len(whole) == 40
    for start in (1, 7, 15, 16, 33, 39):
        rest = list(FrameStream(reader, range(3), seed=1).batches(16, start, 40))
        np.testing.assert_array_equal(np.array(whole[start:]), np.array(rest))
    other = next(FrameStream(reader, range(3), seed=2).batches(16, 0, 1))
    assert not np.array_equal(other, whole[0])


def test_a_batch_may_be_larger_than_the_data(make_data: Make) -> None:
    stream = FrameStream(make_data([5, 4]), range(2), seed=0)
    batch = next(stream.batches(20, 0, 1))
    assert sorted(Counter(names(batch)).values()) == [2] * 7 + [3] * 2


def test_noise_follows_from_seed_and_step(make_data: Make) -> None:
    reader = make_data([5, 4])
    stream, again = FrameStream(reader, [0], 1), FrameStream(reader, [0], 1)
    a, b, c = stream.noise(0, 4, 8), stream.noise(1, 4, 8), again.noise(1, 4, 8)
    assert a.shape == (4, 8)
    np.testing.assert_array_equal(b, c)
    assert not np.array_equal(a, b)


def test_frames_spread_over_episodes(make_data: Make) -> None:
    reader = make_data([10, 30, 20])
    assert names(reader.spread([0, 2], 1000)) == [
        *((0, t) for t in range(10)),
        *((2, t) for t in range(20)),
    ]
    few = names(reader.spread([0, 2], 4))
    assert few == [(0, 0), (0, 9), (2, 9), (2, 19)]


def test_shares_cover_the_batch() -> None:
    rows = [row for rank in range(4) for row in range(100)[share(100, rank, 4)]]
    assert rows == list(range(100))
    with pytest.raises(ParameterError, match="batch_size = 100"):
        share(100, 0, 3)


def test_memory_does_not_grow_with_the_data(
    make_data: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data, "GROUP", 4)
    peaks = []
    for count in (6, 60):
        reader = make_data([100] * count)
        tracemalloc.start()
        for _ in FrameStream(reader, range(count), seed=1).batches(50, 0, 2 * count):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[0] > 4 * 50 * 64 * 64 * 3  # the group is seen by the measurement
    assert peaks[1] < 1.2 * peaks[0]
