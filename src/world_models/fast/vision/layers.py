"""What the layers of V's fast formulations on a CPU have in common.

A layer is a GEMM, or several, between compiled data movements; one layer object knows one
formulation. ``operand`` is the weight in the form that its GEMMs take; ``forward`` and ``backward``
work on one block of images, on the calling thread alone; the gradients of operand and bias are
added to what is there, so that a caller may cut a batch as it likes. Images are NHWC and
contiguous, frames uint8 for the first layer, pixels float32 after the last, between them in the
formulation's own type. Weights are in torch's channels-last format;
weights and their gradients are float32.
"""

import threading
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from world_models.fast.bfloat16 import bits
from world_models.fast.vision import bfloat16


class Sum:
    """A lane's sum of matrix products, float32; the first overwrites what memory held."""

    def __init__(self, total: Tensor) -> None:
        self._total, self._empty = total, True

    def add(self, a: Tensor, b: Tensor) -> None:
        """Add a @ b, of matrices or of stacks of them; the total may have more dimensions."""
        if a.dtype == torch.bfloat16:
            self._add_rounded(a, b)
        elif a.dim() == 3:
            self._total.baddbmm_(a, b, beta=0.0 if self._empty else 1.0)
        else:
            self._total.view(len(a), -1).addmm_(a, b, beta=0.0 if self._empty else 1.0)
        self._empty = False

    def _add_rounded(self, a: Tensor, b: Tensor) -> None:
        """A GEMM of bfloat16 sums in float32 and rounds once; the sum of them is not rounded."""
        product = scratch.get("product", len(a), b.shape[1], dtype=torch.bfloat16)
        torch.mm(a, b, out=product)
        if self._empty:
            self._total.view(product.shape).copy_(product)
        else:
            part = bits(product).reshape(-1)
            bfloat16.accumulate(part, self._total.view(-1).numpy())

    def close(self) -> None:
        """Nothing more comes: without any product the total is zero."""
        if self._empty:
            self._total.zero_()


class Layer(Protocol):
    """A convolution or transposed convolution with its bias and, but for the last, ReLU."""

    block: int
    """Images worked on at once: small enough for the caches, large enough for the GEMM."""
    dtype: torch.dtype
    """Of the images that :meth:`forward` writes."""

    def operand(self, weight: Tensor) -> Tensor:
        """Bring ``weight`` into the form that the GEMMs take."""

    def weight_gradient(self, gradient: Tensor, weight: Tensor) -> Tensor:
        """Bring the operand's gradient, float32, into the form of ``weight``."""

    def output_shape(self, x: Tensor) -> tuple[int, ...]:
        """Shape of the images that follow from ``x``."""

    def forward(self, x: Tensor, operand: Tensor, bias: Tensor, y: Tensor) -> None:
        """Write the layer's result for the block ``x`` to ``y``."""

    def through_activation(self, y: Tensor, dy: Tensor, dbias: Tensor) -> Tensor:
        """Give dy where the layer's activation let y pass, and add its sum to dbias, float32."""

    def backward(
        self, x: Tensor, dy: Tensor, operand: Tensor, dx: Tensor | None, into: Sum
    ) -> None:
        """From dy, already through the activation: write ``dx`` if wanted, add to the operand's."""


class Layers(NamedTuple):
    """A formulation: the encoder's four convolutions, the decoder's last three."""

    encoder: tuple[Layer, ...]
    decoder: tuple[Layer, ...]
    dtype: torch.dtype
    """Of the images between them, and of the first transposed convolution, a linear layer."""


class Scratch(threading.local):
    """Each thread's buffers, reused: the caches stay warm and no block allocates anything."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, torch.dtype], Tensor] = {}

    def get(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """The thread's buffer of that name and type in that shape, with anything in it."""
        size = torch.Size(shape).numel()
        buffer = self._buffers.get((name, dtype))
        if buffer is None or buffer.numel() < size:
            with torch.inference_mode(mode=False):  # usable in and out of inference mode
                self._buffers[name, dtype] = buffer = torch.empty(size, dtype=dtype)
        return buffer[:size].view(shape)


scratch = Scratch()


def channels_last(weight: Tensor) -> Tensor:
    """(A, B, k, k) as (A, k, k, B), contiguous: no copy if the weight is channels-last."""
    return weight.detach().permute(0, 2, 3, 1).contiguous()


def no_activation(dy: Tensor, dbias: Tensor) -> Tensor:
    """``through_activation`` of the layer that gives pixels: dy as it is."""
    dbias.add_(dy.sum((0, 1, 2)))
    return dy
