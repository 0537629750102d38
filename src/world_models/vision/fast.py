"""V at the speed of a CPU without bfloat16 units: the textbook's function, fewer products.

Against the textbook in fp32, forward and backward: the first convolution reads bytes; the three
others are Winograd F(2,2) (9/16 of the products); the first transposed convolution is a linear
layer, since its input is one pixel; the second and the last are a GEMM and a fold; the third is
Winograd F(3,3) (41 % of the products). Measurements stand in docs/performance.md.

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

from world_models.vision import kernels
from world_models.vision.layers import (
    FirstConv,
    FoldedDeconv,
    LastDeconv,
    Layer,
    Sum,
    WinogradConv,
    WinogradDeconv,
    scratch,
)
from world_models.vision.network import VAE

Module = nn.Conv2d | nn.ConvTranspose2d
LANES = 4
"""Parts of a batch: a constant, for sums that do not depend on the number of threads."""

ENCODER: tuple[Layer, ...] = (FirstConv(), WinogradConv(8), WinogradConv(12), WinogradConv(64))
DECODER: tuple[Layer, ...] = (FoldedDeconv(), WinogradDeconv(), LastDeconv())


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
        operand, y = layer.operand(weight), torch.empty(layer.output_shape(x))
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
                masked = _through_activation(layer, y[part], dy[part], dbias[lane])
                layer.backward(x[part], masked, operand, into, total)
            total.close()

        ctx.lanes.run(run)
        dweight = layer.weight_gradient(doperand.sum(0), weight)
        return dx, dweight, dbias.sum(0), None, None


def _through_activation(layer: Layer, y: Tensor, dy: Tensor, dbias: Tensor) -> Tensor:
    """Give dy where the layer's ReLU let y pass, and add its sum to dbias."""
    if isinstance(layer, LastDeconv):
        dbias.add_(dy.sum((0, 1, 2)))
        return dy
    masked = scratch.get("masked", *dy.shape)
    flat, rows, into = (part.view(-1, dy.shape[3]).numpy() for part in (y, dy, masked))
    kernels.relu_gradient(flat, rows, into, dbias.numpy())
    return masked


def _blocks(count: int, lane: int, block: int) -> Iterator[slice]:
    start, stop = _bounds(count, lane)
    for first in range(start, stop, block):
        yield slice(first, min(first + block, stop))


class _FirstDeconv(Function):
    """The transposed convolution of one pixel, a linear layer with ReLU: (n, 1024) → (n, 5, 5, O).

    The lanes part its columns, and its inputs on the way back, so that no sum is parted.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, lanes: Lanes) -> Tensor:
        matrix = _matrix(weight)
        y = torch.empty(len(x), matrix.shape[1])
        x, tiled = x.detach(), bias.detach().repeat(25)

        def run(lane: int) -> None:
            columns = slice(*_bounds(matrix.shape[1], lane))
            torch.mm(x, matrix[:, columns], out=y[:, columns])
            y[:, columns].add_(tiled[columns]).relu_()

        lanes.run(run)
        ctx.save_for_backward(x, y, weight)
        ctx.lanes = lanes
        return y.view(len(x), 5, 5, -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, y, weight = (tensor.detach() for tensor in ctx.saved_tensors)
        matrix = _matrix(weight)
        dy = gradients[0].reshape(y.shape) * (y > 0)
        dx, dmatrix = torch.empty_like(x), torch.empty_like(matrix)

        def run(lane: int) -> None:
            inputs = slice(*_bounds(matrix.shape[0], lane))
            torch.mm(dy, matrix[inputs].t(), out=dx[:, inputs])
            torch.mm(x[:, inputs].t(), dy, out=dmatrix[inputs])

        ctx.lanes.run(run)
        dweight = dmatrix.view(-1, 5, 5, weight.shape[1]).permute(0, 3, 1, 2)
        return dx, dweight, dy.view(-1, 25, weight.shape[1]).sum((0, 1)), None


def _matrix(weight: Tensor) -> Tensor:
    return weight.detach().permute(0, 2, 3, 1).flatten(1)


def _convolve(x: Tensor, module: Module, layer: Layer, lanes: Lanes) -> Tensor:
    y: Tensor = _Convolve.apply(x, module.weight, module.bias, layer, lanes)  # type: ignore[no-untyped-call]
    return y


def _first_deconv(x: Tensor, module: Module, lanes: Lanes) -> Tensor:
    y: Tensor = _FirstDeconv.apply(x, module.weight, module.bias, lanes)  # type: ignore[no-untyped-call]
    return y


class FastVAE:
    """The fast formulation over a textbook network, whose parameters it reads at every call.

    The network's weights are brought into channels-last order, which changes no value.
    """

    def __init__(self, network: VAE, lanes: Lanes) -> None:
        self._network = network.channels_last()
        self._lanes = lanes

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames uint8 (n, 64, 64, 3), 0–255, to (mu, logvar), (n, Z); differentiable."""
        encoder, y = self._network.encoder, frames
        convs = (encoder.conv1, encoder.conv2, encoder.conv3, encoder.conv4)
        for layer, conv in zip(ENCODER, convs, strict=True):
            y = _convolve(y, conv, layer, self._lanes)
        mu, logvar = self._network.heads(y.flatten(1))
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Map z (n, Z) to images float (n, 3, 64, 64) in 0–1, channels-last; differentiable."""
        decoder = self._network.decoder
        y = _first_deconv(decoder.linear(z), decoder.deconv1, self._lanes)
        deconvs = (decoder.deconv2, decoder.deconv3, decoder.deconv4)
        for layer, deconv in zip(DECODER, deconvs, strict=True):
            y = _convolve(y, deconv, layer, self._lanes)
        return torch.sigmoid(y).permute(0, 3, 1, 2)

    def __call__(self, frames: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction (n, 3, 64, 64), mu and logvar (n, Z), as the textbook's ``forward``."""
        mu, logvar = self.encode(frames)
        return self.decode(mu + torch.exp(logvar / 2) * noise), mu, logvar
