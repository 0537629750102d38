"""What workers do when C looks ahead: visit dreams, and go on from moments of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from world_models.controller.policy import policies
from world_models.errors import UserError
from world_models.seeding import stream
from world_models.worlds.arena import Arena
from world_models.worlds.dream import Dream, Moments
from world_models.worlds.episodes import Act, play
from world_models.worlds.world import FloatArray

DANGER = 50
"""Half of the moments are at most so many steps before their dream's end; the others anywhere."""
HELD = 5
"""An output is pushed for one in so many steps of a look: enough to get out of the way."""
REPEATS = 4
"""Dreams from each moment, with each output down and up, that see the same noise."""
NOISES = 16
"""Different noises in a unit; drawing costs by noise, and moments may share one."""
SPELL, LONGEST = 0.02, 20
"""Chance of a step that the visiting C does something else for a while, and its longest."""
PUSH = 10.0
"""C's output, before squashing, while it is pushed up; down, its negative."""


class Visited(NamedTuple):
    """What a :class:`Visit` finds."""

    moments: Moments
    returns: NDArray[np.float64]
    """Of each dream, float64 (n,)."""
    steps: int
    """Taken in all."""


class Looks(NamedTuple):
    """What a :class:`Look` finds."""

    returns: NDArray[np.float64]
    """Means over the noises, float64 (n, J, 2): each output down, and up."""
    steps: int
    """Taken in all."""


@dataclass(frozen=True)
class Visit:
    """A unit: dreams of C, and some of the moments that it comes to.

    Attributes:
        theta: float32 (P,).
        seeds: of the dreams, int64 (n,).
        share: moments a dream, on average.
        max_steps: after which a dream stops; None: never.
    """

    theta: NDArray[np.float32]
    seeds: NDArray[np.int64]
    share: int
    max_steps: int | None

    def work(self, arena: Arena) -> Visited:
        """Dream."""
        dream = _dream(arena)
        # Twice the same dreams: first to know when each ends, then to keep what was chosen.
        seeds, rng = self.seeds.tolist(), stream(int(self.seeds[0]), "moments")
        outcomes = play(dream, self._act(arena), seeds, max_steps=self.max_steps)
        wanted = self.share * len(seeds)
        times = _choose(outcomes.lengths, outcomes.terminated, wanted, rng)
        kept, taken = [], iter(range(1, 1 << 62))

        def keep(*_: object) -> None:
            if (members := times.get(next(taken))) is not None:
                kept.append(dream.moments(members))

        again = play(dream, self._act(arena), seeds, max_steps=max(times), observe=keep)
        steps = int(outcomes.lengths.sum() + again.lengths.sum())
        return Visited(join(kept), outcomes.returns, steps)

    def _act(self, arena: Arena) -> Act:
        """C, which now and then does something else for a while."""
        spec, n = arena.spec, len(self.seeds)
        raw = policies(spec, self.theta, _unsquashed)
        rng = stream(int(self.seeds[0]), "spells")
        left, other = np.zeros(n, np.int64), np.zeros((n, spec.outputs), np.float32)

        def act(features: FloatArray) -> FloatArray:
            begins = (left == 0) & (rng.random(n) < SPELL)
            left[begins] = rng.integers(1, LONGEST + 1, n)[begins]
            other[begins] = rng.choice([-PUSH, 0, PUSH], (n, spec.outputs))[begins]
            outputs = np.where(left[:, None] > 0, other, raw(features))
            left[left > 0] -= 1
            return arena.squash(outputs)

        return act


@dataclass(frozen=True)
class Look:
    """A unit: what becomes of n moments if an output is pushed down, or up.

    Attributes:
        theta: float32 (P,).
        moments: n of them.
        seeds: of the noise, REPEATS · NOISES.
        steps: of each look.
    """

    theta: NDArray[np.float32]
    moments: Moments
    seeds: NDArray[np.int64]
    steps: int

    def work(self, arena: Arena) -> Looks:
        """Dream."""
        dream, n, outputs = _dream(arena), len(self.moments.z), arena.spec.outputs
        returns, steps = np.zeros((n, outputs, 2)), 0
        for noises in self.seeds.reshape(REPEATS, NOISES):
            seeds = np.resize(noises, n).tolist()
            for output in range(outputs):
                for side, push in enumerate((-PUSH, PUSH)):
                    act, begun = self._act(arena, output, push), dream.resume(self.moments, seeds)
                    played = play(dream, act, seeds, max_steps=self.steps, begun=begun)
                    returns[:, output, side] += played.returns / REPEATS
                    steps += int(played.lengths.sum())
        return Looks(returns, steps)

    def _act(self, arena: Arena, output: int, push: float) -> Act:
        """C, with one output pushed at first."""
        raw = policies(arena.spec, self.theta, _unsquashed)
        step = iter(range(self.steps))

        def act(features: FloatArray) -> FloatArray:
            outputs = raw(features)
            if next(step) * HELD < self.steps:
                outputs[:, output] = push
            return arena.squash(outputs)

        return act


def work(arena: Arena, unit: Visit | Look) -> Any:
    """Do a unit."""
    return unit.work(arena)


def _dream(arena: Arena) -> Dream:
    assert isinstance(arena.world, Dream), "only a dream can go on from a moment twice"
    return arena.world


def _unsquashed(raw: FloatArray) -> FloatArray:
    return raw


def _choose(
    lengths: NDArray[np.int64],
    terminated: NDArray[np.bool_],
    count: int,
    rng: np.random.Generator,
) -> dict[int, NDArray[np.int64]]:
    """Which dreams to look ahead from, by the number of steps they have taken then.

    Half of them in danger, the others anywhere, each step as likely.

    Raises:
        UserError: all dreams end at once.
    """
    ended, long = np.flatnonzero(terminated & (lengths > 1)), lengths - 1
    if not long.any():
        raise UserError(
            "All of C's dreams end with their first step: M has diverged, or has learned that "
            "every step is the last. Train it anew with a smaller learning rate."
        )
    danger = rng.choice(ended, count // 2) if len(ended) else ended
    anywhere = rng.choice(len(lengths), count - len(danger), p=long / long.sum())
    who = np.concatenate([danger, anywhere])
    first = np.where(np.arange(count) < len(danger), lengths[who] - DANGER, 1).clip(1)
    when = rng.integers(first, lengths[who])
    return {int(time): who[when == time] for time in np.unique(when)}


def join(moments: Sequence[Moments]) -> Moments:
    """All of them, one after another."""
    parts = {
        name: np.concatenate([one.parts[name] for one in moments]) for name in moments[0].parts
    }
    z, age = (np.concatenate([getattr(one, name) for one in moments]) for name in ("z", "age"))
    return Moments(z, age, parts)
