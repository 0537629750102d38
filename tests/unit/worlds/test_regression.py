"""The line that C is fitted to, against the same from rows in place of sums."""

import numpy as np
import pytest

from world_models.worlds import regression
from world_models.worlds.regression import Sums


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((300, 5)) * [1, 10, 0.1, 1, 0] + [0, 5, 1, -2, 3]).astype(np.float32)
    y = x @ rng.standard_normal((5, 2)) + 4 + 0.1 * rng.standard_normal((300, 2))
    return x, y


@pytest.mark.parametrize("bias", [True, False])
def test_sums_in_portions_give_the_line_of_all_rows(data, bias):
    x, y = data
    sums = Sums.empty(5, 2)
    for part in (slice(100), slice(100, 250), slice(250, 300)):
        sums = sums.plus(x[part], y[part])
    line = regression.fit(Sums.from_arrays(sums.arrays()), bias=bias)
    # Ridge as least squares with further rows, one for each weight.
    middle = x.astype(float).mean(axis=0) * bias
    centred = x - middle
    scale = np.sqrt((centred**2).mean(axis=0)) + 1e-3
    rows = np.vstack([centred / scale, np.sqrt(regression.RIDGE) * np.eye(5)])
    targets = np.vstack([y - y.mean(axis=0) * bias, np.zeros((5, 2))])
    weights = np.linalg.lstsq(rows, targets, rcond=None)[0] / scale[:, None]
    np.testing.assert_allclose(line.weights, weights, rtol=1e-6, atol=1e-7)
    predicted = line(x)
    if bias:
        np.testing.assert_allclose(predicted.mean(axis=0), y.mean(axis=0))
        np.testing.assert_allclose(line.deviation, predicted.std(axis=0), rtol=1e-6)
    else:
        assert not line.bias.any()
        root = np.sqrt((predicted**2).mean(axis=0))
        np.testing.assert_allclose(line.deviation, root, rtol=1e-6)
