"""V's layers in float32 with fewer products: for a CPU without bfloat16 units.

The first convolution reads bytes; the three others are Winograd F(2,2) (9/16 of the products); the
second and the last transposed convolution are a GEMM and a fold; the third is Winograd F(3,3) (41 %
of the products).
"""

import torch
from torch import Tensor

from world_models.fast.vision import kernels, winograd2, winograd3
from world_models.fast.vision.layers import (
    Layers,
    Sum,
    channels_last,
    no_activation,
    scratch,
)


class _Rectified:
    """What the layers with ReLU share."""

    dtype = torch.float32

    def through_activation(self, y: Tensor, dy: Tensor, dbias: Tensor) -> Tensor:
        """As :meth:`Layer.through_activation`."""
        masked = scratch.get("masked", *dy.shape)
        flat, rows, into = (part.view(-1, dy.shape[3]).numpy() for part in (y, dy, masked))
        kernels.relu_gradient(flat, rows, into, dbias.numpy())
        return masked


class FirstConv(_Rectified):
    """The convolution on pixels: one GEMM of columns of bytes; 1/255 is in the operand."""

    block = 2

    def operand(self, weight: Tensor) -> Tensor:
        """(32, 3, 4, 4) → (48, 32)."""
        return (channels_last(weight).flatten(1) / 255).t().contiguous()

    def weight_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """(48, 32) → (32, 3, 4, 4)."""
        return gradient.t().reshape(len(weight), 4, 4, 3).permute(0, 3, 1, 2) / 255

    def output_shape(self, x: Tensor) -> tuple[int, ...]:
        """(n, 64, 64, 3) → (n, 31, 31, 32)."""
        return (len(x), 31, 31, 32)

    def forward(self, x: Tensor, operand: Tensor, bias: Tensor, y: Tensor) -> None:
        """Frames uint8 to max(conv + bias, 0)."""
        rows = y.view(-1, 32)
        torch.mm(self._columns(x), operand, out=rows)
        kernels.bias_relu(bias.numpy(), rows.numpy())

    def backward(
        self, x: Tensor, dy: Tensor, operand: Tensor, dx: Tensor | None, into: Sum
    ) -> None:
        """Gradient of the weights alone: pixels have none."""
        assert dx is None, operand.shape
        into.add(self._columns(x).t(), dy.view(-1, 32))

    def _columns(self, x: Tensor) -> Tensor:
        columns = scratch.get("columns", len(x) * 961, 48)
        kernels.pixels_to_columns(x.numpy(), columns.numpy())
        return columns


