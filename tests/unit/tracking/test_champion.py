"""Which agent is the champion: two tests against scipy's textbook examples, and their use."""

import numpy as np
import pytest
from scipy import stats

from world_models.tracking.champion import compare, returns, wins

LUCK = np.random.default_rng(3).normal(size=20)
"""What a seed does to every agent that plays it."""


def agent(mean: float, spread: float = 0.1, first: int = 0) -> dict[int, float]:
    noise = np.random.default_rng(int(mean)).normal(size=20) * spread
    return {
        first + seed: mean + 100 * luck + n
        for seed, (luck, n) in enumerate(zip(LUCK, noise, strict=True))
    }


def test_equal_seeds_are_compared_in_pairs():
    """A gain of 10 is nothing beside an SD of 100, yet each seed shows it."""
    found = compare(agent(510), agent(500))
    assert found.test.startswith("paired")
    assert wins(found)
    assert found.mean == pytest.approx(10, abs=0.2)
    pairs = (list(agent(mean).values()) for mean in (510, 500))
    assert found.p == stats.ttest_rel(*pairs).pvalue


def test_the_order_of_the_seeds_does_not_matter():
    shuffled = dict(reversed(agent(510).items()))
    assert compare(shuffled, agent(500)).mean == pytest.approx(10, abs=0.2)
    assert compare(shuffled, agent(500)).test.startswith("paired")


def test_other_seeds_are_compared_by_welch():
    found = compare(agent(510, first=100), agent(500))
    assert found.test.startswith("Welch")
    assert not wins(found)  # 10 ± 32
    assert wins(compare(agent(900, first=100), agent(500)))


def test_worse_or_equal_or_unknown_is_not_better():
    assert not wins(compare(agent(500), agent(510)))
    same = compare(agent(500), agent(500))
    assert not wins(same)
    assert same.mean == 0
    assert not wins(compare({7: 900.0}, agent(500)))


def test_returns_are_those_of_the_agent(tmp_path):
    table = tmp_path / "episodes.csv"
    table.write_text("policy,seed,return\nagent,7,1.5\nagent,8,2.5\nrandom,7,9.0\n")
    assert returns(table) == {7: 1.5, 8: 2.5}
