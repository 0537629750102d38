"""The baselines' NLL, against SciPy's densities and a regression by hand."""

import numpy as np
import pytest
from scipy import stats

from world_models.memory import baselines, held_out
from world_models.memory.data import Steps
from world_models.storage.latents import Latents


def episodes(seed, lengths):
    """z follows a line of its own in each of two dimensions, anew in each episode."""
    rng, parts = np.random.default_rng(seed), []
    for length in lengths:
        z = rng.normal(size=(length, 2))
        for t in range(1, length):
            z[t] = [0.9, -0.5] * z[t - 1] + [0.3, 2.0] + [0.2, 0.7] * z[t]
        parts.append(z)
    mu = np.concatenate(parts).astype(np.float32)
    n, count = len(mu), len(lengths)
    return Latents(
        mu=mu,
        logvar=np.full((n, 2), -20, np.float32),  # z is mu, all but exactly
        actions=np.zeros((n, 1), np.float32),
        rewards=np.zeros(n, np.float32),
        offsets=np.cumsum([0, *lengths]),
        terminated=np.zeros(count, bool),
        truncated=np.ones(count, bool),
        seeds=np.arange(count),
    )


def pairs(latents, count):
    """Successive z of the first ``count`` episodes, never from one episode to the next."""
    spans = [latents.mu[latents.span(e)] for e in range(count)]
    return tuple(np.concatenate(x) for x in ([s[:-1] for s in spans], [s[1:] for s in spans]))


def test_equals_scipy_on_each_dimension():
    old, new = episodes(0, [200, 150, 3]), episodes(1, [60, 2, 80])
    found = baselines.nll(Steps.of(old, np.arange(3)), Steps.of(new, np.arange(3)), seed=5)
    (x, y), (now, then) = pairs(old, 3), pairs(new, 3)
    for d in range(2):
        step = np.sqrt(np.mean((y[:, d] - x[:, d]) ** 2))
        expected = -stats.norm.logpdf(then[:, d], now[:, d], step).mean()
        assert found["persistence"][d] == pytest.approx(expected, rel=1e-3)
        line = stats.linregress(x[:, d], y[:, d])
        rest = np.sqrt(np.mean((y[:, d] - line.intercept - line.slope * x[:, d]) ** 2))
        mean = line.intercept + line.slope * now[:, d]
        expected = -stats.norm.logpdf(then[:, d], mean, rest).mean()
        assert found["ar1"][d] == pytest.approx(expected, rel=1e-3)
    assert (found["ar1"] < found["persistence"]).all()


def test_looks_at_the_episodes_that_m_is_judged_on_and_at_v_s_noise(monkeypatch):
    old, new = episodes(0, [300]), episodes(1, [60, 80, 90])
    training = Steps.of(old, np.arange(1))
    monkeypatch.setattr(held_out, "EPISODES", 2)
    found = baselines.nll(training, Steps.of(new, np.arange(3)), seed=5)
    alone = baselines.nll(training, Steps.of(new, np.arange(2)), seed=5)
    for name in ("persistence", "ar1"):
        np.testing.assert_allclose(found[name], alone[name], rtol=1e-3)
    new.logvar[:] = 0  # σ = 1: the same dimensions, now hard to predict
    noisy = baselines.nll(training, Steps.of(new, np.arange(2)), seed=5)
    assert (noisy["ar1"] > alone["ar1"] + 0.5).all()


def test_a_dimension_that_never_changes_is_no_fault():
    old = episodes(0, [50])
    old.mu[:, 0] = 1
    old.logvar[:, 0] = -np.inf
    steps = Steps.of(old, np.arange(1))
    found = baselines.nll(steps, steps, seed=5)
    assert np.isfinite([found["persistence"], found["ar1"]]).all()
