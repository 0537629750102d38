"""Episodes come back as they went in: by episode, by step, by chunk; in processes and threads."""

import hashlib
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import h5py
import numpy as np
import pandas as pd
import pytest
from data_sets import make_episode, write_shards

from world_models.errors import InputError
from world_models.storage import episodes as storage
from world_models.storage.episodes import Episode, EpisodeReader

LENGTHS = (1, 49, 50, 51, 120, 7)


EPISODES = [make_episode(seed, length) for seed, length in enumerate(LENGTHS, start=1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rollouts")
    write_shards(folder, EPISODES[:3], EPISODES[3:5], EPISODES[5:])
    return folder


def assert_equal(ours: Episode, theirs: Episode) -> None:
    for name in ("frames", "actions", "rewards"):
        assert getattr(ours, name).dtype == getattr(theirs, name).dtype
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    for name in ("seed", "terminated", "truncated"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_whole_episodes_come_back(folder):
    reader = EpisodeReader(folder)
    assert len(reader) == len(EPISODES)
    assert reader.lengths.tolist() == list(LENGTHS)
    assert reader.frames_total == sum(LENGTHS)
    assert reader.action_size == 3
    for number, episode in enumerate(EPISODES):
        assert_equal(reader.episode(number), episode)


def test_the_index_is_read_by_pandas_alone(folder):
    index = pd.read_parquet(folder / "index.parquet")
    columns = ["episode", "seed", "length", "return", "ended", "shard", "offset"]
    assert list(index.columns) == columns
    assert index["seed"].tolist() == [1, 2, 3, 4, 5, 6]
    returns = [episode.rewards.astype(np.float64).sum() for episode in EPISODES]
    np.testing.assert_allclose(index["return"], returns, rtol=1e-12)
    ended = ["stopped", "terminated", "truncated", "terminated", "stopped", "terminated"]
    assert index["ended"].tolist() == ended
    shards = [(index["shard"] == f"shard-{number:05}.h5").sum() for number in range(2)]
    assert shards == [3, 2]
    assert index["offset"].tolist() == [0, 1, 50, 0, 51, 0]
    pd.testing.assert_frame_equal(EpisodeReader(folder).index, index)


def test_shards_are_plain_hdf5(folder):
    with h5py.File(folder / "shard-00000.h5") as file:
        np.testing.assert_array_equal(file["frames"][1:50], EPISODES[1].frames)
        assert file["frames"].chunks == (50, 64, 64, 3)
        assert file["lengths"][:].tolist() == [1, 49, 50]


def test_frames_come_back_by_step(folder):
    reader = EpisodeReader(folder)
    for number, start, stop in [(4, 0, 120), (4, 37, 110), (3, 50, 51), (0, 0, 1), (2, 5, 5)]:
        expected = EPISODES[number].frames[start:stop]
        np.testing.assert_array_equal(reader.frames(number, start, stop), expected)


def test_chunks_cover_each_step_once_and_none_opens_two_stored_chunks(folder):
    reader = EpisodeReader(folder)
    pieces = reader.chunks()
    for number, length in enumerate(LENGTHS):
        mine = [piece for piece in pieces if piece.episode == number]
        steps = [step for piece in mine for step in range(piece.start, piece.stop)]
        assert steps == list(range(length))
    offsets = reader.index["offset"]
    for episode, start, stop in pieces:
        assert (offsets[episode] + start) // 50 == (offsets[episode] + stop - 1) // 50
    assert reader.chunks([4]) == [piece for piece in pieces if piece.episode == 4]


def test_chunks_stream_in_the_order_asked_for(folder):
    reader = EpisodeReader(folder)
    pieces = reader.chunks()
    order = np.random.default_rng(0).permutation(len(pieces))
    shuffled = [pieces[number] for number in order]
    streamed = list(reader.stream(shuffled))
    assert [piece for piece, _ in streamed] == shuffled
    for (episode, start, stop), frames in streamed:
        np.testing.assert_array_equal(frames, EPISODES[episode].frames[start:stop])


def test_equal_episodes_give_equal_bytes(folder, tmp_path):
    write_shards(tmp_path, EPISODES[:3], EPISODES[3:5], EPISODES[5:])
    for path in folder.iterdir():
        ours = hashlib.sha256(path.read_bytes()).digest()
        assert ours == hashlib.sha256((tmp_path / path.name).read_bytes()).digest(), path.name


def test_a_shard_s_bytes_tell_what_the_index_needs():
    data = storage.encode_shard(EPISODES[3:5])
    info = storage.shard_info("shard-00007.h5", data)
    assert info.name == "shard-00007.h5"
    assert info.frames == 171
    assert info.seeds.tolist() == [4, 5]
    assert info.lengths.tolist() == [51, 120]
    assert info.terminated.tolist() == [True, False]
    with pytest.raises(InputError, match="is no shard of episodes"):
        storage.shard_info("shard-00007.h5", data[: len(data) // 2])


def test_an_open_reader_serves_other_processes(folder):
    reader = EpisodeReader(folder)
    here = reader.frames(4, 10, 90)
    spawned = multiprocessing.get_context("spawn")  # as the engine's: never a fork
    with ProcessPoolExecutor(1, mp_context=spawned) as pool:
        there = pool.submit(reader.frames, 4, 10, 90).result(timeout=120)
    np.testing.assert_array_equal(there, here)
    np.testing.assert_array_equal(reader.frames(4, 10, 90), EPISODES[4].frames[10:90])


def test_threads_share_a_reader(folder):
    reader = pickle.loads(pickle.dumps(EpisodeReader(folder)))
    pieces = reader.chunks() * 20
    with ThreadPoolExecutor(4) as pool:
        for piece, frames in zip(
            pieces, pool.map(lambda p: reader.frames(*p), pieces), strict=True
        ):
            expected = EPISODES[piece.episode].frames[piece.start : piece.stop]
            np.testing.assert_array_equal(frames, expected)


def test_a_missing_or_damaged_file_is_told_with_the_cure(folder, tmp_path):
    with pytest.raises(InputError, match=rf"index.parquet cannot .*dvc checkout {tmp_path}"):
        EpisodeReader(tmp_path)
    (tmp_path / "index.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError, match=rf"index.parquet cannot .*dvc checkout {tmp_path}"):
        EpisodeReader(tmp_path)
    (tmp_path / "index.parquet").write_bytes((folder / "index.parquet").read_bytes())
    (tmp_path / "shard-00000.h5").write_bytes(b"")
    with pytest.raises(InputError, match=rf"shard-00000.h5 cannot .*dvc checkout {tmp_path}"):
        EpisodeReader(tmp_path).episode(0)
