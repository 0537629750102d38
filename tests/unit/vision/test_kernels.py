"""The compiled data movement against torch, and each gradient as the adjoint of its map."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from world_models.fast.vision import kernels, winograd2, winograd3

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def empty(*shape: int) -> np.ndarray:
    return np.full(shape, np.nan, np.float32)


LINEAR = {
    "conv_weights": (
        winograd2.conv_weights,
        winograd2.conv_weights_gradient,
        (4, 4, 3, 5),
        (9, 12, 5),
    ),
    "conv_tiles": (
        winograd2.conv_tiles,
        winograd2.conv_tiles_gradient,
        (2, 15, 15, 3),
        (18, 9, 12),
    ),
    "deconv_weights": (
        winograd3.deconv_weights,
        winograd3.deconv_weights_gradient,
        (3, 6, 6, 5),
        (25, 3, 20),
    ),
    "deconv_tiles": (
        winograd3.deconv_tiles,
        winograd3.deconv_tiles_gradient,
        (2, 7, 7, 3),
        (18, 25, 3),
    ),
}


@pytest.mark.parametrize("name", LINEAR)
def test_gradient_is_the_adjoint(name: str) -> None:
    forward, adjoint, source, target = LINEAR[name]
    x, g, y, dx = normal(*source), normal(*target), empty(*target), empty(*source)
    forward(x, y)
    adjoint(g, dx)
    left, right = np.vdot(y.astype(float), g), np.vdot(x.astype(float), dx)
    assert abs(left - right) < 1e-4 * np.linalg.norm(y) * np.linalg.norm(g)


OUTPUTS = {
    "conv_outputs": (
        winograd2.conv_outputs,
        winograd2.conv_outputs_gradient,
        (18, 9, 5),
        (2, 6, 6, 5),
    ),
    "deconv_outputs": (
        winograd3.deconv_outputs,
        winograd3.deconv_outputs_gradient,
        (8, 25, 20),
        (2, 12, 12, 5),
    ),
    "fold": (
        lambda m, bias, y: kernels.fold(m, bias, 5, y),
        lambda dy, dm: kernels.unfold(dy, 5, dm),
        (2 * 49, 125),
        (2, 17, 17, 5),
    ),
    "fold_planes": (kernels.fold_planes, kernels.unfold_planes, (108, 1800), (2, 64, 64, 3)),
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_gradient_of_the_outputs_is_the_adjoint(name: str) -> None:
    forward, adjoint, source, target = OUTPUTS[name]
    m, y, dy = normal(*source), empty(*target), normal(*target)
    bias = normal(target[3])
    forward(m, bias, y)
    if name != "fold_planes":
        assert (y == 0).any()
        dy *= y > 0
    dm = empty(*source)
    adjoint(dy, dm)
    # y is linear in (m, bias) where dy is not zero, so Euler's identity holds there.
    left = np.vdot(y.astype(float), dy)
    right = np.vdot(m.astype(float), dm) + np.vdot(bias.astype(float), dy.sum((0, 1, 2)))
    assert abs(left - right) < 1e-4 * np.linalg.norm(y) * np.linalg.norm(dy)


def test_relu_gradient_masks_and_sums() -> None:
    y, dy, masked, dbias = normal(50, 4), normal(50, 4), empty(50, 4), np.ones(4, np.float32)
    kernels.relu_gradient(y, dy, masked, dbias)
    np.testing.assert_array_equal(masked, np.where(y > 0, dy, 0))
    np.testing.assert_allclose(dbias, 1 + masked.sum(0), rtol=1e-5)


def test_bias_relu_adds_and_rectifies() -> None:
    y, bias = normal(50, 4), normal(4)
    expected = np.maximum(y + bias, 0)
    kernels.bias_relu(bias, y)
    assert np.array_equal(y, expected)


def test_pixels_to_columns_equals_torch_unfold() -> None:
    frames = RNG.integers(0, 256, (2, 64, 64, 3), np.uint8)
    columns = empty(2 * 961, 48)
    kernels.pixels_to_columns(frames, columns)
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    reference = functional.unfold(images, 4, stride=2)  # (n, 3·16, 961), channel first
    reference = reference.reshape(2, 3, 16, 961).permute(0, 3, 2, 1).reshape(2 * 961, 48)
    np.testing.assert_array_equal(columns, reference.numpy())
