"""The mixture's loss and its gradient in one pass over memory, for float32 on a CPU."""

from typing import Any

import torch
from torch import Tensor

from world_models.fast.memory import mixture_kernels as kernels


class _NLL(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mixture: Tensor, z: Tensor, weight: Tensor) -> Tensor:
        """Σ weight · NLL; keeps its gradient."""
        gradient = torch.empty_like(mixture)
        loss = kernels.mixture_nll(mixture.numpy(), z.numpy(), weight.numpy(), gradient.numpy())
        ctx.save_for_backward(gradient)
        return mixture.new_tensor(loss)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor, None, None]:
        """Scale the gradient that the forward pass found."""
        (gradient,) = ctx.saved_tensors
        # A backward pass from the loss itself has scale 1: no need to touch 20 MB again.
        return gradient if float(scale) == 1.0 else gradient * scale, None, None


def weighted_nll(mixture: Tensor, z: Tensor, weight: Tensor) -> Tensor:
    """Σ weight · NLL over rows and dimensions, differentiable with respect to ``mixture``.

    Args:
        mixture: (N, 3·K·Z) logits, mu, log σ, each (K, Z).
        z: (N, Z) what came.
        weight: (N,); a row of weight 0 has no influence, whatever it holds.
    """
    contiguous = (mixture.contiguous(), z.contiguous(), weight.contiguous())
    result: Tensor = _NLL.apply(*contiguous)  # type: ignore[no-untyped-call]
    return result
