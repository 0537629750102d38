"""One mixture of Gaussians for each latent dimension (the authors'; App. A.2)."""

from typing import Any

import torch
from torch import Tensor

from world_models.fast.memory import mixture_kernels as kernels
from world_models.fast.memory.cell import has_kernels

LOGSIGMA_MIN = float(kernels.LOGSIGMA_MIN)
LOGSIGMA_MAX = float(kernels.LOGSIGMA_MAX)


def split(mixture: Tensor, z_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cut (…, 3·K·Z) into logits, mu and bounded log σ, each (…, K, Z)."""
    mixtures = mixture.shape[-1] // (3 * z_size)
    parts = mixture.reshape(*mixture.shape[:-1], 3, mixtures, z_size)
    logits, mu, logsigma = parts.unbind(-3)
    return logits, mu, logsigma.clamp(LOGSIGMA_MIN, LOGSIGMA_MAX)


def log_prob(mixture: Tensor, z: Tensor) -> Tensor:
    """Log-density of each dimension of ``z``: (…, Z), from (…, 3·K·Z) and (…, Z)."""
    logits, mu, logsigma = split(mixture, z.shape[-1])
    # As in the kernel: far outside, the density is floored, so that its square stays finite.
    d = ((z.unsqueeze(-2) - mu) * torch.exp(-logsigma)).clamp(
        -float(kernels.RESIDUAL_MAX), float(kernels.RESIDUAL_MAX)
    )
    terms = logits.log_softmax(-2) - 0.5 * d * d - logsigma - float(kernels.HALF_LOG_2PI)
    return torch.logsumexp(terms, dim=-2)


class _NLLFunction(torch.autograd.Function):
    """Loss and gradient in one pass over memory, by the compiled kernel."""

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
    """Σ weight · NLL over rows and dimensions; z is data and has no gradient on the fast path.

    Args:
        mixture: (N, 3·K·Z).
        z: (N, Z) what came.
        weight: (N,); a row of weight 0 has no influence, whatever it holds.
    """
    if has_kernels(mixture) and not z.requires_grad:
        contiguous = (mixture.contiguous(), z.contiguous(), weight.contiguous())
        result: Tensor = _NLLFunction.apply(*contiguous)  # type: ignore[no-untyped-call]
        return result
    seen = weight != 0
    return -(log_prob(mixture[seen], z[seen]) * weight[seen, None]).sum()


def sample(mixture: Tensor, u: Tensor, eps: Tensor, tau: float) -> Tensor:
    """Draw z (N, Z) at temperature τ: logits / τ, noise × √τ. The reference of the kernel.

    Args:
        mixture: (N, 3·K·Z).
        u: (N, Z) uniform in [0, 1), chooses each dimension's component.
        eps: (N, Z) standard normal.
        tau: temperature > 0.
    """
    logits, mu, logsigma = split(mixture, u.shape[-1])
    cumulative = (logits / tau).softmax(-2).cumsum(-2)
    chosen = (cumulative[:, :-1] <= u[:, None]).sum(-2, keepdim=True)
    pick_mu, pick_logsigma = (x.gather(-2, chosen).squeeze(-2) for x in (mu, logsigma))
    noise: Tensor = pick_logsigma.exp() * eps * tau**0.5
    return pick_mu + noise
