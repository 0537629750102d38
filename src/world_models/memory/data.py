"""What M learns from: episodes of (mu, logvar), actions, rewards and ends, cut into sequences.

Episodes stand one after another, and a sequence may run from one into the next: where one starts,
memory is reset (the authors' Doom scheme), so every step has the same chance of being seen and
nothing is padded. Only where the data end before the sequence does are steps padded, and masked.
"""

from dataclasses import dataclass, fields, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from world_models.memory.loss import Counts, Targets
from world_models.seeding import stream
from world_models.storage.latents import Latents

Array = NDArray[np.float32]
Index = NDArray[np.int64]


def until_given_up(latents: Latents, patience: int | None) -> Latents:
    """The episodes, each until it is given up as lost, which then counts as its end.

    Args:
        latents: whole episodes.
        patience: an episode is given up with the step that is the so many-th in a row without a
            positive reward, as :func:`world_models.worlds.episodes.play` does; None: never.
    """
    if patience is None:
        return latents
    kept, lengths, lost = [], [], []
    for episode in range(latents.episodes):
        span = latents.span(episode)
        at = np.arange(span.stop - span.start)
        last = np.maximum.accumulate(np.where(np.asarray(latents.rewards[span]) > 0, at, -1))
        hopeless = np.flatnonzero(at - last >= patience)
        lost.append(len(hopeless) > 0)
        lengths.append(int(hopeless[0]) + 1 if lost[-1] else len(at))
        kept.append(span.start + at[: lengths[-1]])
    steps = np.concatenate(kept)
    return replace(
        latents,
        mu=latents.mu[steps],
        logvar=latents.logvar[steps],
        actions=latents.actions[steps],
        rewards=latents.rewards[steps],
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        terminated=latents.terminated | np.array(lost),
        truncated=latents.truncated & ~np.array(lost),
    )


@dataclass(frozen=True, eq=False)
class Steps:
    """N steps of whole episodes, one after another; all float32, flags 0 or 1.

    Attributes:
        mu: (N, Z) of V.
        sigma: (N, Z) standard deviation of V.
        actions: (N, A).
        rewards: (N,).
        starts: (N,) the step is its episode's first: Doom's restart flag.
        z_known: (N,) the next step belongs to the same episode, so its z is a target.
        ends: (N,) the episode terminated with this step: the next frame would be a restart.
        end_known: (N,) ``ends`` is known; a truncated episode's last step does not know.
    """

    mu: Array
    sigma: Array
    actions: Array
    rewards: Array
    starts: Array
    z_known: Array
    ends: Array
    end_known: Array

    def __len__(self) -> int:
        """N."""
        return len(self.starts)

    @classmethod
    def of(cls, latents: Latents, episodes: NDArray[np.int64]) -> "Steps":
        """The steps of some episodes, in the given order."""
        spans = [latents.span(int(e)) for e in episodes]
        flags = np.zeros((3, sum(s.stop - s.start for s in spans)), np.float32)
        starts, last, died = flags
        at = 0
        for episode, span in zip(episodes, spans, strict=True):
            starts[at] = 1
            at += span.stop - span.start
            last[at - 1] = 1
            died[at - 1] = latents.terminated[episode]

        def joined(values: Array) -> Array:
            return np.concatenate([values[s] for s in spans]).astype(np.float32)

        return cls(
            mu=joined(latents.mu),
            sigma=np.exp(np.float32(0.5) * joined(latents.logvar)),
            actions=joined(latents.actions),
            rewards=joined(latents.rewards),
            starts=starts,
            z_known=1 - last,
            ends=died,
            end_known=1 - last * (1 - died),
        )


class Batch(NamedTuple):
    """Sequences of T steps for B members, time first, float32."""

    z: Tensor
    actions: Tensor
    starts: Tensor
    targets: Targets
    counts: Counts
    """Divisors of the losses: of the whole batch, also where this is one device's share of it."""
    follows: bool | None = None
    """Whether each sequence goes on where the same member's last one ended. False: it begins a
    track that later ones go on with. None: it stands alone, and begins with an empty memory."""
    mask: Tensor | None = None
    """(B, H) factors of h before the heads; see :mod:`world_models.memory.dropout`. None: all 1."""


