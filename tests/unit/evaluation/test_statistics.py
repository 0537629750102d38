import math
import statistics

import numpy as np
import pytest
from scipy import stats

from world_models.evaluation.statistics import score


def test_score_against_the_standard_library_and_scipy():
    returns = [812.5, 700.25, -12.0, 905.0, 333.0]
    got = score(returns, np.array([1000, 1000, 200, 950, 1000]))
    assert got.mean == pytest.approx(statistics.mean(returns))
    assert got.sd == pytest.approx(statistics.stdev(returns))
    assert got.se == pytest.approx(stats.sem(returns))
    assert (got.n, got.length) == (5, 830.0)


def test_two_equal_returns_have_no_spread():
    got = score([3.0, 3.0], np.array([1, 2]))
    assert (got.sd, got.se, got.n) == (0.0, 0.0, 2)
    assert not math.isnan(got.se)


def test_one_episode_has_no_standard_deviation_and_is_refused():
    with pytest.raises(AssertionError):
        score([3.0], np.array([1]))