class WinogradConv(_Rectified):
    """A convolution of kernel 4 and stride 2 with ReLU, as F(2,2) over pixel phases."""

    def __init__(self, block: int) -> None:
        self.block = block

    def operand(self, weight: Tensor) -> Tensor:
        """(O, C, 4, 4) → (9, 4·C, O)."""
        outputs, inputs = weight.shape[:2]
        operand = torch.empty(9, 4 * inputs, outputs)
        by_taps = channels_last(weight).flatten(1).t().contiguous()
        winograd2.conv_weights(by_taps.view(4, 4, inputs, outputs).numpy(), operand.numpy())
        return operand

    def weight_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """(9, 4·C, O) → (O, C, 4, 4)."""
        outputs, inputs = weight.shape[:2]
        by_taps = torch.empty(4, 4, inputs, outputs)
        winograd2.conv_weights_gradient(gradient.numpy(), by_taps.numpy())
        rows = by_taps.view(-1, outputs).t().contiguous()
        return rows.view(outputs, 4, 4, inputs).permute(0, 3, 1, 2)

    def output_shape(self, x: Tensor) -> tuple[int, ...]:
        """(n, H, H, C) → (n, (H − 2) / 2, (H − 2) / 2, 2·C): V doubles its channels each time."""
        size = (x.shape[1] - 2) // 2
        return (len(x), size, size, 2 * x.shape[3])

    def forward(self, x: Tensor, operand: Tensor, bias: Tensor, y: Tensor) -> None:
        """Images to max(conv + bias, 0)."""
        tiles, products = self._buffers(x, operand)
        winograd2.conv_tiles(x.numpy(), tiles.numpy())
        torch.bmm(tiles.transpose(0, 1), operand, out=products.transpose(0, 1))
        winograd2.conv_outputs(products.numpy(), bias.numpy(), y.numpy())

    def backward(
        self, x: Tensor, dy: Tensor, operand: Tensor, dx: Tensor | None, into: Sum
    ) -> None:
        """As :meth:`Layer.backward`; making the tiles again is cheaper than keeping them."""
        assert dx is not None
        tiles, products = self._buffers(x, operand)
        winograd2.conv_tiles(x.numpy(), tiles.numpy())
        winograd2.conv_outputs_gradient(dy.numpy(), products.numpy())
        into.add(tiles.permute(1, 2, 0), products.transpose(0, 1))
        torch.bmm(products.transpose(0, 1), operand.transpose(1, 2), out=tiles.transpose(0, 1))
        winograd2.conv_tiles_gradient(tiles.numpy(), dx.numpy())

    def _buffers(self, x: Tensor, operand: Tensor) -> tuple[Tensor, Tensor]:
        rows = len(x) * ((x.shape[1] - 2) // 4) ** 2
        tiles = scratch.get("tiles", rows, 9, operand.shape[1])
        return tiles, scratch.get("products", rows, 9, operand.shape[2])


class WinogradDeconv(_Rectified):
    """A transposed convolution of kernel 6 and stride 2 with ReLU, as F(3,3) over output phases."""

    block = 4

    def operand(self, weight: Tensor) -> Tensor:
        """(C, O, 6, 6) → (25, C, 4·O)."""
        inputs, outputs = weight.shape[:2]
        operand = torch.empty(25, inputs, 4 * outputs)
        winograd3.deconv_weights(channels_last(weight).numpy(), operand.numpy())
        return operand

    def weight_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """(25, C, 4·O) → (C, O, 6, 6)."""
        inputs, outputs = weight.shape[:2]
        result = torch.empty(inputs, 6, 6, outputs)
        winograd3.deconv_weights_gradient(gradient.numpy(), result.numpy())
        return result.permute(0, 3, 1, 2)

    def output_shape(self, x: Tensor) -> tuple[int, ...]:
        """(n, H, H, C) → (n, 2·H + 4, 2·H + 4, C / 2); H + 2 is a multiple of 3."""
        size = 2 * x.shape[1] + 4
        return (len(x), size, size, x.shape[3] // 2)

    def forward(self, x: Tensor, operand: Tensor, bias: Tensor, y: Tensor) -> None:
        """Images to max(deconv + bias, 0)."""
        tiles, products = self._buffers(x, operand)
        winograd3.deconv_tiles(x.numpy(), tiles.numpy())
        torch.bmm(tiles.transpose(0, 1), operand, out=products.transpose(0, 1))
        winograd3.deconv_outputs(products.numpy(), bias.numpy(), y.numpy())

    def backward(
        self, x: Tensor, dy: Tensor, operand: Tensor, dx: Tensor | None, into: Sum
    ) -> None:
        """As :meth:`Layer.backward`."""
        assert dx is not None
        tiles, products = self._buffers(x, operand)
        winograd3.deconv_tiles(x.numpy(), tiles.numpy())
        winograd3.deconv_outputs_gradient(dy.numpy(), products.numpy())
        into.add(tiles.permute(1, 2, 0), products.transpose(0, 1))
        torch.bmm(products.transpose(0, 1), operand.transpose(1, 2), out=tiles.transpose(0, 1))
        winograd3.deconv_tiles_gradient(tiles.numpy(), dx.numpy())

    def _buffers(self, x: Tensor, operand: Tensor) -> tuple[Tensor, Tensor]:
        rows = len(x) * ((x.shape[1] + 2) // 3) ** 2
        tiles = scratch.get("tiles", rows, 25, operand.shape[1])
        return tiles, scratch.get("products", rows, 25, operand.shape[2])


class FoldedDeconv(_Rectified):
    """The transposed convolution of kernel 5 with ReLU: one GEMM, its columns folded."""

    block = 8

    def operand(self, weight: Tensor) -> Tensor:
        """(C, O, 5, 5) → (C, 25·O)."""
        return channels_last(weight).flatten(1)

    def weight_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """(C, 25·O) → (C, O, 5, 5)."""
        return gradient.view(len(weight), 5, 5, -1).permute(0, 3, 1, 2)

    def output_shape(self, x: Tensor) -> tuple[int, ...]:
        """(n, H, H, C) → (n, 2·H + 3, 2·H + 3, C / 2)."""
        size = 2 * x.shape[1] + 3
        return (len(x), size, size, x.shape[3] // 2)

    def forward(self, x: Tensor, operand: Tensor, bias: Tensor, y: Tensor) -> None:
        """Images to max(deconv + bias, 0)."""
        rows = x.view(-1, x.shape[3])
        columns = scratch.get("columns", len(rows), operand.shape[1])
        torch.mm(rows, operand, out=columns)
        kernels.fold(columns.numpy(), bias.numpy(), 5, y.numpy())

    def backward(
        self, x: Tensor, dy: Tensor, operand: Tensor, dx: Tensor | None, into: Sum
    ) -> None:
        """As :meth:`Layer.backward`."""
        assert dx is not None
        rows = x.view(-1, x.shape[3])
        columns = scratch.get("columns", len(rows), operand.shape[1])
        kernels.unfold(dy.numpy(), 5, columns.numpy())
        into.add(rows.t(), columns)
        torch.mm(columns, operand.t(), out=dx.view(rows.shape))


class LastDeconv:
    """The transposed convolution to pixels, without activation: a GEMM, folded plane by plane."""

    block = 2
    dtype = torch.float32

    def operand(self, weight: Tensor) -> Tensor:
        """(32, 3, 6, 6) → (32, 108)."""
        return channels_last(weight).flatten(1)

    def weight_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """(32, 108) → (32, 3, 6, 6)."""
        return gradient.view(len(weight), 6, 6, 3).permute(0, 3, 1, 2)

    def output_shape(self, x: Tensor) -> tuple[int, ...]:
        """(n, 30, 30, 32) → (n, 64, 64, 3)."""
        return (len(x), 64, 64, 3)

    def forward(self, x: Tensor, operand: Tensor, bias: Tensor, y: Tensor) -> None:
        """Images to deconv + bias."""
        rows = x.view(-1, 32)
        columns = scratch.get("columns", 108, len(rows))
        torch.mm(operand.t(), rows.t(), out=columns)
        kernels.fold_planes(columns.numpy(), bias.numpy(), y.numpy())

    def backward(
        self, x: Tensor, dy: Tensor, operand: Tensor, dx: Tensor | None, into: Sum
    ) -> None:
        """As :meth:`Layer.backward`."""
        assert dx is not None
        rows = x.view(-1, 32)
        columns = scratch.get("columns", 108, len(rows))
        kernels.unfold_planes(dy.numpy(), columns.numpy())
        into.add(rows.t(), columns.t())
        torch.mm(columns.t(), operand.t(), out=dx.view(rows.shape))

    def through_activation(self, y: Tensor, dy: Tensor, dbias: Tensor) -> Tensor:
        """As :meth:`Layer.through_activation`: there is none."""
        assert y.shape == dy.shape
        return no_activation(dy, dbias)


LAYERS = Layers(
    encoder=(FirstConv(), WinogradConv(4), WinogradConv(16), WinogradConv(64)),
    decoder=(FoldedDeconv(), WinogradDeconv(), LastDeconv()),
    dtype=torch.float32,
)
