"""V's formulations for inference: no gradients, operands made once, the calling thread only."""

from typing import Protocol

import torch
from torch import Tensor

from world_models.fast.vision import columns, winograd
from world_models.fast.vision.layers import Layer, Layers, channels_last
from world_models.fast.vision.subpixel import SubpixelVAE
from world_models.vision.capability import Formulation
from world_models.vision.network import VAE

BLOCK = 16
"""Frames that go through the outer layers together, so that what is between them stays cached."""


class Inference(Protocol):
    """What a vision needs."""

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames uint8 (n, 64, 64, 3) to (mu, logvar), float32 (n, Z)."""

    def decode(self, z: Tensor) -> Tensor:
        """Map z float32 (n, Z) to images float32 (n, 3, 64, 64) in 0–1."""


class LayeredInference:
    """A formulation of :mod:`world_models.fast.vision.layers`, layer after layer over blocks."""

    def __init__(self, network: VAE, layers: Layers) -> None:
        encoder, decoder = network.encoder, network.decoder
        convs = (encoder.conv1, encoder.conv2, encoder.conv3, encoder.conv4)
        deconvs = (decoder.deconv2, decoder.deconv3, decoder.deconv4)
        self._encoder = [_Prepared(a, b) for a, b in zip(layers.encoder, convs, strict=True)]
        self._decoder = [_Prepared(a, b) for a, b in zip(layers.decoder, deconvs, strict=True)]
        self._network, self._dtype = network, layers.dtype
        assert decoder.deconv1.bias is not None
        self._first = channels_last(decoder.deconv1.weight).flatten(1).to(layers.dtype)
        self._first_bias = decoder.deconv1.bias.to(layers.dtype).repeat(25)

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """As :meth:`Inference.encode`."""
        outer, last = self._encoder[:3], self._encoder[3]
        features = torch.empty(len(frames), 6, 6, 128, dtype=self._dtype)
        for start in range(0, len(frames), BLOCK):
            y = frames[start : start + BLOCK]
            for layer in outer:
                y = layer(y)
            features[start : start + BLOCK] = y
        # The last convolution's weights are the largest: it takes all frames at once.
        mu, logvar = self._network.heads(last(features).flatten(1).float())
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """As :meth:`Inference.decode`."""
        linear = self._network.decoder.linear(z).to(self._dtype)
        first = torch.addmm(self._first_bias, linear, self._first).relu_().view(len(z), 5, 5, -1)
        images = torch.empty(len(z), 64, 64, 3)
        for start in range(0, len(z), BLOCK):
            y = first[start : start + BLOCK]
            for layer in self._decoder:
                y = layer(y)
            images[start : start + BLOCK] = y
        return images.sigmoid_().permute(0, 3, 1, 2)


class _Prepared:
    """One layer with its operand, over a block in the layer's own smaller blocks."""

    def __init__(self, layer: Layer, module: torch.nn.Conv2d | torch.nn.ConvTranspose2d) -> None:
        assert module.bias is not None
        self._layer, self._bias = layer, module.bias.detach()
        self._operand = layer.operand(module.weight)

    def __call__(self, x: Tensor) -> Tensor:
        y = torch.empty(self._layer.output_shape(x), dtype=self._layer.dtype)
        for start in range(0, len(x), self._layer.block):
            part = slice(start, start + self._layer.block)
            self._layer.forward(x[part], self._operand, self._bias, y[part])
        return y


def layers(formulation: Formulation) -> Layers:
    """The layers of a CPU's formulation."""
    return columns.LAYERS if formulation == "columns-bfloat16" else winograd.LAYERS


def prepare(network: VAE, formulation: Formulation) -> Inference:
    """Make ``network`` ready for inference; its parameters must not change from here on."""
    network.eval().requires_grad_(requires_grad=False)
    if formulation == "subpixel-bfloat16":
        return SubpixelVAE(network, autocast=True)
    return LayeredInference(network.channels_last(), layers(formulation))
