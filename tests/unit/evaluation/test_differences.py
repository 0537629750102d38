"""Differences between agents, against the textbook's formulas."""

from math import sqrt

import numpy as np
import pandas as pd
import pytest

from world_models.evaluation.differences import difference


def series(values, first=0):
    return pd.Series(values, index=range(first, first + len(values)), dtype=float)


def test_equal_seeds_are_paired():
    one, other = series([1.0, 4.0, 2.0, 8.0]), series([2.0, 5.0, 4.0, 9.5])
    found = difference(one, other)
    changes = np.array([1.0, 1.0, 2.0, 1.5])
    half = 3.182446 * changes.std(ddof=1) / sqrt(4)  # Student's t for 3 degrees of freedom, 97.5 %
    assert found is not None
    assert found.test == "paired t-test over 4 equal seeds"
    assert found.mean == pytest.approx(1.375)
    assert (found.low, found.high) == pytest.approx((1.375 - half, 1.375 + half), rel=1e-5)
    assert found.p < 0.05


def test_the_order_of_episodes_does_not_matter():
    one, other = series([1.0, 4.0, 2.0, 8.0]), series([2.0, 5.0, 4.0, 9.5])
    assert difference(one, other) == difference(one.iloc[::-1], other)


def test_other_seeds_are_independent():
    one, other = series([1.0, 4.0, 2.0, 8.0]), series([2.0, 5.0, 4.0, 9.5, 3.0], first=10)
    found = difference(one, other)
    error = sqrt(one.var() / 4 + other.var() / 5)
    assert found is not None
    assert found.test == "Welch's t-test of independent episodes"
    assert found.mean == pytest.approx(other.mean() - one.mean())
    assert found.high - found.mean == pytest.approx(found.mean - found.low)
    assert found.high - found.mean > 1.96 * error


def test_equal_returns_differ_by_nothing():
    one = series([1.0, 4.0, 2.0])
    found = difference(one, one)
    assert found is not None
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_one_episode_says_nothing():
    assert difference(series([1.0]), series([1.0, 2.0])) is None


def test_chance_is_called_as_often_as_it_says():
    random = np.random.default_rng(0)
    ps = [
        difference(series(random.normal(size=20)), series(random.normal(size=20))).p
        for _ in range(400)
    ]
    assert 0.02 < np.mean(np.array(ps) < 0.05) < 0.09
