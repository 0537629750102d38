"""What an agent knows, along one of its episodes: what C looks at, and where M is surprised."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from world_models.agent import Agent
from world_models.errors import UserError
from world_models.evaluation.recordings import Recording
from world_models.memory.mixture import log_prob, split
from world_models.memory.threads import one_thread

FloatArray = NDArray[np.float32]


class Followed(NamedTuple):
    """What M made of an episode of T steps."""

    features: FloatArray
    """(T, F) what C saw: z, then the parts of M's memory."""
    nll: FloatArray
    """(T - 1,) negative log-likelihood of each z after the first, all dimensions together, nats."""
    expected: FloatArray
    """(T - 1, Z) the mean that M had expected of it."""


@one_thread()
@torch.no_grad()
def follow(agent: Agent, recording: Recording) -> Followed:
    """Let M see an episode of at least two steps, and say what it expected of each."""
    memory, (z, actions) = agent.memory, (recording.z, recording.actions)
    state, parts = memory.start(1), memory.seen(agent.controller.spec.features)
    features, nll, expected = [], [], []
    for t in range(len(z)):
        remembered = [state.read(part)[0].copy() for part in parts]
        features.append(np.concatenate([z[t], *remembered]))
        if t + 1 < len(z):
            memory.step(state, z[t : t + 1], actions[t : t + 1], np.full(1, t == 0))
            said = memory.predict(state).mixture[:, : memory.sizes.mixture_size]
            mixture = torch.from_numpy(said)
            nll.append(-float(log_prob(mixture, torch.from_numpy(z[t + 1 : t + 2])).sum()))
            logits, mu, _ = split(mixture, memory.z_size)
            expected.append((logits.softmax(-2) * mu).sum(-2)[0].numpy())
    return Followed(np.stack(features), np.array(nll, np.float32), np.stack(expected))


def attention(agent: Agent, features: FloatArray) -> NDArray[np.float64]:
    """How much each input moves each output of a linear C: float64 (outputs, F), rows sum to 1.

    An input's share is its weight's size times the input's standard deviation.

    Args:
        agent: with a linear C.
        features: what C saw, (T, F).

    Raises:
        UserError: C has a hidden layer.
    """
    spec = agent.controller.spec
    if spec.hidden:
        raise UserError(
            f"C has a hidden layer of {spec.hidden} units: what it looks at cannot be read from "
            "its weights. Take an agent whose C is linear."
        )
    weights = agent.controller.theta[: spec.inputs * spec.outputs].reshape(spec.outputs, -1)
    moved = np.abs(weights.astype(np.float64)) * features.std(axis=0, dtype=np.float64)
    shares: NDArray[np.float64] = moved / np.maximum(moved.sum(axis=1, keepdims=True), 1e-12)
    return shares
