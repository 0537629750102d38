"""One mixture of Gaussians for each latent dimension (the authors'; App. A.2)."""

import math

import torch
from torch import Tensor

LOGSIGMA_MIN, LOGSIGMA_MAX = -8.0, 8.0
"""Bounds of log σ: wider than a z of unit scale needs, and float32 can square what lies inside."""
RESIDUAL_MAX = 1e15
"""Bound of the distance from a component, in σ: its square is still finite in float32."""
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def split(mixture: Tensor, z_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Cut (…, 3·K·Z) into logits, mu and bounded log σ, each (…, K, Z)."""
    mixtures = mixture.shape[-1] // (3 * z_size)
    parts = mixture.reshape(*mixture.shape[:-1], 3, mixtures, z_size)
    logits, mu, logsigma = parts.unbind(-3)
    return logits, mu, logsigma.clamp(LOGSIGMA_MIN, LOGSIGMA_MAX)


def log_prob(mixture: Tensor, z: Tensor) -> Tensor:
    """Log-density of each dimension of ``z``: (…, Z), from (…, 3·K·Z) and (…, Z)."""
    logits, mu, logsigma = split(mixture, z.shape[-1])
    d = (z.unsqueeze(-2) - mu) * torch.exp(-logsigma)
    d = d.clamp(-RESIDUAL_MAX, RESIDUAL_MAX)
    terms = logits.log_softmax(-2) - 0.5 * d * d - logsigma - HALF_LOG_2PI
    return torch.logsumexp(terms, dim=-2)


def weighted_nll(mixture: Tensor, z: Tensor, weight: Tensor) -> Tensor:
    """Σ weight · NLL over rows and dimensions.

    Args:
        mixture: (N, 3·K·Z).
        z: (N, Z) what came.
        weight: (N,); a row of weight 0 has no influence, whatever it holds.
    """
    seen = weight != 0
    return -(log_prob(mixture[seen], z[seen]) * weight[seen, None]).sum()


def sample(mixture: Tensor, u: Tensor, eps: Tensor, tau: float) -> Tensor:
    """Draw z (N, Z) at temperature τ: logits / τ, noise × √τ (App. A.2, D.2).

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
