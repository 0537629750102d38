"""V's formulations for inference: no gradients, operands made once, the calling thread only."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from world_models.fast.vision.layers import Layer, Layers, channels_last, scratch
from world_models.fast.vision.named import CONVS, DECONVS, layers_of

BLOCK = 16
"""Frames that go through the outer layers together, so that what is between them stays cached."""


class LayeredInference:
    """A formulation of :mod:`world_models.fast.vision.layers`, layer after layer over blocks.

    Args:
        weights: the textbook network's parameters by name, float32, on the CPU, those of
            convolutions in channels-last order; they must not change from here on.
        layers: the formulation.
    """

    def __init__(self, weights: Mapping[str, Tensor], layers: Layers) -> None:
        self._encoder = _prepare(layers.encoder, weights, CONVS)
        self._decoder = _prepare(layers.decoder, weights, DECONVS)
        self._weights, self._dtype = weights, layers.dtype
        first = channels_last(weights["decoder.deconv1.weight"])
        self._first = first.flatten(1).to(layers.dtype)
        self._first_bias = weights["decoder.deconv1.bias"].to(layers.dtype).repeat(25)

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Map frames uint8 (n, 64, 64, 3), 0–255, to (mu, logvar), float32 (n, Z) each."""
        outer, last = self._encoder[:3], self._encoder[3]
        features = torch.empty(len(frames), 6, 6, 128, dtype=self._dtype)
        for start in range(0, len(frames), BLOCK):
            y = frames[start : start + BLOCK]
            for layer in outer:
                y = layer(y)
            features[start : start + BLOCK] = y
        # The last convolution's weights are the largest: it takes all frames at once.
        y = last(features).flatten(1).float()
        return self._linear("heads.mu", y), self._linear("heads.logvar", y)

    def decode(self, z: Tensor) -> Tensor:
        """Map z float32 (n, Z) to images float32 (n, 3, 64, 64) in 0–1."""
        linear = self._linear("decoder.linear", z).to(self._dtype)
        first = torch.addmm(self._first_bias, linear, self._first).relu_().view(len(z), 5, 5, -1)
        images = torch.empty(len(z), 64, 64, 3)
        for start in range(0, len(z), BLOCK):
            y = first[start : start + BLOCK]
            for layer in self._decoder:
                y = layer(y)
            images[start : start + BLOCK] = y
        return images.sigmoid_().permute(0, 3, 1, 2)

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return functional.linear(x, self._weights[f"{name}.weight"], self._weights[f"{name}.bias"])


class _Prepared:
    """One layer with its operand, over a block in the layer's own smaller blocks.

    Its result lies in a buffer of the thread, until the next call: fresh memory for each block
    would cost a page fault for every 4 KB.
    """

    def __init__(self, layer: Layer, weight: Tensor, bias: Tensor, name: str) -> None:
        self._layer, self._bias, self._name = layer, bias.detach(), name
        self._operand = layer.operand(weight)

    def __call__(self, x: Tensor) -> Tensor:
        y = scratch.get(self._name, *self._layer.output_shape(x), dtype=self._layer.dtype)
        for start in range(0, len(x), self._layer.block):
            part = slice(start, start + self._layer.block)
            self._layer.forward(x[part], self._operand, self._bias, y[part])
        return y


def _prepare(
    layers: tuple[Layer, ...], weights: Mapping[str, Tensor], names: tuple[str, ...]
) -> list[_Prepared]:
    return [
        _Prepared(layer, weights[f"{name}.weight"], weights[f"{name}.bias"], name)
        for layer, name in zip(layers, names, strict=True)
    ]


def open_inference(formulation: str, weights: Mapping[str, Tensor]) -> LayeredInference:
    """Make the weights ready for inference, as :class:`LayeredInference` takes them."""
    return LayeredInference(weights, layers_of(formulation))
