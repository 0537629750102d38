"""The data movement in bfloat16 against torch's own types and operations."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from world_models.fast.bfloat16 import bits
from world_models.fast.vision import bfloat16

GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=GENERATOR).to(torch.bfloat16)


def unknown(*shape: int) -> torch.Tensor:
    return torch.full(shape, torch.nan, dtype=torch.bfloat16)


def test_rounding_is_torchs() -> None:
    edge = [0.0, -0.0, 1.0, torch.inf, -torch.inf, 1e-40, 3.4e38, -3.4e38, 1.00390625, 1.01171875]
    x = torch.cat([torch.tensor(edge), torch.randn(10_000, generator=GENERATOR) * 1e3])
    planes = torch.zeros(1, 64, 64, 3)
    planes.view(-1)[: len(x)] = x
    columns = unknown(108, 960)
    bfloat16.unfold_planes(planes.numpy(), bits(columns))
    # Tap (0, 0) of phase (p, q) reads pixels (2a + p, 2b + q) for a, b up to 29 as they are.
    for p, q, c in np.ndindex(2, 2, 3):
        found = columns[18 * p + 3 * q + c].view(30, 32)[:, :30]
        expected = planes[0, p : p + 60 : 2, q : q + 60 : 2, c].to(torch.bfloat16)
        assert torch.equal(found, expected)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_broken_stays_broken(value: float) -> None:
    y = torch.full((2, 3), value, dtype=torch.bfloat16)
    bfloat16.bias_relu(np.zeros(3, np.float32), bits(y))
    expected = torch.relu(torch.full((2, 3), value, dtype=torch.bfloat16))
    assert torch.equal(torch.isnan(y), torch.isnan(expected))
    assert torch.equal(torch.isinf(y), torch.isinf(expected))


def test_pixels_to_columns_is_exact() -> None:
    frames = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=GENERATOR)
    columns = unknown(2 * 961, 48)
    bfloat16.pixels_to_columns(frames.numpy(), bits(columns))
    images = frames.permute(0, 3, 1, 2).float()
    reference = functional.unfold(images, 4, stride=2)  # (n, 3·16, 961), channel first
    reference = reference.reshape(2, 3, 16, 961).permute(0, 3, 2, 1).reshape(2 * 961, 48)
    assert torch.equal(columns.float(), reference)


@pytest.mark.parametrize(("size", "channels", "kernel"), [(31, 5, 4), (13, 3, 5), (30, 4, 6)])
def test_unfold_and_fold_are_torchs(size: int, channels: int, kernel: int) -> None:
    h = (size - kernel) // 2 + 1
    x, columns = normal(2, size, size, channels), unknown(2 * h * h, kernel**2 * channels)
    bfloat16.unfold(bits(x), kernel, bits(columns))
    reference = functional.unfold(x.permute(0, 3, 1, 2).float(), kernel, stride=2)
    shaped = columns.view(2, h * h, kernel**2, channels).permute(0, 3, 2, 1)
    assert torch.equal(shaped.reshape(reference.shape).float(), reference)

    bias, y = torch.randn(channels, generator=GENERATOR), torch.empty_like(x)
    bfloat16.fold(bits(columns), bias.numpy(), kernel, np.float32(0), bits(y))
    folded = functional.fold(reference, (size, size), kernel, stride=2)
    expected = torch.relu(folded + bias[:, None, None]).permute(0, 2, 3, 1)
    assert (expected == 0).any()
    torch.testing.assert_close(y.float(), expected, rtol=2**-8, atol=1e-6)


def test_planes_are_the_transposed_convolution() -> None:
    x, weight = normal(2, 30, 30, 32), normal(32, 3, 6, 6)
    rows, bias = unknown(2, 30, 32, 32), torch.randn(3, generator=GENERATOR)
    bfloat16.pad(bits(x), bits(rows))
    assert (rows[:, :, 30:] == 0).all()
    operand = weight.permute(0, 2, 3, 1).flatten(1)
    columns = (operand.float().t() @ rows.view(-1, 32).float().t()).to(torch.bfloat16)
    y = torch.empty(2, 64, 64, 3)
    bfloat16.fold_planes(bits(columns), bias.numpy(), y.numpy())
    images = x.permute(0, 3, 1, 2).float()
    expected = functional.conv_transpose2d(images, weight.float(), bias, 2).permute(0, 2, 3, 1)
    torch.testing.assert_close(y, expected, rtol=2**-7, atol=0.2)  # nine roundings of some 6

    dy = normal(2, 64, 64, 3).float()
    bfloat16.unfold_planes(dy.numpy(), bits(columns))
    rows = (columns.float().t() @ operand.float().t()).to(torch.bfloat16).view(2, 30, 32, 32)
    dx = torch.empty_like(x)
    bfloat16.unpad(bits(rows.contiguous()), bits(dx))
    expected = functional.conv2d(dy.permute(0, 3, 1, 2), weight.float(), stride=2)
    torch.testing.assert_close(dx.float(), expected.permute(0, 2, 3, 1), rtol=2**-8, atol=1e-4)


def test_relu_gradient_masks_and_sums() -> None:
    y, dy, masked = torch.relu(normal(50, 4)), normal(50, 4), unknown(50, 4)
    dbias = np.ones(4, np.float32)
    bfloat16.relu_gradient(bits(y), bits(dy), bits(masked), dbias)
    expected = torch.where(y > 0, dy, 0)
    assert torch.equal(masked, expected)
    np.testing.assert_allclose(dbias, 1 + expected.float().sum(0).numpy(), rtol=1e-5)


def test_bias_relu_and_accumulate() -> None:
    y, bias = normal(50, 4), torch.randn(4, generator=GENERATOR)
    expected = torch.relu(y.float() + bias).to(torch.bfloat16)
    bfloat16.bias_relu(bias.numpy(), bits(y))
    assert torch.equal(y, expected)
    part, total = normal(999), torch.randn(999, generator=GENERATOR)
    expected = total + part.float()
    bfloat16.accumulate(bits(part), total.numpy())
    assert torch.equal(total, expected)
