"""V's golden numbers, its loss, and every formulation against the textbook network."""

import gc

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from world_models.fast.lanes import open_lanes
from world_models.fast.vision import columns, winograd
from world_models.fast.vision.inference import prepare
from world_models.fast.vision.layers import Layers
from world_models.fast.vision.subpixel import SubpixelVAE
from world_models.fast.vision.training import FastVAE
from world_models.vision.loss import vae_loss
from world_models.vision.network import VAE, as_images, parts


def frames(n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (n, 8, 8, 3), generator=generator, dtype=torch.uint8)
    return coarse.repeat_interleave(8, 1).repeat_interleave(8, 2).contiguous()


def noise(n: int, z: int) -> torch.Tensor:
    return torch.randn(n, z, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("z_size", "heads", "decoder", "total"),
    [(32, 65_600, 3_592_803, 4_348_547), (64, 131_200, 3_625_571, 4_446_915)],
)
def test_golden_parts(z_size: int, heads: int, decoder: int, total: int) -> None:
    assert parts(z_size) == {"encoder": 690_144, "heads": heads, "decoder": decoder}
    assert sum(p.numel() for p in VAE(z_size).parameters() if p.requires_grad) == total


def test_shapes_and_range() -> None:
    network = VAE(32)
    images = as_images(frames(3))
    reconstruction, mu, logvar = network(images, noise(3, 32))
    assert reconstruction.shape == images.shape == (3, 3, 64, 64)
    assert mu.shape == logvar.shape == (3, 32)
    assert images.min() >= 0
    assert images.max() <= 1
    assert reconstruction.min() >= 0
    assert reconstruction.max() <= 1


def test_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    one = VAE(8, seed=1).state_dict()
    torch.manual_seed(6)
    again, other = VAE(8, seed=1).state_dict(), VAE(8, seed=2).state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["heads.mu.weight"], other["heads.mu.weight"])


@pytest.mark.parametrize("tolerance", [0.0, 0.5, 100.0])
def test_loss_equals_torch_distributions(tolerance: float) -> None:
    generator = torch.Generator().manual_seed(0)
    images, reconstruction = (torch.rand(5, 3, 64, 64, generator=generator) for _ in range(2))
    mu, logvar = (torch.randn(5, 16, generator=generator) for _ in range(2))
    posterior = Independent(Normal(mu, torch.exp(logvar / 2)), 1)
    prior = Independent(Normal(torch.zeros(16), torch.ones(16)), 1)
    kl = kl_divergence(posterior, prior)
    # Gaussian likelihood of variance 1/2: its log is minus the squared error + a constant.
    likelihood = Normal(reconstruction, 0.5**0.5)
    constant = Normal(torch.zeros(()), 0.5**0.5).log_prob(torch.zeros(())) * images[0].numel()
    squared = constant - likelihood.log_prob(images).sum((1, 2, 3))
    expected = (squared + kl.clamp(min=tolerance * 16)).mean()
    found = vae_loss(images, reconstruction, mu, logvar, tolerance)
    torch.testing.assert_close(found.total, expected, rtol=1e-5, atol=0)
    torch.testing.assert_close(found.reconstruction, squared.mean(), rtol=1e-5, atol=0)
    torch.testing.assert_close(found.kl, kl.mean(), rtol=1e-5, atol=1e-5)


def test_the_tolerance_acts_on_each_sample() -> None:
    image = torch.zeros(2, 3, 64, 64)
    mu = torch.tensor([[0.0, 0.0], [3.0, 0.0]], requires_grad=True)
    loss = vae_loss(image, image, mu, torch.zeros(2, 2), 0.5).total
    assert loss.item() == pytest.approx((1.0 + 4.5) / 2)  # clamping the mean would give 2.25
    loss.backward()
    assert mu.grad is not None
    assert mu.grad[0].abs().sum() == 0
    assert mu.grad[1, 0] == pytest.approx(1.5)


def outcome(model: object, network: VAE, n: int) -> tuple[list[torch.Tensor], dict]:
    data, images = frames(n), as_images(frames(n))
    source = images if isinstance(model, VAE) else data
    network.zero_grad(set_to_none=True)
    found = model(source, noise(n, network.z_size))
    vae_loss(images, *found, 0.5).total.backward()
    return list(found), {name: p.grad for name, p in network.named_parameters()}


