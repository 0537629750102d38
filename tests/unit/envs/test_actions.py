import numpy as np
import pytest

from world_models.envs.actions import Argmax, Continuous, Thresholds


def test_continuous_outputs_fill_the_range():
    actions = Continuous((-2.0, 0.0), (2.0, 1.0))
    raw = np.array([[-50, -50], [0, 0], [50, 50], [1, -1]], np.float32)
    expected = [[-2, 0], [0, 0.5], [2, 1], [2 * np.tanh(1), (1 + np.tanh(-1)) / 2]]
    assert actions.squash(raw).dtype == np.float32
    np.testing.assert_allclose(actions.squash(raw), expected, atol=1e-6)
    np.testing.assert_array_equal(actions.native(raw[0]), raw[0])


@pytest.mark.parametrize(("value", "index"), [(-1, 0), (-0.4, 0), (0, 1), (0.4, 2), (1, 2)])
def test_thresholds_cut_a_number_into_ranges(value, index):
    actions = Thresholds((-1 / 3, 1 / 3))
    assert actions.n == 3
    assert actions.native(np.array([value], np.float32)) == index


def test_argmax_is_one_hot_and_takes_the_first_of_equals():
    actions = Argmax(3)
    raw = np.array([[0, 2, 1], [5, 5, 1], [-3, -2, -1]], np.float32)
    np.testing.assert_array_equal(actions.squash(raw), [[0, 1, 0], [1, 0, 0], [0, 0, 1]])
    assert [actions.native(row) for row in actions.squash(raw)] == [1, 0, 2]
    assert (actions.size, actions.squash(raw).dtype) == (3, np.float32)
