"""M's training and the dream, beside the textbook network in PyTorch.

Plain: an LSTMCell, one Python step a time step, a Linear head, torch.distributions to sample,
float32, default threads. Ours is a step as the stage trains. Both sides run in turns, and the ratio
is the median of the turns' ratios, because others may use the machine too.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from world_models.formulations import choose
from world_models.memory.data import Batch
from world_models.memory.loss import Counts, Targets
from world_models.memory.model import Initial, Memory
from world_models.memory.network import MDNRNN
from world_models.memory.objective import objective
from world_models.memory.sizes import Sizes
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


def batch_of(case: Case) -> Batch:
    g = torch.Generator().manual_seed(0)
    z = torch.randn(case.steps + 1, BATCH, case.sizes.z_size, generator=g)
    actions = torch.rand(case.steps, BATCH, case.sizes.action_size, generator=g)
    zeros = torch.zeros(case.steps, BATCH)
    ones = torch.ones_like(zeros)
    targets = Targets(z[1:], ones, zeros, ones, zeros, ones)
    return Batch(z[:-1], actions, zeros, targets, Counts.of(targets))


@contextmanager
def our_training(case: Case) -> Iterator[Callable[[], None]]:
    """A gradient step as the stage does it, without what Lightning adds to it."""
    network, batch = MDNRNN(case.sizes), batch_of(case)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3, fused=True)
    with objective(network, choose("M", case.sizes._asdict()), 10.0) as losses_of:

        def step() -> None:
            optimizer.zero_grad()
            losses_of(batch)[0].total.backward()
            nn.utils.clip_grad_value_(network.parameters(), 1.0)
            optimizer.step()

        yield step


def plain_training(case: Case) -> Callable[[], None]:
    """A gradient step of the textbook's."""
    batch, plain, threads = batch_of(case), Plain(case.sizes), torch.get_num_threads()
    optimizer = torch.optim.Adam(plain.parameters(), 1e-3)
    parts = [batch.z, batch.actions, batch.starts[..., None]][: 2 + case.sizes.restart]

    def step() -> None:
        torch.set_num_threads(threads)  # ours leaves MKL with one
        optimizer.zero_grad()
        plain.loss(torch.cat(parts, -1), batch.targets.z, batch.targets.ends).backward()
        nn.utils.clip_grad_value_(plain.parameters(), 1.0)
        optimizer.step()

    return step


def dreams(case: Case, members: int) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A step of our dream, and a plain one."""
    sizes, rng = case.sizes, np.random.default_rng(0)
    network = MDNRNN(sizes)
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


def turns(functions: Sequence[Callable[[], Any]], seconds: float) -> NDArray[np.float64]:
    """Seconds (N, functions) of each in its turn; they take turns."""
    for function in functions:
        function()
    times: list[list[float]] = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 5:
        times.append([spent(function) for function in functions])
    return np.array(times)


def spent(function: Callable[[], Any]) -> float:
    """Wall time of a call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


class Found(NamedTuple):
    """Median steps per second, and the median of the turns' ratios."""

    ours: float
    peer: float
    ratio: float


def compare(ours: Callable[[], Any], peer: Callable[[], Any], seconds: float, work: int) -> Found:
    times = turns((ours, peer), seconds)
    mine, theirs = np.median(times, axis=0).tolist()
    return Found(work / mine, work / theirs, float(np.median(times[:, 1] / times[:, 0])))


def line(name: str, found: Found, target: float) -> dict[str, Any]:
    return {
        "name": name,
        "ours": round(found.ours),
        "peer": round(found.peer),
        "unit": "steps/s",
        "ratio": round(found.ratio, 2),
        "target": target,
        "met": found.ratio >= target,
    }


def measure() -> list[dict[str, Any]]:
    """Lines of the benchmark's table. Without bfloat16 units the targets are 1.3."""
    units = choose("M", CASES[0].sizes._asdict()).precision == "bfloat16"
    lines = []
    for case in CASES:
        with our_training(case) as ours:
            found = compare(ours, plain_training(case), 15.0, BATCH * case.steps)
        lines.append(line(f"M's training, {case.name}", found, 4.0 if units else 1.3))
        by_size = [compare(*dreams(case, n), 4.0, n) for n in DREAMS]
        fastest, peer = (max(side) for side in zip(*(f[:2] for f in by_size), strict=True))
        size = DREAMS[[f.ours for f in by_size].index(fastest)]
        name = f"dream, {case.name} (ours best at {size})"
        found = Found(fastest, peer, fastest / peer)  # each side at its best size
        lines.append(line(name, found, case.dream_target if units else 1.3))
    return lines


if __name__ == "__main__":
    for found in measure():
        print(found)
