"""M's training and the dream, beside the textbook network in PyTorch.

Plain: an LSTMCell, one Python step a time step, a Linear head, torch.distributions to sample,
float32, default threads. Both sides run in turns, and each keeps its best turn, because others may
use the machine too.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from world_models.memory.loss import Counts, Targets, losses
from world_models.memory.model import Initial, Memory
from world_models.memory.network import MDNRNN, Sizes
from world_models.memory.precision import as_dtype, choose_precision
from world_models.worlds.dream import Dream


class Case(NamedTuple):
    """An environment's M, and the batch it is trained with."""

    name: str
    sizes: Sizes
    steps: int
    dream_target: float


CASES = (
    Case("CarRacing", Sizes(32, 3, 256, 5, False, False, False), 50, 1.4),
    Case("TakeCover", Sizes(64, 1, 512, 5, True, False, False), 25, 1.8),
)
BATCH = 100
DREAMS = (64, 256, 1024)
TAU = 1.15


class Plain(nn.Module):
    """The textbook's M."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.cell = nn.LSTMCell(sizes.input_size, sizes.hidden_size)
        self.head = nn.Linear(sizes.hidden_size, sizes.mixture_size + int(sizes.restart))

    def split(self, out: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, mu and log σ, each (…, Z, K)."""
        shape = (*out.shape[:-1], self.sizes.z_size, 3 * self.sizes.mixtures)
        mixture = out[..., : self.sizes.mixture_size].reshape(shape)
        logits, mu, logsigma = mixture.split(self.sizes.mixtures, dim=-1)
        return logits, mu, logsigma

    def loss(self, x: Tensor, z: Tensor, ends: Tensor) -> Tensor:
        """The paper's loss, step by step."""
        h = c = x.new_zeros(x.shape[1], self.sizes.hidden_size)
        outputs = []
        for inputs in x:
            h, c = self.cell(inputs, (h, c))
            outputs.append(h)
        out = self.head(torch.stack(outputs))
        logits, mu, logsigma = self.split(out)
        normal = torch.distributions.Normal(mu, logsigma.exp()).log_prob(z[..., None])
        nll = -torch.logsumexp(logits.log_softmax(-1) + normal, -1).mean()
        if not self.sizes.restart:
            return nll
        entropy = nn.functional.binary_cross_entropy_with_logits(
            out[..., -1], ends, reduction="none"
        )
        return nll + (entropy * (1 + 9 * ends)).mean()

    @torch.no_grad()
    def dream(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One step: features, h, c, and whether it ends."""
        h, c = self.cell(x, (h, c))
        out = self.head(h)
        logits, mu, logsigma = self.split(out)
        pick = torch.distributions.Categorical(logits=logits / TAU).sample()[..., None]
        mu, logsigma = mu.gather(-1, pick)[..., 0], logsigma.gather(-1, pick)[..., 0]
        z = mu + logsigma.exp() * torch.randn_like(mu) * TAU**0.5
        features = torch.cat([z, c, h] if self.sizes.restart else [z, h], dim=1)
        return features, h, c, out[:, -1] > 0


def inputs(case: Case) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    z = torch.randn(case.steps + 1, BATCH, case.sizes.z_size, generator=g)
    actions = torch.rand(case.steps, BATCH, case.sizes.action_size, generator=g)
    return z, actions, torch.zeros(case.steps, BATCH)


def gradient_step(network: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], None]:
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        nn.utils.clip_grad_value_(network.parameters(), 1.0)
        optimizer.step()

    return step


def trainings(case: Case) -> tuple[Callable[[], None], Callable[[], None]]:
    """A gradient step of ours, and a plain one."""
    z, actions, ends = inputs(case)
    ours = MDNRNN(case.sizes, as_dtype(choose_precision(torch.device("cpu"))))
    ones = torch.ones_like(ends)
    targets = Targets(z[1:].contiguous(), ones, ends, ones, ends, ones)
    counts = Counts.of(targets)

    def our_loss() -> Tensor:
        state = ours.initial_state(BATCH)
        prediction, _, _ = ours.sequence(z[:-1], actions, ends, state)
        return losses(prediction, targets, counts, 10.0).total

    plain = Plain(case.sizes)
    parts = [z[:-1], actions, ends[..., None]] if case.sizes.restart else [z[:-1], actions]
    return (
        gradient_step(ours, our_loss),
        gradient_step(plain, lambda: plain.loss(torch.cat(parts, -1), z[1:], ends)),
    )


def dreams(case: Case, members: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A step of our dream, and a plain one."""
    sizes, rng = case.sizes, np.random.default_rng(0)
    network = MDNRNN(sizes, as_dtype(choose_precision(torch.device("cpu"))))
    if network.restart is not None:
        nn.init.constant_(network.restart.bias, -5.0)  # all live: the most work
    first = np.zeros((4, sizes.z_size), np.float32)
    dream = Dream(
        Memory(network, Initial(first, first)),
        tau=TAU,
        cap=10**6,
        num_envs=members,
        features="zch" if sizes.restart else "zh",
    )
    dream.reset(range(members))
    actions = rng.random((members, sizes.action_size), np.float32)
    plain = Plain(sizes)
    extra = [torch.from_numpy(actions)] + [torch.zeros(members, 1)] * int(sizes.restart)
    state = [torch.zeros(members, n) for n in (sizes.z_size, *2 * (sizes.hidden_size,))]

    def plain_step() -> None:
        features, h, c, _ = plain.dream(torch.cat([state[0], *extra], 1), state[1], state[2])
        state[:] = [features[:, : sizes.z_size], h, c]

    return lambda: dream.step(actions), plain_step


def best_rates(functions: Sequence[Callable[[], Any]], seconds: float, work: int) -> list[float]:
    """Work per second of each in its best turn; they take turns."""
    times: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times[-1]) < 3:
        for function, spent in zip(functions, times, strict=True):
            start = time.perf_counter()
            function()
            spent.append(time.perf_counter() - start)
    return [work / min(spent) for spent in times]


def line(name: str, ours: float, peer: float, target: float) -> dict[str, Any]:
    ratio = ours / peer
    return {
        "name": name,
        "ours": round(ours),
        "peer": round(peer),
        "unit": "steps/s",
        "ratio": round(ratio, 2),
        "target": target,
        "met": ratio >= target,
    }


def measure() -> list[dict[str, Any]]:
    """Lines of the benchmark's table. The targets hold with bfloat16 units; else 1."""
    units = choose_precision(torch.device("cpu")) == "bfloat16"
    lines = []
    for case in CASES:
        work = BATCH * case.steps
        ours, plain = best_rates(trainings(case), 10.0, work)
        lines.append(line(f"M's training, {case.name}", ours, plain, 4.0 if units else 1.0))
        rates = np.array([best_rates(dreams(case, n), 4.0, n) for n in DREAMS])
        ours, plain = (float(rate) for rate in rates.max(axis=0))
        size = DREAMS[int(rates[:, 0].argmax())]
        name = f"dream, {case.name} (ours best at {size})"
        lines.append(line(name, ours, plain, case.dream_target if units else 1.0))
    return lines


if __name__ == "__main__":
    for found in measure():
        print(found)
