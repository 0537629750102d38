"""M's loss: mean NLL per dimension, plus the restart's weighted cross-entropy (App. A.2, D.2)."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from world_models.memory.mixture import weighted_nll
from world_models.memory.network import Prediction


class Targets(NamedTuple):
    """What came after each step; all (T, B, …) float32.

    A step whose successor is unknown has mask 0: the last frame of a truncated episode, padding,
    and, for ``z`` alone, the step that died (the final observation is not stored). So a truncated
    episode is not a death: its end is simply not seen.
    """

    z: Tensor
    """(T, B, Z) the next frame's z."""
    z_mask: Tensor
    """(T, B) 1 where ``z`` is known."""
    ends: Tensor
    """(T, B) 1 where the episode terminated with this step; the next frame would be a restart."""
    end_mask: Tensor
    """(T, B) 1 where ``ends`` is known."""
    rewards: Tensor
    """(T, B) this step's reward."""
    reward_mask: Tensor
    """(T, B) 0 on padding."""


class Counts(NamedTuple):
    """How many steps each part of the loss is a mean over.

    Given from outside so that devices which share a batch divide by the same number.
    """

    z: float
    ends: float
    rewards: float

    @classmethod
    def of(cls, targets: Targets) -> "Counts":
        """Counts of a whole batch on one device; at least 1 each."""
        masks = (targets.z_mask, targets.end_mask, targets.reward_mask)
        return cls(*(max(float(mask.sum()), 1.0) for mask in masks))


class Losses(NamedTuple):
    """The parts that training adds up; 0 where M has no such head."""

    nll: Tensor
    """Mean negative log-likelihood of a dimension of z, in nats."""
    restart: Tensor
    """Mean cross-entropy of the restart flag (or end), weighted where the target is 1."""
    reward: Tensor
    """Mean squared error of the reward, halved."""

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.nll + self.restart + self.reward


def losses(
    prediction: Prediction, targets: Targets, counts: Counts, restart_weight: float
) -> Losses:
    """The loss of a batch of sequences.

    Args:
        prediction: of :meth:`MDNRNN.sequence`, (T, B, …).
        targets: what came.
        counts: divisors.
        restart_weight: weight of steps whose episode ended (10 in the paper's Doom).
    """
    weight = z_weight(targets, counts).flatten()
    nll = weighted_nll(prediction.mixture.flatten(0, -2), targets.z.flatten(0, -2), weight)
    return Losses(nll, *scalar_losses(prediction, targets, counts, restart_weight))


def z_weight(targets: Targets, counts: Counts) -> Tensor:
    """Weight of each step's NLL, (T, B): their weighted sum is the mean over known dimensions."""
    return targets.z_mask / (counts.z * targets.z.shape[-1])


def scalar_losses(
    prediction: Prediction, targets: Targets, counts: Counts, restart_weight: float
) -> tuple[Tensor, Tensor]:
    """The parts of :func:`losses` beside the NLL: of restart or end, and of the reward."""
    ends = reward = prediction.mixture.new_zeros(())
    for logit in (prediction.restart, prediction.end):
        if logit is not None:
            ends = ends + end_loss(logit, targets, restart_weight) / counts.ends
    if prediction.reward is not None:
        error = (prediction.reward - targets.rewards) * targets.reward_mask
        reward = 0.5 * error.square().sum() / counts.rewards
    return ends, reward


def end_loss(logit: Tensor, targets: Targets, restart_weight: float) -> Tensor:
    """Sum of the cross-entropies, those of ends ``restart_weight`` times."""
    entropy = functional.binary_cross_entropy_with_logits(logit, targets.ends, reduction="none")
    factor = 1 + targets.ends * (restart_weight - 1)
    return torch.sum(entropy * factor * targets.end_mask)