def textbook(n: int, dtype: torch.dtype = torch.float64) -> tuple[list[torch.Tensor], dict]:
    network = VAE(16, seed=4).to(dtype)
    images = as_images(frames(n)).to(dtype)
    found = network(images, noise(n, 16).to(dtype))
    vae_loss(images, *found, 0.5).total.backward()
    return list(found), {name: p.grad for name, p in network.named_parameters()}


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).detach().norm() / b.detach().norm())


@pytest.mark.parametrize("n", [1, 3, 13])
@pytest.mark.parametrize("formulation", ["winograd", "subpixel"])
def test_formulations_equal_the_textbook(formulation: str, n: int) -> None:
    network = VAE(16, seed=4)
    with open_lanes(1) as lanes:
        fast = FastVAE(network, winograd.LAYERS, lanes)
        model = fast if formulation == "winograd" else SubpixelVAE(network, autocast=False)
        found, gradients = outcome(model, network, n)
    expected, expected_gradients = textbook(n)
    for part, reference in zip(found, expected, strict=True):
        assert distance(part, reference) < 1e-5
    # float32 rounding turns some ReLU near zero on or off; the textbook in float32 shows how much
    _, single = textbook(n, torch.float32)
    for name, reference in expected_gradients.items():
        limit = 1e-4 + 4 * distance(single[name], reference)
        assert distance(gradients[name], reference) < limit, name


@pytest.mark.parametrize("n", [1, 4, 13])
@pytest.mark.parametrize("formulation", ["columns", "subpixel"])
def test_bfloat16_is_near_the_textbook(formulation: str, n: int) -> None:
    network = VAE(16, seed=4)
    with open_lanes(1) as lanes:
        fast = FastVAE(network, columns.LAYERS, lanes)
        model = fast if formulation == "columns" else SubpixelVAE(network, autocast=True)
        found, gradients = outcome(model, network, n)
    expected, expected_gradients = textbook(n)
    assert distance(found[0], expected[0]) < 0.01
    assert distance(found[1], expected[1]) < 0.03
    for name, reference in expected_gradients.items():
        assert gradients[name].dtype == torch.float32
        assert distance(gradients[name], reference) < 0.25, name


@pytest.mark.parametrize("layers", [winograd.LAYERS, columns.LAYERS], ids=["float32", "bfloat16"])
def test_a_step_leaves_no_garbage(layers: Layers) -> None:
    network = VAE(16, seed=4)
    gc.collect()
    with open_lanes(1) as lanes:
        outcome(FastVAE(network, layers, lanes), network, 5)
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        left = [thing for thing in gc.garbage if isinstance(thing, torch.Tensor)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert not left  # a cycle would keep a step's memory until garbage is collected


@pytest.mark.parametrize("layers", [winograd.LAYERS, columns.LAYERS], ids=["float32", "bfloat16"])
def test_gradients_do_not_depend_on_the_number_of_threads(layers: Layers) -> None:
    results = []
    for threads in (1, 3):
        network = VAE(16, seed=4)
        with open_lanes(threads) as lanes:
            results.append(outcome(FastVAE(network, layers, lanes), network, 22))
    (one, one_gradients), (three, three_gradients) = results
    for a, b in zip(one, three, strict=True):
        assert torch.equal(a, b)
    for name, gradient in one_gradients.items():
        assert torch.equal(gradient, three_gradients[name]), name


@pytest.mark.parametrize("n", [1, 9, 20])
def test_inference_equals_the_textbook(n: int) -> None:
    network, reference = VAE(16, seed=4), VAE(16, seed=4)
    with torch.inference_mode():
        for name in ("winograd-float32", "columns-bfloat16", "subpixel-bfloat16"):
            fast = prepare(network, name)  # type: ignore[arg-type]
            tolerance = 1e-5 if name == "winograd-float32" else 0.03
            for part, expected in zip(
                fast.encode(frames(n)), reference.encode(as_images(frames(n))), strict=True
            ):
                assert distance(part, expected) < tolerance
            z = noise(n, 16)
            assert distance(fast.decode(z), reference.decode(z)) < tolerance


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("layers", [winograd.LAYERS, columns.LAYERS], ids=["float32", "bfloat16"])
def test_extreme_inputs_give_finite_losses_and_gradients(
    layers: Layers, scale: float, value: int
) -> None:
    network = VAE(16, seed=4)
    data = torch.full((3, 64, 64, 3), value, dtype=torch.uint8)
    with open_lanes(1) as lanes:
        found = FastVAE(network, layers, lanes)(data, scale * noise(3, 16))
        loss = vae_loss(as_images(data), *found, 0.5).total
        loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
    assert np.isfinite(found[0].detach().numpy()).all()
