"""Encoded episodes come back as flat arrays with offsets."""

import numpy as np
import pytest

from world_models.errors import InputError
from world_models.storage.latents import LatentsReader, LatentsWriter

LENGTHS = (3, 1, 120)


def write(folder, lengths=LENGTHS):
    rng, parts = np.random.default_rng(0), []
    with LatentsWriter(folder, steps=sum(lengths), z_size=4, action_size=2) as writer:
        for seed, length in enumerate(lengths):
            part = {
                "mu": rng.normal(size=(length, 4)).astype(np.float32),
                "logvar": rng.normal(size=(length, 4)).astype(np.float32),
                "actions": rng.normal(size=(length, 2)).astype(np.float32),
                "rewards": rng.normal(size=length).astype(np.float32),
            }
            ends = {"seed": seed + 2**30, "terminated": seed == 0, "truncated": seed == 2}
            writer.add(**part, **ends)
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


def test_damage_is_told_with_the_cure(tmp_path):
    write(tmp_path)
    cure = rf"dvc checkout {tmp_path}"
    content = (tmp_path / "mu.npy").read_bytes()
    (tmp_path / "mu.npy").write_bytes(content[:-8])
    with pytest.raises(InputError, match=rf"mu.npy cannot be read.*{cure}"):
        LatentsReader(tmp_path).load()
    np.save(tmp_path / "mu.npy", np.zeros((124, 4)))
    with pytest.raises(InputError, match=rf"mu.npy holds float64, not float32.*{cure}"):
        LatentsReader(tmp_path).load()
    np.save(tmp_path / "mu.npy", np.zeros((123, 4), np.float32))
    with pytest.raises(InputError, match=rf"differ in length.*{cure}"):
        LatentsReader(tmp_path).load()
    (tmp_path / "mu.npy").unlink()
    with pytest.raises(InputError, match=rf"mu.npy cannot be read.*{cure}"):
        LatentsReader(tmp_path).load()
