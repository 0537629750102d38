"""V at the speed of a CPU: the textbook's function, each layer in the form that suits the machine.

Without bfloat16 units the layers are those of :mod:`world_models.vision.winograd` (float32, fewer
products), with them those of :mod:`world_models.vision.columns` (bfloat16, plain GEMMs). In both
the first transposed convolution is a linear layer, since its input is one pixel. What is before
and after the convolutions stays in float32. Measurements stand in docs/performance.md.

A batch is cut into ``LANES`` parts, each summed on its own and the sums added in order: the result
is the same, bit for bit, on one thread or many.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from world_models.vision.layers import Layer, Layers, Sum, channels_last
from world_models.vision.network import VAE

Module = nn.Conv2d | nn.ConvTranspose2d
LANES = 4
"""Parts of a batch: a constant, for sums that do not depend on the number of threads."""


class Lanes:
    """Runs a function for each lane, on threads of its own if there are any."""

    def __init__(self, pool: ThreadPoolExecutor | None = None) -> None:
        self._pool = pool

    def run(self, function: Callable[[int], None]) -> None:
        """Call ``function(lane)`` for each of the ``LANES`` lanes; return when all are done."""
        untracked = torch.no_grad()(function)  # autograd's mode is each thread's own
        if self._pool is None:
            for lane in range(LANES):
                untracked(lane)
        else:
            list(self._pool.map(untracked, range(LANES)))


@contextmanager
def open_lanes(threads: int) -> Iterator[Lanes]:
    """Lanes over ``threads`` threads, while each GEMM keeps to one.

    torch's number of threads is restored at the end.
    """
    before = torch.get_num_threads()
    if threads == 1:
        torch.set_num_threads(1)
        yield Lanes()
    else:
        with ThreadPoolExecutor(min(threads, LANES), "lane", torch.set_num_threads, (1,)) as pool:
            yield Lanes(pool)
    torch.set_num_threads(before)


def _bounds(count: int, lane: int) -> tuple[int, int]:
    return count * lane // LANES, count * (lane + 1) // LANES


class _Convolve(Function):
    """A layer over a whole batch, by lanes, each in the layer's blocks."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, layer: Layer, lanes: Lanes
    ) -> Tensor:
        operand = layer.operand(weight)
        y = torch.empty(layer.output_shape(x), dtype=layer.dtype)
        x, bias = x.detach(), bias.detach()

        def run(lane: int) -> None:
            for part in _blocks(len(x), lane, layer.block):
                layer.forward(x[part], operand, bias, y[part])

        lanes.run(run)
        ctx.save_for_backward(x, y, operand, weight)
        ctx.layer, ctx.lanes = layer, lanes
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # Detached: the lanes' threads do not know that this is a backward pass.
        x, y, operand, weight = (tensor.detach() for tensor in ctx.saved_tensors)
        dy, layer = gradients[0].contiguous(), ctx.layer
        dx = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        doperand = torch.empty(LANES, *operand.shape)
        dbias = torch.zeros(LANES, y.shape[3])

        def run(lane: int) -> None:
            total = Sum(doperand[lane])
            for part in _blocks(len(x), lane, layer.block):
                into = None if dx is None else dx[part]
                masked = layer.through_activation(y[part], dy[part], dbias[lane])
                layer.backward(x[part], masked, operand, into, total)
            total.close()

        ctx.lanes.run(run)
        dweight = layer.weight_gradient(doperand.sum(0), weight)
        return dx, dweight, dbias.sum(0), None, None


def _blocks(count: int, lane: int, block: int) -> Iterator[slice]:
    start, stop = _bounds(count, lane)
    for first in range(start, stop, block):
        yield slice(first, min(first + block, stop))


