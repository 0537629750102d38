"""The loss of a batch, computed by the formulation that suits device and shapes.

The textbook's is :meth:`MDNRNN.sequence` and autograd. An accelerated one gets plain tensors, and
gives the NLL and the outputs of the scalar heads; what follows from these is the same for all.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol

import torch

from world_models.formulations import TEXTBOOK, Choice
from world_models.memory.cells import State
from world_models.memory.data import Batch
from world_models.memory.loss import Losses, losses, scalar_losses, z_weight
from world_models.memory.network import MDNRNN, Prediction


class Objective(Protocol):
    """What training minimises."""

    def __call__(self, batch: Batch, state: State | None = None) -> tuple[Losses, State]:
        """Losses of sequences, differentiable by the weights, and the memory (h, c, …) after them.

        ``state`` is the memory that they begin with; None for an empty one.
        """


@contextmanager
def objective(network: MDNRNN, choice: Choice, restart_weight: float) -> Iterator[Objective]:
    """Compute losses as ``choice`` says; threads that this needs end with the context.

    With ``compiled-bfloat16`` a backward pass must come before the next batch of this shape, and
    results are the same bits on any number of torch's threads. With ``compiled-float32`` and the
    textbook they are the same bits on an equal number of threads only: torch splits the sums of a
    matrix product among its threads.

    Args:
        network: M, on the device of ``choice``; its weights are read at each call.
        choice: formulation and precision.
        restart_weight: see :func:`~world_models.memory.loss.losses`.
    """
    if choice.formulation == TEXTBOOK:
        yield partial(_textbook, network, choice, restart_weight)
        return
    from world_models.fast.memory import training as fast

    with fast.open_sequences(choice.formulation) as sequences:
        yield partial(_compiled, sequences, network, restart_weight)


def _textbook(
    network: MDNRNN, choice: Choice, restart_weight: float, batch: Batch, state: State | None = None
) -> tuple[Losses, State]:
    low = choice.precision == "bfloat16"
    with torch.autocast(choice.device, dtype=torch.bfloat16, enabled=low):
        first = state or network.initial_state(batch.z.shape[1])
        inputs = (batch.z, batch.actions, batch.starts)
        prediction, after = network.sequence(*inputs, first, batch.mask)
    found = losses(prediction, batch.targets, batch.counts, restart_weight)
    return found, tuple(part.detach() for part in after)


def _compiled(
    sequences: Callable[..., tuple[torch.Tensor, torch.Tensor, State]],
    network: MDNRNN,
    restart_weight: float,
    batch: Batch,
    state: State | None = None,
) -> tuple[Losses, State]:
    inputs = [batch.z, batch.actions, batch.starts[..., None]][: 2 + network.sizes.restart]
    weight = z_weight(batch.targets, batch.counts)
    given = (inputs, batch.starts, batch.targets.z, weight, network.flat())
    nll, outputs, after = sequences(*given, state, batch.mask)
    named = dict(zip(network.scalar_heads(), outputs, strict=True))
    said = Prediction(nll, *(named.get(name) for name in ("restart", "reward", "end")))
    scalars = scalar_losses(said, batch.targets, batch.counts, restart_weight)
    return Losses(nll, *scalars), after
