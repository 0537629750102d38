"""V's layers in bfloat16 as plain GEMMs between columns: for a CPU with bfloat16 units.

Such units multiply so fast, and so evenly over all shapes, that nothing is won by fewer products;
what counts is that every product, weight gradients included, is a GEMM, and that what moves data
around it runs in the caches (``bfloat16.py``). A convolution unfolds its input
into columns; a transposed convolution folds the columns that its GEMM gives. Their backward passes
are each other's forward passes.
"""

import numpy as np
import torch
from torch import Tensor

from world_models.fast.bfloat16 import bits
from world_models.fast.vision import bfloat16
from world_models.fast.vision.layers import Layers, Sum, channels_last, no_activation, scratch

_ZERO = np.float32(0)
_NONE = np.float32(-np.inf)


def _buffer(name: str, *shape: int) -> Tensor:
    return scratch.get(name, *shape, dtype=torch.bfloat16)


class _Rectified:
    """What the layers with ReLU share."""

    dtype = torch.bfloat16

    def through_activation(self, y: Tensor, dy: Tensor, dbias: Tensor) -> Tensor:
        """As :meth:`Layer.through_activation`."""
        masked = _buffer("masked", *dy.shape)
        flat, rows, into = (bits(part).reshape(-1, dy.shape[3]) for part in (y, dy, masked))
        bfloat16.relu_gradient(flat, rows, into, dbias.numpy())
        return masked


class FirstConv(_Rectified):
    """The convolution on pixels: bytes are exact in bfloat16, and 1/255 is in the operand."""

    block = 16

    def operand(self, weight: Tensor) -> Tensor:
        """(32, 3, 4, 4) → (32, 48)."""
        return (channels_last(weight).flatten(1) / 255).to(torch.bfloat16)

    def weight_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """(32, 48) → (32, 3, 4, 4)."""
        return gradient.view(len(weight), 4, 4, 3).permute(0, 3, 1, 2) / 255

    def output_shape(self, x: Tensor) -> tuple[int, ...]:
        """(n, 64, 64, 3) → (n, 31, 31, 32)."""
        return (len(x), 31, 31, 32)

    def forward(self, x: Tensor, operand: Tensor, bias: Tensor, y: Tensor) -> None:
        """Frames uint8 to max(conv + bias, 0)."""
        rows = y.view(-1, 32)
        torch.mm(self._columns(x), operand.t(), out=rows)
        bfloat16.bias_relu(bias.numpy(), bits(rows))

    def backward(
        self, x: Tensor, dy: Tensor, operand: Tensor, dx: Tensor | None, into: Sum
    ) -> None:
        """Gradient of the weights alone: pixels have none."""
        assert dx is None, operand.shape
        into.add(dy.view(-1, 32).t(), self._columns(x))

    def _columns(self, x: Tensor) -> Tensor:
        columns = _buffer("columns", len(x) * 961, 48)
        bfloat16.pixels_to_columns(x.numpy(), bits(columns))
        return columns


class Conv(_Rectified):
    """A convolution of kernel 4 and stride 2 with ReLU."""

    def __init__(self, block: int) -> None:
        self.block = block

    def operand(self, weight: Tensor) -> Tensor:
        """(O, C, 4, 4) → (O, 16·C)."""
        return channels_last(weight).flatten(1).to(torch.bfloat16)

    def weight_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """(O, 16·C) → (O, C, 4, 4)."""
        return gradient.view(len(weight), 4, 4, -1).permute(0, 3, 1, 2)

    def output_shape(self, x: Tensor) -> tuple[int, ...]:
        """(n, H, H, C) → (n, (H − 2) // 2, (H − 2) // 2, 2·C): V doubles its channels each time."""
        size = (x.shape[1] - 2) // 2
        return (len(x), size, size, 2 * x.shape[3])

    def forward(self, x: Tensor, operand: Tensor, bias: Tensor, y: Tensor) -> None:
        """Images to max(conv + bias, 0)."""
        rows = y.view(-1, y.shape[3])
        torch.mm(self._columns(x, len(rows)), operand.t(), out=rows)
        bfloat16.bias_relu(bias.numpy(), bits(rows))

    def backward(
        self, x: Tensor, dy: Tensor, operand: Tensor, dx: Tensor | None, into: Sum
    ) -> None:
        """As :meth:`Layer.backward`; making the columns again is cheaper than keeping them."""
        assert dx is not None
        rows = dy.view(-1, dy.shape[3])
        columns = self._columns(x, len(rows))
        into.add(rows.t(), columns)
        torch.mm(rows, operand, out=columns)
        nothing = np.zeros(x.shape[3], np.float32)
        bfloat16.fold(bits(columns), nothing, 4, _NONE, bits(dx))

    def _columns(self, x: Tensor, rows: int) -> Tensor:
        columns = _buffer("columns", rows, 16 * x.shape[3])
        bfloat16.unfold(bits(x), 4, bits(columns))
        return columns


