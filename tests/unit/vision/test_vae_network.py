"""V's golden numbers, its loss, and every formulation against the textbook network."""

import copy
import gc

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from world_models.fast.lanes import Lanes, open_lanes
from world_models.fast.vision import columns, winograd
from world_models.fast.vision.layers import Layers
from world_models.fast.vision.training import FastVAE
from world_models.formulations import choose
from world_models.vision.formulation import open_training
from world_models.vision.inference import DIFFERENCES, open_inference
from world_models.vision.loss import vae_loss
from world_models.vision.network import PAPER_CHANNELS, VAE, as_images, parts


def frames(n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (n, 8, 8, 3), generator=generator, dtype=torch.uint8)
    return coarse.repeat_interleave(8, 1).repeat_interleave(8, 2).contiguous()


def noise(n: int, z: int) -> torch.Tensor:
    return torch.randn(n, z, generator=torch.Generator().manual_seed(1))


def build(seed: int = 4) -> VAE:
    return VAE(16, PAPER_CHANNELS, seed)


def fast(network: VAE, layers: Layers, lanes: Lanes) -> FastVAE:
    return FastVAE(network.channels_last().weights, layers, lanes)


@pytest.mark.parametrize(
    ("z_size", "heads", "decoder", "total"),
    [(32, 65_600, 3_592_803, 4_348_547), (64, 131_200, 3_625_571, 4_446_915)],
)
def test_golden_parts(z_size: int, heads: int, decoder: int, total: int) -> None:
    assert parts(z_size, PAPER_CHANNELS) == {"encoder": 690_144, "heads": heads, "decoder": decoder}
    assert (
        sum(p.numel() for p in VAE(z_size, PAPER_CHANNELS).parameters() if p.requires_grad) == total
    )


@pytest.mark.parametrize("channels", [PAPER_CHANNELS, (8, 16, 24, 40), (16, 32, 64), (5, 3, 2)])
def test_shapes_and_range(channels: tuple[int, ...]) -> None:
    network = VAE(32, channels)
    names = {"z_size": 32, "channels": channels}
    assert network.shapes == names
    assert sum(parts(32, channels).values()) == sum(p.numel() for p in network.parameters())
    images = as_images(frames(3))
    assert network.encoder(images).shape == (3, channels[-1] * (4 if len(channels) == 4 else 36))
    assert network.decoder.linear.out_features == 8 * channels[2]
    reconstruction, mu, logvar = network(images, noise(3, 32))
    assert reconstruction.shape == images.shape == (3, 3, 64, 64)
    assert mu.shape == logvar.shape == (3, 32)
    assert images.min() >= 0
    assert images.max() <= 1
    assert reconstruction.min() >= 0
    assert reconstruction.max() <= 1


def test_weights_follow_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    one = build(1).state_dict()
    torch.manual_seed(6)
    again, other = build(1).state_dict(), build(2).state_dict()
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


def test_sharpness_makes_one_large_error_dearer_than_many_small_ones() -> None:
    """Both pictures have the squared error 0.64: one pixel by 0.8, or 64 by 0.1."""
    image, zero = torch.zeros(1, 3, 64, 64), torch.zeros(1, 2)
    lost, blurred = image.clone(), image.clone()
    lost[0, 0, 0, 0] = 0.8
    blurred[0, 0, 0] = 0.1
    plain, sharp = (
        [vae_loss(image, x, zero, zero, 0.0, s) for x in (lost, blurred)] for s in (0.0, 10.0)
    )
    torch.testing.assert_close(plain[0].total, plain[1].total)
    torch.testing.assert_close(sharp[0].total, torch.tensor(0.64 + 10 * 0.8**4))
    torch.testing.assert_close(sharp[1].total, torch.tensor(0.64 + 10 * 64 * 0.1**4))
    assert sharp[0].reconstruction == plain[0].reconstruction


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
    network = build().to(dtype)
    images = as_images(frames(n)).to(dtype)
    found = network(images, noise(n, 16).to(dtype))
    vae_loss(images, *found, 0.5).total.backward()
    return list(found), {name: p.grad for name, p in network.named_parameters()}


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).detach().norm() / b.detach().norm())


@pytest.mark.parametrize("n", [1, 3, 13])
def test_winograd_equals_the_textbook(n: int) -> None:
    found, gradients = trained("winograd-float32", n)
    expected, expected_gradients = textbook(n)
    for part, reference in zip(found, expected, strict=True):
        assert distance(part, reference) < 1e-5
    # float32 rounding turns some ReLU near zero on or off; the textbook in float32 shows how much
    _, single = textbook(n, torch.float32)
    for name, reference in expected_gradients.items():
        limit = 1e-4 + 4 * distance(single[name], reference)
        assert distance(gradients[name], reference) < limit, name


