"""V's loss (App. A.1 and the authors' code): squared error a frame + KL with a tolerance."""

from typing import NamedTuple

import torch
from torch import Tensor


class VAELoss(NamedTuple):
    """Means over the batch, scalars; ``total`` is what is minimised."""

    total: Tensor
    reconstruction: Tensor
    kl: Tensor


def kl_divergence(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, exp(logvar)) ‖ N(0, 1)) summed over z, in nats: (n, Z) → (n,)."""
    return -0.5 * (1 + logvar - mu.square() - logvar.exp()).sum(1)


def vae_loss(
    images: Tensor,
    reconstruction: Tensor,
    mu: Tensor,
    logvar: Tensor,
    tolerance: float,
    sharpness: float = 0.0,
) -> VAELoss:
    """Sum of squared errors of each image + max(KL, tolerance · Z), averaged over the batch.

    The clamp acts on the summed KL of each sample: below it the KL gives no gradient.

    With a sharpness s > 0, an addition to the paper, an error e of a pixel costs e² + s · e⁴. What
    is small and lost, such as a far fireball, is a few pixels of large error; what is blurred is
    many pixels of small error. The squared error alone prefers to mend the latter.

    Args:
        images: what was to be reconstructed, float (n, 3, 64, 64), 0–1.
        reconstruction: same shape and range.
        mu: (n, Z).
        logvar: (n, Z).
        tolerance: free nats for each latent dimension, 0.5 in the paper's code.
        sharpness: s, 0 in the paper.

    Returns:
        The total with the clamped KL, the mean squared error (without s), the mean *unclamped* KL.
    """
    errors = (images - reconstruction).square()
    squared = errors.sum((1, 2, 3))
    cost = squared + sharpness * errors.square().sum((1, 2, 3)) if sharpness else squared
    kl = kl_divergence(mu, logvar)
    clamped = torch.clamp(kl, min=tolerance * mu.shape[1])
    return VAELoss((cost + clamped).mean(), squared.mean(), kl.mean())
