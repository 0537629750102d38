"""Encoded episodes come back as flat arrays with offsets."""

import numpy as np
import pytest

from world_models.errors import InputError
from world_models.storage import tensors
from world_models.storage.latents import LatentsReader, LatentsWriter

LENGTHS = (3, 1, 120)


SHARDS = ("shard-00000.h5", "shard-00000.h5", "shard-00001.h5")


def write(folder, lengths=LENGTHS):
    rng, parts = np.random.default_rng(0), []
    with LatentsWriter(folder) as writer:
        for seed, (length, shard) in enumerate(zip(lengths, SHARDS, strict=False)):
            part = {
                "mu": rng.normal(size=(length, 4)).astype(np.float32),
                "logvar": rng.normal(size=(length, 4)).astype(np.float32),
                "actions": rng.normal(size=(length, 2)).astype(np.float32),
                "rewards": rng.normal(size=length).astype(np.float32),
            }
            ends = {"seed": seed + 2**30, "terminated": seed == 0, "truncated": seed == 2}
            writer.add(shard, **part, **ends)
            parts.append(part)
    return parts


def test_episodes_come_back(tmp_path):
    parts = write(tmp_path)
    latents = LatentsReader(tmp_path).load()
    assert (latents.episodes, latents.z_size, latents.action_size) == (3, 4, 2)
    assert latents.offsets.tolist() == [0, 3, 4, 124]
    assert latents.lengths.tolist() == list(LENGTHS)
    assert latents.seeds.tolist() == [2**30, 2**30 + 1, 2**30 + 2]
    assert latents.terminated.tolist() == [True, False, False]
    assert latents.truncated.tolist() == [False, False, True]
    for episode, part in enumerate(parts):
        for name, expected in part.items():
            array = getattr(latents, name)
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array[latents.span(episode)], expected)


def test_equal_content_gives_equal_bytes(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write(tmp_path / name)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_more_episodes_leave_the_files_of_full_shards_as_they_are(tmp_path):
    for name, lengths in (("a", LENGTHS[:2]), ("b", LENGTHS)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, lengths)
    assert {path.name for path in (tmp_path / "b").iterdir()} == {
        "shard-00000.safetensors",
        "shard-00001.safetensors",
    }
    first = "shard-00000.safetensors"
    assert (tmp_path / "a" / first).read_bytes() == (tmp_path / "b" / first).read_bytes()


def test_damage_is_told_with_the_cure(tmp_path):
    write(tmp_path)
    cure, path = rf"dvc checkout {tmp_path}", tmp_path / "shard-00001.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-8])
    with pytest.raises(InputError, match=rf"{path.name} is damaged.*{cure}"):
        LatentsReader(tmp_path).load()
    arrays = tensors.from_bytes(content)
    tensors.save(path, arrays | {"mu": arrays["mu"].astype(np.float64)})
    with pytest.raises(
        InputError, match=rf"{path.name} is no shard.*mu should be float32.*is float64.*{cure}"
    ):
        LatentsReader(tmp_path).load()
    tensors.save(path, arrays | {"mu": arrays["mu"][1:]})
    with pytest.raises(InputError, match=rf"{path.name} is no shard.*mu should.*N .*{cure}"):
        LatentsReader(tmp_path).load()
    for each in tmp_path.iterdir():
        each.unlink()
    with pytest.raises(InputError, match=rf"holds no latents.*{cure}"):
        LatentsReader(tmp_path).load()
