"""M's losses over whole sequences with an LSTM, in the accelerated formulations, on tensors.

Every formulation is a function ``sequences(inputs, starts, z, weight, parameters, state,
mask)``:

- ``inputs``: parts of what enters the LSTM, each (T, B, ·) float32: z, action, restart flag if any;
- ``starts``: (T, B) 1 where an episode starts, and its memory is 0; else 0;
- ``z``: (T, B, Z) the next z of each step;
- ``weight``: (T, B) weight of its negative log-likelihood; at 0 it is not looked at;
- ``parameters``: w_x (4H, I), bias (4H,), w_h (4H, H), gates in the order i, f, u, o; then bias and
  weight of each head, the mixture's (3·K·Z rows: logits, mu, log σ) first, then those of one row;
- ``state``: h and c before the first step, (B, H) each; None for zeros. No gradient goes there;
- ``mask``: (B, H) factors of h before the heads (dropout); None for 1.

It returns Σ weight · NLL, and the outputs of the heads with one row, (S, T, B), both differentiable
with respect to the parameters; and h and c after the last step, without a gradient.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional

from world_models.fast.lanes import open_lanes
from world_models.fast.memory.bfloat16 import BFloat16Sequences
from world_models.fast.memory.lstm import lstm
from world_models.fast.memory.mixture import weighted_nll

State = tuple[Tensor, ...]
Sequences = Callable[
    [Sequence[Tensor], Tensor, Tensor, Tensor, Sequence[Tensor], State | None, Tensor | None],
    tuple[Tensor, Tensor, State],
]


@contextmanager
def open_sequences(formulation: str) -> Iterator[Sequences]:
    """The function of a formulation; threads that it starts end with the context.

    Args:
        formulation: ``compiled-bfloat16``, whose bits are the same on any number of threads, or
            ``compiled-float32``, whose bits are the same on an equal number of torch's threads.
    """
    if formulation == "compiled-float32":
        yield float32_sequences
        return
    assert formulation == "compiled-bfloat16", formulation
    with open_lanes(torch.get_num_threads()) as lanes:
        yield BFloat16Sequences(lanes)


def float32_sequences(
    inputs: Sequence[Tensor],
    starts: Tensor,
    z: Tensor,
    weight: Tensor,
    parameters: Sequence[Tensor],
    state: State | None = None,
    mask: Tensor | None = None,
) -> tuple[Tensor, Tensor, State]:
    """One product for all inputs, a compiled cell for each step, a compiled mixture loss."""
    w_x, bias, w_h, *heads = parameters
    zeros = w_h.new_zeros(starts.shape[1], w_h.shape[1])
    h0, c0 = state or (zeros, zeros)
    h, c = lstm(torch.cat(list(inputs), dim=-1), 1 - starts, h0, c0, w_x, w_h, bias)
    shown = h if mask is None else h * mask
    mixture, *scalars = (
        functional.linear(shown, w, b) for b, w in zip(heads[::2], heads[1::2], strict=True)
    )
    nll = weighted_nll(mixture.flatten(0, 1), z.flatten(0, 1), weight.flatten())
    outputs = [scalar.squeeze(-1) for scalar in scalars]
    found = torch.stack(outputs) if outputs else h.new_zeros(0, *starts.shape)
    return nll, found, (h[-1].detach().clone(), c.detach())
