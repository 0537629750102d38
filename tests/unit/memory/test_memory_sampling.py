"""Samples of the mixture: the kernel against torch, and temperature against its definition."""

import numpy as np
import pytest
import torch
from torch import distributions

from world_models.fast.memory import mixture_kernels as kernels
from world_models.memory.mixture import sample, split

Z, K = 7, 5


def outputs(rows, extra=2, scale=1.0):
    rng = np.random.default_rng(0)
    return (scale * rng.standard_normal((rows, 3 * K * Z + extra))).astype(np.float32)


def draws(rows, seed=1):
    rng = np.random.default_rng(seed)
    return rng.random((rows, Z), np.float32), rng.standard_normal((rows, Z), np.float32)


def drawn(out, u, eps, tau, row=None):
    z = np.full((len(out), Z + 3), np.nan, np.float32)
    row = np.arange(len(out)) if row is None else row
    kernels.mixture_sample(out, u, eps, row, tau, z)
    assert np.isnan(z[:, Z:]).all()
    return z[:, :Z]


@pytest.mark.parametrize("tau", [0.1, 1.0, 1.25])
def test_kernel_equals_torch(tau):
    out = outputs(200)
    u, eps = draws(200)
    expected = sample(
        torch.from_numpy(out[:, : 3 * K * Z]), torch.from_numpy(u), torch.from_numpy(eps), tau
    ).numpy()
    ours = drawn(out, u, eps, tau)
    # Where u lies on a component's edge, rounding decides: such cases are rare.
    assert np.mean(np.abs(ours - expected) > 1e-4) < 0.005


def test_members_may_share_noise():
    out = outputs(4)
    u, eps = draws(2)
    row = np.array([1, 0, 0, 1])
    assert np.array_equal(drawn(out, u, eps, 1.0, row), drawn(out, u[row], eps[row], 1.0))


def test_tau_towards_zero_picks_the_mode():
    out = outputs(50)
    u, eps = draws(50)
    logits, mu, _ = split(torch.from_numpy(out[:, : 3 * K * Z]), Z)
    mode = mu.gather(1, logits.argmax(1, keepdim=True)).squeeze(1).numpy()
    np.testing.assert_allclose(drawn(out, u, eps, 1e-10), mode, atol=1e-3)


@pytest.mark.parametrize("tau", [0.5, 1.0, 1.3])
def test_temperature_has_the_statistics_that_torch_distributions_gives(tau):
    """Logits / τ and variance × τ: mean and variance of each dimension, over 200,000 draws."""
    n = 200_000
    one = outputs(1, scale=0.7)
    u, eps = draws(n)
    z = drawn(np.repeat(one, n, axis=0), u, eps, tau).astype(np.float64)
    logits, mu, logsigma = (
        x.movedim(-2, -1)[0].double() for x in split(torch.from_numpy(one[:, : 3 * K * Z]), Z)
    )
    family = distributions.MixtureSameFamily(
        distributions.Categorical(logits=logits / tau),
        distributions.Normal(mu, logsigma.exp() * tau**0.5),
    )
    error = (z.mean(0) - family.mean.numpy()) / (family.stddev.numpy() / n**0.5)
    assert np.abs(error).max() < 5
    np.testing.assert_allclose(z.var(0), family.variance.numpy(), rtol=0.05)