def trained(formulation: str, n: int) -> tuple[list[torch.Tensor], dict]:
    network = build()
    choice = choose("V", network.shapes, wish=formulation)
    with open_training(network, choice) as model:
        return outcome(model, network, n)


@pytest.mark.parametrize("n", [1, 4, 13])
def test_bfloat16_is_near_the_textbook(n: int) -> None:
    found, gradients = trained("columns-bfloat16", n)
    expected, expected_gradients = textbook(n)
    assert distance(found[0], expected[0]) < 0.01
    assert distance(found[1], expected[1]) < 0.03
    for name, reference in expected_gradients.items():
        assert gradients[name].dtype == torch.float32
        assert distance(gradients[name], reference) < 0.25, name


def test_the_textbook_formulation_is_the_network() -> None:
    found, gradients = trained("textbook", 5)
    expected, expected_gradients = textbook(5, torch.float32)
    for part, reference in zip(found, expected, strict=True):
        assert distance(part, reference) < 1e-6  # channels-last weights may be summed otherwise
    for name, reference in expected_gradients.items():
        assert distance(gradients[name], reference) < 1e-3, name


@pytest.mark.parametrize("layers", [winograd.LAYERS, columns.LAYERS], ids=["float32", "bfloat16"])
def test_a_step_leaves_no_garbage(layers: Layers) -> None:
    network = build()
    gc.collect()
    with open_lanes(1) as lanes:
        outcome(fast(network, layers, lanes), network, 5)
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
        network = build()
        with open_lanes(threads) as lanes:
            results.append(outcome(fast(network, layers, lanes), network, 22))
    (one, one_gradients), (three, three_gradients) = results
    for a, b in zip(one, three, strict=True):
        assert torch.equal(a, b)
    for name, gradient in one_gradients.items():
        assert torch.equal(gradient, three_gradients[name]), name


@pytest.mark.parametrize("n", [1, 9, 20])
@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("textbook", 1e-6), ("winograd-float32", 1e-5), ("columns-bfloat16", 0.03)],
)
@torch.inference_mode()
def test_inference_equals_the_textbook(name: str, tolerance: float, n: int) -> None:
    reference, network = build(), build()
    model = open_inference(network, choose("V", network.shapes, wish=name))
    expected = reference.encode(as_images(frames(n)))
    for part, one in zip(model.encode(frames(n)), expected, strict=True):
        assert distance(part, one) < tolerance
    z = noise(n, 16)
    assert distance(model.decode(z), reference.decode(z)) < tolerance


@pytest.mark.parametrize("name", ["winograd-float32", "columns-bfloat16"])
@torch.inference_mode()
def test_latents_of_two_devices_differ_by_less_than_is_stated(name: str) -> None:
    data, reference = frames(60), like_trained(frames(60))
    mu, logvar = reference.encode(as_images(data))
    assert mu.std(0).mean() == pytest.approx(1, abs=0.01)
    choice = choose("V", reference.shapes, wish=name)
    found = open_inference(copy.deepcopy(reference), choice).encode(data)
    away = torch.stack([(found[0] - mu) / torch.exp(logvar / 2), found[1] - logvar])
    distances = away.square().mean((1, 2)).sqrt()
    assert distances.max() < DIFFERENCES[choice.precision]
    assert distances.min() > DIFFERENCES[choice.precision] / 1000  # the bound says something


def like_trained(data: torch.Tensor) -> VAE:
    """Over ``data`` each mu has SD 1, each logvar 0.5 and mean 2 · ln(0.5), as after training."""
    network = build()
    for head, spread, mean in ((network.heads.mu, 1.0, 0.0), (network.heads.logvar, 0.5, -1.39)):
        found = head(network.encoder(as_images(data)))
        head.weight *= spread / found.std(0)[:, None]
        head.bias += mean - head(network.encoder(as_images(data))).mean(0)
    return network


@pytest.mark.parametrize("value", [0, 255])
@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("layers", [winograd.LAYERS, columns.LAYERS], ids=["float32", "bfloat16"])
def test_extreme_inputs_give_finite_losses_and_gradients(
    layers: Layers, scale: float, value: int
) -> None:
    network = build()
    data = torch.full((3, 64, 64, 3), value, dtype=torch.uint8)
    with open_lanes(1) as lanes:
        found = fast(network, layers, lanes)(data, scale * noise(3, 16))
        loss = vae_loss(as_images(data), *found, 0.5).total
        loss.backward()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(p.grad).all() for p in network.parameters())
    assert np.isfinite(found[0].detach().numpy()).all()
