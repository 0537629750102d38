"""V at the speed of a CPU: the textbook's function, each layer in the form that suits the machine.

Without bfloat16 units the layers are those of ``winograd.py`` (float32, fewer products), with them
those of ``columns.py`` (bfloat16, plain GEMMs). In both the first transposed convolution is a
linear layer, since its input is one pixel. What is before and after the convolutions stays in
float32. Measurements stand in docs/performance.md.

A batch is cut into ``LANES`` parts, each summed on its own and the sums added in order: the result
is the same, bit for bit, on one thread or many.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional

from world_models.fast.allocator import keep_memory
from world_models.fast.lanes import Lanes, open_lanes
from world_models.fast.vision.layers import Layer, Layers, Sum, channels_last
from world_models.fast.vision.named import CONVS, DECONVS, layers_of

LANES = 4
"""Parts of a batch: a constant, for sums that do not depend on the number of threads."""


def _bounds(count: int, lane: int) -> tuple[int, int]:
    return count * lane // LANES, count * (lane + 1) // LANES


class _Chain(Function):
    """Layers one after another over a whole batch: each lane goes through all of them by itself.

    So threads meet once for the encoder and once for the decoder, each way. Within a lane
    each layer works in blocks of its own size.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, layers: tuple[Layer, ...], lanes: Lanes, *parameters: Tensor
    ) -> Tensor:
        weights, biases = parameters[::2], [bias.detach() for bias in parameters[1::2]]
        operands = [layer.operand(w) for layer, w in zip(layers, weights, strict=True)]
        images = [x.detach()]
        for layer in layers:
            images.append(torch.empty(layer.output_shape(images[-1]), dtype=layer.dtype))

        def run(lane: int) -> None:
            steps = zip(layers, operands, biases, images, images[1:], strict=False)
            for layer, operand, bias, before, y in steps:
                for part in _blocks(len(x), lane, layer.block):
                    layer.forward(before[part], operand, bias, y[part])

        lanes.map(run, range(LANES))
        ctx.save_for_backward(*weights)
        ctx.operands, ctx.layers, ctx.lanes = operands, layers, lanes
        # The result itself would hold what holds it, and its memory until garbage is collected.
        ctx.images = [*images[:-1], images[-1].detach()]
        return images[-1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        # Detached: the lanes' threads do not know that this is a backward pass.
        images, layers, operands = [x.detach() for x in ctx.images], ctx.layers, ctx.operands
        dimages = [*map(torch.empty_like, images[:-1]), gradients[0].contiguous()]
        doperands = [torch.empty(LANES, *operand.shape) for operand in operands]
        dbiases = [torch.zeros(LANES, y.shape[3]) for y in images[1:]]

        def run(lane: int) -> None:
            for k in reversed(range(len(layers))):
                layer, total = layers[k], Sum(doperands[k][lane])
                for part in _blocks(len(images[0]), lane, layer.block):
                    y, dy = images[k + 1][part], dimages[k + 1][part]
                    masked = layer.through_activation(y, dy, dbiases[k][lane])
                    dx = dimages[k][part] if k or ctx.needs_input_grad[0] else None
                    layer.backward(images[k][part], masked, operands[k], dx, total)
                total.close()

        ctx.lanes.map(run, range(LANES))
        found: list[Tensor] = []
        for layer, weight, dw, db in zip(
            layers, ctx.saved_tensors, doperands, dbiases, strict=True
        ):
            found += [layer.weight_gradient(dw.sum(0), weight.detach()), db.sum(0)]
        return dimages[0] if ctx.needs_input_grad[0] else None, None, None, *found


def _blocks(count: int, lane: int, block: int) -> Iterator[slice]:
    start, stop = _bounds(count, lane)
    for first in range(start, stop, block):
        yield slice(first, min(first + block, stop))


class _FirstDeconv(Function):
    """The transposed convolution of one pixel, a linear layer with ReLU: (n, 1024) → (n, 5, 5, O).

    Each lane computes some of the columns; on the way back, the gradients of some of the inputs.
    So each sum is made by one lane alone, and does not depend on the number of threads.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, dtype: torch.dtype, lanes: Lanes
    ) -> Tensor:
        x, matrix = x.detach().to(dtype), channels_last(weight).flatten(1)
        operand = matrix if dtype == matrix.dtype else torch.empty_like(matrix, dtype=dtype)
        y = torch.empty(len(x), matrix.shape[1], dtype=dtype)
        tiled = bias.detach().to(dtype).repeat(25)

        def run(lane: int) -> None:
            columns = slice(*_bounds(matrix.shape[1], lane))
            if operand is not matrix:
                operand[:, columns].copy_(matrix[:, columns])
            torch.mm(x, operand[:, columns], out=y[:, columns])
            y[:, columns].add_(tiled[columns]).relu_()

        lanes.map(run, range(LANES))
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

        ctx.lanes.map(run, range(LANES))
        dweight = dmatrix.view(len(operand), 5, 5, -1).permute(0, 3, 1, 2)
        dbias = dy.view(len(x) * 25, -1).sum(0, dtype=torch.float32)
        return dx.float(), dweight, dbias, None, None


class FastVAE:
    """A formulation in layers over the textbook network's weights, which it reads at every call.

    Args:
        weights: the textbook network's parameters by name, float32, on the CPU, those of
            convolutions in channels-last order. Gradients flow into them.
        layers: the formulation.
        lanes: the threads.
    """

    def __init__(self, weights: Mapping[str, Tensor], layers: Layers, lanes: Lanes) -> None:
        self._weights, self._layers, self._lanes = weights, layers, lanes

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames uint8 (n, 64, 64, 3), 0–255, to (mu, logvar), (n, Z); differentiable."""
        y = self._chain(frames, self._layers.encoder, CONVS).flatten(1).float()
        return self._linear("heads.mu", y), self._linear("heads.logvar", y)

    def decode(self, z: Tensor) -> Tensor:
        """Map z (n, Z) to images float32 (n, 3, 64, 64) in 0–1, channels-last; differentiable."""
        x, dtype = self._linear("decoder.linear", z), self._layers.dtype
        first: Tensor = _FirstDeconv.apply(  # type: ignore[no-untyped-call]
            x, *self._of("decoder.deconv1"), dtype, self._lanes
        )
        y = self._chain(first, self._layers.decoder, DECONVS)
        return torch.sigmoid(y).permute(0, 3, 1, 2)

    def __call__(self, frames: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction (n, 3, 64, 64), mu and logvar (n, Z), as the textbook's ``forward``."""
        mu, logvar = self.encode(frames)
        return self.decode(mu + torch.exp(logvar / 2) * noise), mu, logvar

    def _of(self, name: str) -> tuple[Tensor, Tensor]:
        return self._weights[f"{name}.weight"], self._weights[f"{name}.bias"]

    def _linear(self, name: str, x: Tensor) -> Tensor:
        return functional.linear(x, *self._of(name))

    def _chain(self, x: Tensor, layers: tuple[Layer, ...], names: tuple[str, ...]) -> Tensor:
        parameters = [parameter for name in names for parameter in self._of(name)]
        y: Tensor = _Chain.apply(x, layers, self._lanes, *parameters)  # type: ignore[no-untyped-call]
        return y


@contextmanager
def open_training(
    formulation: str, weights: Mapping[str, Tensor], threads: int
) -> Iterator[FastVAE]:
    """V for training in this process, on threads that live as long as the block.

    Args:
        formulation: a name that :mod:`world_models.fast.door` lists for V.
        weights: see :class:`FastVAE`.
        threads: how many to use; the result does not depend on it.
    """
    keep_memory()
    with open_lanes(threads) as lanes:
        yield FastVAE(weights, layers_of(formulation), lanes)