class Deconv(_Rectified):
    """A transposed convolution of stride 2 with ReLU."""

    def __init__(self, kernel: int, block: int) -> None:
        self.kernel, self.block = kernel, block

    def operand(self, weight: Tensor) -> Tensor:
        """(C, O, k, k) → (C, k·k·O)."""
        return channels_last(weight).flatten(1).to(torch.bfloat16)

    def weight_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """(C, k·k·O) → (C, O, k, k)."""
        shape = (len(weight), self.kernel, self.kernel, -1)
        return gradient.view(shape).permute(0, 3, 1, 2)

    def output_shape(self, x: Tensor) -> tuple[int, ...]:
        """(n, H, H, C) → (n, 2·H + k − 2, 2·H + k − 2, C / 2)."""
        size = 2 * x.shape[1] + self.kernel - 2
        return (len(x), size, size, x.shape[3] // 2)

    def forward(self, x: Tensor, operand: Tensor, bias: Tensor, y: Tensor) -> None:
        """Images to max(deconv + bias, 0)."""
        rows = x.view(-1, x.shape[3])
        columns = _buffer("columns", len(rows), operand.shape[1])
        torch.mm(rows, operand, out=columns)
        bfloat16.fold(bits(columns), bias.numpy(), self.kernel, _ZERO, bits(y))

    def backward(
        self, x: Tensor, dy: Tensor, operand: Tensor, dx: Tensor | None, into: Sum
    ) -> None:
        """As :meth:`Layer.backward`."""
        assert dx is not None
        rows = x.view(-1, x.shape[3])
        columns = _buffer("columns", len(rows), operand.shape[1])
        bfloat16.unfold(bits(dy), self.kernel, bits(columns))
        into.add(rows.t(), columns)
        torch.mm(columns, operand.t(), out=dx.view(rows.shape))


class LastDeconv:
    """The transposed convolution to pixels, without activation: a GEMM, folded plane by plane."""

    block = 16
    dtype = torch.float32

    def operand(self, weight: Tensor) -> Tensor:
        """(32, 3, 6, 6) → (32, 108)."""
        return channels_last(weight).flatten(1).to(torch.bfloat16)

    def weight_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """(32, 108) → (32, 3, 6, 6)."""
        return gradient.view(len(weight), 6, 6, 3).permute(0, 3, 1, 2)

    def output_shape(self, x: Tensor) -> tuple[int, ...]:
        """(n, 30, 30, 32) → (n, 64, 64, 3)."""
        return (len(x), 64, 64, 3)

    def forward(self, x: Tensor, operand: Tensor, bias: Tensor, y: Tensor) -> None:
        """Images to deconv + bias."""
        rows, columns = self._padded(x)
        torch.mm(operand.t(), rows.t(), out=columns)
        bfloat16.fold_planes(bits(columns), bias.numpy(), y.numpy())

    def through_activation(self, y: Tensor, dy: Tensor, dbias: Tensor) -> Tensor:
        """As :meth:`Layer.through_activation`: there is none."""
        assert y.shape == dy.shape
        return no_activation(dy, dbias)

    def backward(
        self, x: Tensor, dy: Tensor, operand: Tensor, dx: Tensor | None, into: Sum
    ) -> None:
        """As :meth:`Layer.backward`."""
        assert dx is not None
        rows, columns = self._padded(x)
        bfloat16.unfold_planes(dy.numpy(), bits(columns))
        into.add(rows.t(), columns.t())
        torch.mm(columns.t(), operand.t(), out=rows)
        bfloat16.unpad(bits(rows), bits(dx))

    def _padded(self, x: Tensor) -> tuple[Tensor, Tensor]:
        rows, columns = _buffer("rows", len(x) * 960, 32), _buffer("columns", 108, len(x) * 960)
        bfloat16.pad(bits(x), bits(rows))
        return rows, columns


LAYERS = Layers(
    encoder=(FirstConv(), Conv(16), Conv(32), Conv(64)),
    decoder=(Deconv(5, 32), Deconv(6, 16), LastDeconv()),
    dtype=torch.bfloat16,
)
