"""Is M good enough to dream in? What it says about episodes that it has not seen."""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from world_models.memory.data import Steps
from world_models.memory.mixture import log_prob
from world_models.memory.model import Memory
from world_models.memory.threads import one_thread
from world_models.seeding import stream

EPISODES = 100
"""Held-out episodes that are looked at, at most."""
AGES = (0, 25, 50, 100, 200, 400, 800, 1600, 3200)
"""Edges of the ages, in steps, over which the risk of an end is compared."""

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """M's predictions along whole held-out episodes, from their first frames.

    Attributes:
        nll: (Z,) mean negative log-likelihood of each latent dimension, in nats.
        marginal: (Z,) the same for one Gaussian fitted to these steps: what no memory at all gets.
        logits: (S,) end or restart logit of each step whose outcome is known; None without head.
        ends: (S,) whether the episode terminated with it.
        ages: (S,) the step's number in its episode, from 0.
        reward_error: root mean squared error of the reward; None without head.
    """

    nll: Array
    marginal: Array
    logits: Array | None
    ends: Array
    ages: NDArray[np.int64]
    reward_error: float | None


class _Predictions:
    """What M said about each of N steps; ``ages`` is -1 where it was not asked."""

    def __init__(self, steps: Steps) -> None:
        self.nll, self.known = np.zeros(steps.mu.shape[1]), 0
        self.ends, self.rewards = np.zeros((2, len(steps)), np.float32)
        self.ages = np.full(len(steps), -1, np.int64)


@one_thread()
@torch.no_grad()
def evaluate(memory: Memory, steps: Steps, seed: int) -> HeldOut:
    """Run M along whole episodes, z sampled from V's (mu, σ) as in training.

    M runs as it does in reality and in dreams, on one thread, so that the bits of the result do
    not depend on torch's number of threads.

    Args:
        memory: M.
        steps: held-out episodes.
        seed: of z's noise.
    """
    z = sampled(steps, seed)
    said = _predictions(memory, steps, z)
    asked = said.ages >= 0
    judged = asked & (steps.end_known == 1)
    error = (said.rewards - steps.rewards)[asked]
    variance = torch.from_numpy(z[asked]).var(0, correction=0).clamp_min(1e-12)
    return HeldOut(
        nll=np.asarray(said.nll / max(said.known, 1), np.float32),
        marginal=(0.5 * torch.log(2 * math.pi * math.e * variance)).numpy(),
        logits=said.ends[judged] if "end" in memory.predicts else None,
        ends=steps.ends[judged],
        ages=said.ages[judged],
        reward_error=float(np.sqrt(np.mean(error**2))) if "reward" in memory.predicts else None,
    )


def sampled(steps: Steps, seed: int, purpose: str = "held-out z") -> Array:
    """Z of each step, (N, Z), drawn from V's (mu, σ)."""
    noise = stream(seed, purpose).standard_normal(steps.mu.shape, np.float32)
    return steps.mu + steps.sigma * noise


def judged(steps: Steps) -> int:
    """How many steps the first :data:`EPISODES` episodes have: those that M is judged on."""
    return int(_bounds(steps)[-1])


def _bounds(steps: Steps) -> NDArray[np.int64]:
    """Where each of those episodes begins, and where the last of them ends."""
    return np.append(np.flatnonzero(steps.starts), len(steps))[: EPISODES + 1]


def _predictions(memory: Memory, steps: Steps, z: Array) -> _Predictions:
    bounds = _bounds(steps)
    begin, lengths = bounds[:-1], np.diff(bounds)
    state, said = memory.start(len(begin)), _Predictions(steps)
    for age in range(int(lengths.max())):
        rows = np.flatnonzero(lengths > age)
        here = begin[rows] + age
        said.ages[here] = age
        memory.step(state, z[here], steps.actions[here], steps.starts[here] == 1, rows)
        expected = memory.predict(state, rows)
        for values, into in ((expected.end, said.ends), (expected.reward, said.rewards)):
            if values is not None:
                into[here] = values
        followed = steps.z_known[here] == 1
        mixture = torch.from_numpy(expected.mixture[followed, : memory.sizes.mixture_size])
        log_p = log_prob(mixture, torch.from_numpy(z[here[followed] + 1]))
        said.nll -= log_p.double().sum(0).numpy()
        said.known += int(followed.sum())
    return said


def risk(held_out: HeldOut, restart_weight: float) -> pd.DataFrame:
    """Predicted against observed probability that a step ends the episode, by age.

    Training weighs ends ``restart_weight`` times, which shifts the logit by the weight's log; the
    predicted risk is the one without it.
    """
    assert held_out.logits is not None
    p = 1 / (1 + np.exp(np.log(restart_weight) - held_out.logits.astype(np.float64)))
    rows = []
    for low, high in pairwise(AGES):
        inside = (held_out.ages >= low) & (held_out.ages < high)
        if not inside.any():
            continue
        rows.append(
            {
                "from": low,
                "to": high,
                "steps": int(inside.sum()),
                "observed": float(held_out.ends[inside].mean()),
                "predicted": float(p[inside].mean()),
                "thresholded": float((held_out.logits[inside] > 0).mean()),
            }
        )
    return pd.DataFrame(rows)


def metrics(held_out: HeldOut, restart_weight: float) -> dict[str, float]:
    """Headline figures; those of the end only where M predicts it."""
    found = {
        "nll": float(held_out.nll.mean()),
        "nll_marginal": float(held_out.marginal.mean()),
    }
    if held_out.reward_error is not None:
        found["reward_error"] = held_out.reward_error
    if held_out.logits is None:
        return found
    logits, ends = held_out.logits.astype(np.float64), held_out.ends == 1
    entropy = np.logaddexp(0, np.where(ends, -logits, logits))
    p = 1 / (1 + np.exp(np.log(restart_weight) - logits))
    found |= {
        "end_loss": float((entropy * np.where(ends, restart_weight, 1)).mean()),
        "end_rate_observed": float(ends.mean()),
        "end_rate_predicted": float(p.mean()),
        "end_rate_thresholded": float((logits > 0).mean()),
        "end_false_alarms": float((logits[~ends] > 0).mean()),
    }
    if ends.any():
        found["end_recall"] = float((logits[ends] > 0).mean())
    return found