class _FirstDeconv(Function):
    """The transposed convolution of one pixel, a linear layer with ReLU: (n, 1024) → (n, 5, 5, O).

    The lanes part its columns, and its inputs on the way back, so that no sum is parted.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype, lanes: Lanes
    ) -> Tensor:
        x, matrix = x.detach().to(dtype), channels_last(weight).flatten(1)
        operand = matrix if dtype == matrix.dtype else torch.empty_like(matrix, dtype=dtype)
        y = torch.empty(len(x), matrix.shape[1], dtype=dtype)
        tiled = bias.detach().to(dtype).repeat(25)

        def convert(lane: int) -> None:
            rows = slice(*_bounds(len(matrix), lane))
            operand[rows].copy_(matrix[rows])

        def run(lane: int) -> None:
            columns = slice(*_bounds(matrix.shape[1], lane))
            torch.mm(x, operand[:, columns], out=y[:, columns])
            y[:, columns].add_(tiled[columns]).relu_()

        if operand is not matrix:
            lanes.run(convert)
        lanes.run(run)
        ctx.save_for_backward(x, y, operand)
        ctx.lanes = lanes
        return y.view(len(x), 5, 5, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, y, operand = (tensor.detach() for tensor in ctx.saved_tensors)
        dy = gradients[0].reshape(y.shape) * (y > 0)
        dx, dmatrix = torch.empty_like(x), torch.empty(operand.shape)

        def run(lane: int) -> None:
            inputs = slice(*_bounds(len(operand), lane))
            torch.mm(dy, operand[inputs].t(), out=dx[:, inputs])
            if dy.dtype == dmatrix.dtype:
                torch.mm(x[:, inputs].t(), dy, out=dmatrix[inputs])
            else:
                dmatrix[inputs].copy_(x[:, inputs].t() @ dy)

        ctx.lanes.run(run)
        dweight = dmatrix.view(len(operand), 5, 5, -1).permute(0, 3, 1, 2)
        dbias = dy.view(len(x) * 25, -1).sum(0, dtype=torch.float32)
        return dx.float(), dweight, dbias, None, None


def _convolve(x: Tensor, module: Module, layer: Layer, lanes: Lanes) -> Tensor:
    y: Tensor = _Convolve.apply(x, module.weight, module.bias, layer, lanes)  # type: ignore[no-untyped-call]
    return y


def _first_deconv(x: Tensor, module: Module, dtype: torch.dtype, lanes: Lanes) -> Tensor:
    y: Tensor = _FirstDeconv.apply(x, module.weight, module.bias, dtype, lanes)  # type: ignore[no-untyped-call]
    return y


class FastVAE:
    """A formulation in layers over a textbook network, whose parameters it reads at every call.

    The network's weights are brought into channels-last order, which changes no value.
    """

    def __init__(self, network: VAE, layers: Layers, lanes: Lanes) -> None:
        self._network, self._layers = network.channels_last(), layers
        self._lanes = lanes

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames uint8 (n, 64, 64, 3), 0–255, to (mu, logvar), (n, Z); differentiable."""
        encoder, y = self._network.encoder, frames
        convs = (encoder.conv1, encoder.conv2, encoder.conv3, encoder.conv4)
        for layer, conv in zip(self._layers.encoder, convs, strict=True):
            y = _convolve(y, conv, layer, self._lanes)
        mu, logvar = self._network.heads(y.flatten(1).float())
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Map z (n, Z) to images float32 (n, 3, 64, 64) in 0–1, channels-last; differentiable."""
        decoder = self._network.decoder
        y = _first_deconv(decoder.linear(z), decoder.deconv1, self._layers.dtype, self._lanes)
        deconvs = (decoder.deconv2, decoder.deconv3, decoder.deconv4)
        for layer, deconv in zip(self._layers.decoder, deconvs, strict=True):
            y = _convolve(y, deconv, layer, self._lanes)
        return torch.sigmoid(y).permute(0, 3, 1, 2)

    def __call__(self, frames: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction (n, 3, 64, 64), mu and logvar (n, Z), as the textbook's ``forward``."""
        mu, logvar = self.encode(frames)
        return self.decode(mu + torch.exp(logvar / 2) * noise), mu, logvar