class Windows:
    """Sequences from :class:`Steps`; what a batch holds depends on seed and step alone."""

    def __init__(self, steps: Steps, *, length: int, batch_size: int, seed: int) -> None:
        """Prepare sequences of ``length`` steps, ``batch_size`` of them at a time."""
        self._length, self._batch_size, self._seed = length, batch_size, seed
        self._count = len(steps)
        # One row of padding at the end, which steps beyond the data point to.
        self._steps = Steps(*(_padded(getattr(steps, f.name)) for f in fields(Steps)))

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """The batch of gradient step ``step``, or one device's share of it.

        z is drawn anew from (mu, σ) each time, by numbers that are the same on any number of
        devices.
        """
        noise = stream(self._seed, "z", step)
        return self._cut(self.positions(step), noise, rank, world_size)

    def positions(self, step: int) -> Index:
        """Which steps :meth:`batch` takes and which one follows, (T + 1, B); N: behind the data."""
        offsets = stream(self._seed, "sequences", step)
        last = max(self._count - self._length, 0)
        return self._from(offsets.integers(last + 1, size=self._batch_size))

    def spread(self) -> Batch:
        """A fixed batch of up to ``batch_size`` sequences, evenly spread, for validation."""
        return self._cut(self.spread_positions(), stream(self._seed, "validation z"), 0, 1)

    def spread_positions(self) -> Index:
        """Which steps :meth:`spread` takes, as :meth:`positions`."""
        whole = max(self._count // self._length, 1)
        number = min(whole, self._batch_size)
        return self._from(np.arange(number) * whole // number * self._length)

    def _from(self, begin: Index) -> Index:
        """Positions (T + 1, B) of sequences and of the step after them; N behind the data."""
        index: Index = np.minimum(np.arange(self._length + 1)[:, None] + begin, self._count)
        return index

    def _cut(self, index: Index, noise: np.random.Generator, rank: int, world_size: int) -> Batch:
        """The sequences of steps ``index`` (T + 1, B), of which the last are targets only."""
        eps = noise.standard_normal((*index.shape, self._steps.mu.shape[1]), np.float32)
        masks = [getattr(self._steps, name)[index[:-1]] for name in ("z_known", "end_known")]
        masks.append((index[:-1] < self._count).astype(np.float32))
        counts = Counts(*(max(float(mask.sum()), 1.0) / world_size for mask in masks))
        share = slice(rank, None, world_size)
        here = np.ascontiguousarray(index[:, share])
        z = eps[:, share] * self._steps.sigma[here] + self._steps.mu[here]
        z_known, end_known, real = (mask[:, share] for mask in masks)
        steps, now = self._steps, here[:-1]
        targets = (z[1:], z_known, steps.ends[now], end_known, steps.rewards[now], real)
        return Batch(
            torch.from_numpy(z[:-1]),
            torch.from_numpy(steps.actions[now]),
            torch.from_numpy(steps.starts[now]),
            Targets(*(torch.from_numpy(np.ascontiguousarray(x)) for x in targets)),
            counts,
        )


class Tracks(Windows):
    """Sequences that go on from batch to batch, so that M's memory can: long stories are learned.

    The authors' Doom code trains so. Each epoch joins the episodes in another order, and cuts what
    comes out into ``batch_size`` tracks of equal length; a batch has the next sequence of each.
    """

    def __init__(self, steps: Steps, *, length: int, batch_size: int, seed: int) -> None:
        """Prepare tracks; arguments as for :class:`Windows`."""
        super().__init__(steps, length=length, batch_size=batch_size, seed=seed)
        self._spans = np.append(np.flatnonzero(steps.starts), len(steps))
        self._epoch, self._order = -1, np.empty(0, np.int64)

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> Batch:
        """The batch of gradient step ``step``; see :meth:`Windows.batch`."""
        track = self._count // self._batch_size
        epoch, number = divmod(step, max(track // self._length, 1))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._joined(epoch)
        begin = np.arange(self._batch_size) * track + number * self._length
        index = self._order[self._from(begin)]
        noise = stream(self._seed, "z", step)
        return self._cut(index, noise, rank, world_size)._replace(follows=number > 0)

    def _joined(self, epoch: int) -> Index:
        """The steps of all episodes in an order of the epoch's own, and N for what is behind."""
        episodes = stream(self._seed, "episodes", epoch).permutation(len(self._spans) - 1)
        spans = [np.arange(self._spans[e], self._spans[e + 1]) for e in episodes]
        return np.concatenate([*spans, [self._count]])


def _padded(values: Array) -> Array:
    return np.concatenate([values, np.zeros_like(values[:1])])
