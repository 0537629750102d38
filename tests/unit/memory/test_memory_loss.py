"""M's loss, plain and compiled, against torch.distributions; masks, weights and extreme inputs."""

import pytest
import torch
from small_memory import BFLOAT16, FLOAT32, TEXTBOOK
from torch import distributions
from torch.nn import functional

from world_models.fast.memory import mixture as fast
from world_models.fast.memory import mixture_kernels as kernels
from world_models.memory import mixture as textbook
from world_models.memory.data import Batch
from world_models.memory.loss import Counts, Targets, losses
from world_models.memory.mixture import log_prob, split
from world_models.memory.network import MDNRNN, Prediction
from world_models.memory.objective import objective
from world_models.memory.sizes import Sizes

Z, K = 6, 5


def outputs(rows=50, dtype=torch.float32, scale=1.0):
    g = torch.Generator().manual_seed(2)
    out = scale * torch.randn(rows, 3 * K * Z, generator=g, dtype=dtype)
    return out.requires_grad_(), torch.randn(rows, Z, generator=g, dtype=dtype)


def reference(out, z):
    """Mean NLL of a dimension, by torch.distributions."""
    logits, mu, logsigma = (x.movedim(-2, -1) for x in split(out, Z))
    family = distributions.MixtureSameFamily(
        distributions.Categorical(logits=logits), distributions.Normal(mu, logsigma.exp())
    )
    return -family.log_prob(z).mean()


def uniform(rows):
    return torch.full((rows,), 1 / (rows * Z))


def test_log_prob_equals_torch_distributions():
    out, z = outputs(dtype=torch.float64)
    torch.testing.assert_close(-log_prob(out, z).mean(), reference(out, z))


def test_compiled_loss_and_gradient_equal_torch_distributions():
    out, z = outputs()
    expected = reference(out, z)
    (wanted,) = torch.autograd.grad(expected, out)
    loss = fast.weighted_nll(out, z, uniform(50))
    (gradient,) = torch.autograd.grad(3 * loss, out)
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(gradient, 3 * wanted, atol=1e-7, rtol=1e-4)


def test_compiled_loss_equals_the_textbook_s():
    out, z = outputs(scale=3.0)
    weight = torch.rand(50, generator=torch.Generator().manual_seed(0))
    weight[::3] = 0
    found = [module.weighted_nll(out, z, weight) for module in (fast, textbook)]
    gradients = [torch.autograd.grad(loss, out)[0] for loss in found]
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


def test_kernels_have_the_textbook_s_bounds():
    for name in ("LOGSIGMA_MIN", "LOGSIGMA_MAX", "RESIDUAL_MAX", "HALF_LOG_2PI"):
        assert getattr(kernels, name) == pytest.approx(getattr(textbook, name), rel=1e-7), name


@pytest.mark.parametrize("value", [0.0, 50.0, -50.0, 1e6, -1e6])
@pytest.mark.parametrize("part", [0, 1, 2], ids=["logits", "mu", "logsigma"])
@pytest.mark.parametrize("target", [0.0, 1e4, -1e8])
@pytest.mark.parametrize("module", [fast, textbook])
def test_extreme_outputs_give_finite_losses_and_gradients(value, part, target, module):
    out = torch.randn(4, 3, K, Z, generator=torch.Generator().manual_seed(0))
    out[:, part, ::2] = value
    out = out.flatten(1).requires_grad_()
    loss = module.weighted_nll(out, torch.full((4, Z), target), uniform(4))
    (gradient,) = torch.autograd.grad(loss, out)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("choice", [TEXTBOOK, FLOAT32, BFLOAT16])
def test_extreme_inputs_give_finite_losses_and_gradients(choice):
    network = MDNRNN(Sizes(4, 1, 8, 5, restart=True, reward_head=True, end_head=False))
    z = torch.full((6, 2, 4), 1e6)
    z[::2] *= -1
    ones = torch.ones(6, 2)
    targets = Targets(z, ones, ones, ones, ones, ones)
    batch = Batch(z, 1e6 * ones[..., None], ones, targets, Counts.of(targets))
    with objective(network, choice, 10.0) as losses_of:
        total = losses_of(batch)[0].total
        total.backward()
    assert torch.isfinite(total)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())


def case():
    g = torch.Generator().manual_seed(4)
    steps, batch = 5, 3
    prediction = Prediction(
        torch.randn(steps, batch, 3 * K * Z, generator=g).requires_grad_(),
        torch.randn(steps, batch, generator=g).requires_grad_(),
        torch.randn(steps, batch, generator=g).requires_grad_(),
        None,
    )
    ends = torch.zeros(steps, batch)
    ends[4, 0] = ends[2, 1] = 1
    masks = torch.ones(3, steps, batch)
    masks[0, 4, 0] = masks[0, 2, 1] = 0  # died: the next z is unknown
    masks[:2, 4, 2] = 0  # truncated: nothing of the next frame is known
    masks[:, 3:, 1] = 0  # padding
    targets = Targets(
        torch.randn(steps, batch, Z, generator=g),
        masks[0],
        ends,
        masks[1],
        torch.randn(steps, batch, generator=g),
        masks[2],
    )
    return prediction, targets


def test_restart_is_weighted_where_it_is_one():
    prediction, targets = case()
    found = losses(prediction, targets, Counts.of(targets), 10.0)
    entropy = functional.binary_cross_entropy(
        torch.sigmoid(prediction.restart), targets.ends, reduction="none"
    )
    known = targets.end_mask == 1
    weight = torch.where(targets.ends == 1, 10.0, 1.0)
    expected = (entropy * weight)[known].mean()
    torch.testing.assert_close(found.restart, expected)
    square = (prediction.reward - targets.rewards)[targets.reward_mask == 1].square().mean()
    torch.testing.assert_close(found.reward, square / 2)
    torch.testing.assert_close(found.total, found.nll + found.restart + found.reward)


def test_masked_steps_have_no_influence():
    prediction, targets = case()
    counts = Counts.of(targets)
    found = losses(prediction, targets, counts, 10.0).total
    grads = torch.autograd.grad(found, [x for x in prediction if x is not None])
    for mask, gradient in zip(targets[1::2], grads, strict=True):
        assert (gradient[mask == 0] == 0).all()
        assert (gradient[mask == 1] != 0).any()
    spoilt = targets._replace(
        z=torch.where(targets.z_mask[..., None] == 0, 1e30, targets.z),
        ends=torch.where(targets.end_mask == 0, 1.0, targets.ends),
        rewards=torch.where(targets.reward_mask == 0, 1e30, targets.rewards),
    )
    assert torch.equal(losses(prediction, spoilt, counts, 10.0).total, found)
