"""The gradient steps of V and M together, for the harness that their own trainings share."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from world_models.formulations import Choice
from world_models.joint.data import Batch, Sequences
from world_models.joint.parameters import JointParameters
from world_models.memory.loss import losses as memory_losses
from world_models.memory.network import MDNRNN
from world_models.training.module import Plan, Row, Training
from world_models.vision import formulation
from world_models.vision.loss import vae_loss
from world_models.vision.network import VAE, as_images
from world_models.vision.training import learning_rate


class Losses(NamedTuple):
    """Means over frames (V's) and steps (M's), scalars; ``total`` is what is minimised."""

    total: Tensor
    reconstruction: Tensor
    kl: Tensor
    nll: Tensor
    restart: Tensor
    reward: Tensor


class Pair(nn.Module):
    """V and M, for one optimiser."""

    def __init__(self, vae: VAE, mdnrnn: MDNRNN) -> None:
        super().__init__()
        self.vae, self.mdnrnn = vae, mdnrnn


class JointTraining(Training[Batch]):
    """Gradient steps on V and M: z is V's, so M's losses reach V by what M sees and by its target.

    The paper trains V first and then leaves it as it is. Here V still pays for what it does not
    draw and for the nats that it uses, so it cannot make z easy to predict by saying nothing.
    """

    name = "joint"
    parts = ("loss", "reconstruction", "kl", "nll", "restart", "reward")

    def __init__(
        self,
        pair: Pair,
        parameters: JointParameters,
        choice: Choice,
        training: Sequences,
        held_out: Sequences,
    ) -> None:
        p = parameters
        plan = Plan(p.steps, p.validate_every, p.gradient_clip, partial(learning_rate, p))
        super().__init__(pair, plan, [held_out.spread()])
        self._settings, self._choice, self._sequences = p, choice, training

    @contextmanager
    def open_losses(self) -> Iterator[Callable[[Batch], Losses]]:
        """The losses of a batch; V is computed as the machine does it best, M by the textbook.

        The accelerated formulations of M give no gradient with respect to z.
        """
        assert isinstance(self.network, Pair)
        p, vae, mdnrnn = self._settings, self.network.vae, self.network.mdnrnn
        with formulation.open_training(vae, self._choice) as model:

            def losses(batch: Batch) -> Losses:
                shape, frames = batch.noise.shape, batch.frames.flatten(0, 1)
                noise, steps = batch.noise.flatten(0, 1), batch.steps
                drawn, mu, logvar = model(frames, noise)
                seen = vae_loss(as_images(frames), drawn, mu, logvar, p.kl_tolerance, p.sharpness)
                z = (mu + torch.exp(logvar / 2) * noise).view(shape)
                empty = mdnrnn.initial_state(shape[1])
                said, _ = mdnrnn.sequence(z[:-1], steps.actions, steps.starts, empty)
                targets = steps.targets._replace(z=z[1:])
                found = memory_losses(said, targets, steps.counts, p.restart_weight)
                predicted = shape[-1] * found.nll + found.restart + found.reward
                total = seen.total + p.memory_weight * predicted
                return Losses(total, seen.reconstruction, seen.kl, *found)

            yield losses

    def batches(self, start: int, rank: int, world: int) -> Iterator[Batch]:
        """Random sequences, each step's from its number alone: a device's share of each batch."""
        for step in range(start, self.plan.steps):
            yield self._sequences.batch(step, rank, world)

    def note(self, row: Row) -> str:
        """What V draws, and what M expects."""
        error, nll = row["validation_reconstruction"], row["validation_nll"]
        return f"held out: squared error {error:.1f}, NLL {nll:.3f}"
