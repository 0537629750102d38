"""Named arrays survive, in equal bytes."""

import numpy as np
import pytest

from world_models.errors import InputError
from world_models.storage import tensors

ARRAYS = {
    "weight": np.arange(12, dtype=np.float32).reshape(3, 4).T,  # not contiguous
    "seeds": np.array([2**40, -1]),
    "flag": np.array(True),
    "empty": np.zeros((0, 5), np.float32),
}


def test_arrays_survive(tmp_path):
    tensors.save(tmp_path / "a.safetensors", ARRAYS)
    loaded = tensors.load(tmp_path / "a.safetensors")
    assert loaded.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)


def test_order_does_not_show_in_the_bytes():
    backwards = dict(reversed(list(ARRAYS.items())))
    assert tensors.to_bytes(ARRAYS) == tensors.to_bytes(backwards)


@pytest.mark.parametrize("content", [b"", b"12345678901234567890", tensors.to_bytes(ARRAYS)[:-3]])
def test_damage_is_told_with_the_cure(tmp_path, content):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{path} is damaged.*dvc checkout {tmp_path}"):
        tensors.load(path)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match=r"a.safetensors cannot be read: No such file"):
        tensors.load(tmp_path / "a.safetensors")
