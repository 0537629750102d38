"""The gallery: pictures of what V, M and C of one agent know, along one episode in its game."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from numpy.typing import NDArray

from world_models.agent import Agent
from world_models.evaluation.insight import Followed, attention, follow
from world_models.evaluation.recordings import Recording
from world_models.memory.rollout import dream_on
from world_models.reports.films import decode
from world_models.reports.replay import replay

FloatArray = NDArray[np.float32]
ROWS, REACH = 8, 2.5
"""Latents that are shown, and how far they are turned, in standard deviations over the episode."""
SURPRISES, APART = 6, 20
"""Surprises that are shown, and the fewest steps between two of them."""
AFTER = (1, 5, 10, 25, 50, 100, 200)
"""Steps after which a dream is compared with the game."""
DREAMS, SHOWN = 32, 3
"""Dreams from one moment, and how many of them are shown."""
EVERY = 4
"""Steps between two points of their curves."""


@dataclass(frozen=True)
class Played:
    """One agent and one of its episodes.

    Attributes:
        agent: V, M and C.
        recording: of the episode, T steps.
        frames: what V saw, uint8 (T, 64, 64, 3).
        followed: what M made of it.
    """

    agent: Agent
    recording: Recording
    frames: NDArray[np.uint8]
    followed: Followed

    @classmethod
    def of(cls, agent: Agent, recording: Recording) -> "Played":
        """Play a recorded episode once more, for its frames."""
        steps = len(recording.actions)
        frames = replay(agent.environment, recording, steps, 1).frames
        return cls(agent, recording, frames, follow(agent, recording))

    def middle(self) -> int:
        """A moment after which dreams can be compared for long."""
        return max(1, min(len(self.recording.z) // 2, len(self.recording.z) - AFTER[-1] - 2))


def pictures(played: Played) -> dict[str, Figure]:
    """All pictures by name: ``traversals``, ``attention``, ``surprises``, ``drift``.

    Raises:
        UserError: C has a hidden layer.
    """
    shares = attention(played.agent, played.followed.features)
    return {
        "traversals": traversals(played, shares),
        "attention": influences(played, shares),
        "surprises": surprises(played),
        "drift": drift(played),
    }


def traversals(played: Played, shares: NDArray[np.float64]) -> Figure:
    """The latents that change most of a frame, each turned from low to high."""
    agent, z, at = played.agent, played.recording.z, played.middle()
    mean, deviation = z.mean(axis=0), z.std(axis=0)
    turns = np.linspace(-REACH, REACH, 7, dtype=np.float32)

    def turned(latents: NDArray[np.intp], by: FloatArray) -> FloatArray:
        grid = np.repeat(z[at][None], len(latents) * len(by), axis=0)
        column = np.repeat(latents, len(by))
        values = mean[column] + np.tile(by, len(latents)) * deviation[column]
        grid[np.arange(len(grid)), column] = values
        return _decoded(grid, agent)

    ends = turned(np.arange(z.shape[1]), turns[[0, -1]])
    shown = np.argsort(-_apart(ends[::2], ends[1::2]), kind="stable")[:ROWS]
    decoded = turned(shown, turns).astype(np.uint8)
    of_c = shares[:, shown].mean(axis=0)
    figure = Figure(figsize=(1.0 + len(turns), 0.5 + len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), len(turns), squeeze=False)
    for row, latent in enumerate(shown):
        for column, turn in enumerate(turns):
            _show(axes[row, column], decoded[row * len(turns) + column])
            if row == 0:
                axes[row, column].set_title(f"{turn:+.1f} SD", fontsize=8)
        _label(axes[row, 0], f"z{latent}\n{of_c[row]:.1%} of C")
    figure.suptitle("One latent turned, the others as they were: what it stands for", fontsize=10)
    return figure


def influences(played: Played, shares: NDArray[np.float64]) -> Figure:
    """What moves C's outputs: the parts of its input, and the single inputs that count most."""
    agent, outputs = played.agent, len(shares)
    bounds = _bounds(agent)
    names = [f"{part}{i}" for part, first, end in bounds for i in range(end - first)]
    figure = Figure(figsize=(8, 1.2 + 1.9 * outputs), layout="constrained")
    axes = figure.subplots(outputs, 2, squeeze=False, width_ratios=(1, 2))
    colours = {part: f"C{number}" for number, (part, _, _) in enumerate(bounds)}
    for output, (whole, single) in enumerate(axes):
        for part, first, end in bounds:
            whole.bar(part, shares[output, first:end].sum(), color=colours[part])
        whole.set_ylim(0, 1)
        whole.set_ylabel(f"output {output + 1}")
        top = np.argsort(-shares[output], kind="stable")[:12]
        colour = [colours[names[i].rstrip("0123456789")] for i in top]
        single.bar([names[i] for i in top], shares[output, top], color=colour)
        single.tick_params(axis="x", labelsize=7)
    figure.suptitle("Share of |weight| x standard deviation of the input", fontsize=10)
    return figure


def surprises(played: Played) -> Figure:
    """The moments that M had expected least: before, what it expected, what came."""
    nll = played.followed.nll
    moments = sorted(_peaks(nll))
    expected = decode(played.followed.expected[moments], played.agent.vision)
    came = decode(played.recording.z[[t + 1 for t in moments]], played.agent.vision)
    figure = Figure(figsize=(8, 7.2), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(1, 3))
    top, below = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    axis = top.subplots()
    axis.plot(np.arange(1, len(nll) + 1), nll, linewidth=0.7)
    axis.plot([t + 1 for t in moments], nll[moments], "o", color="C3", markersize=4)
    axis.set_xlabel("step")
    axis.set_ylabel("NLL of z, nats")
    rows = {
        "before": played.frames[moments],
        "M expects": expected,
        "V keeps of\nwhat comes": came,
        "what comes": played.frames[[t + 1 for t in moments]],
    }
    _sheet(below, rows, [f"step {t + 1}" for t in moments])
    figure.suptitle("Where M is surprised", fontsize=10)
    return figure


def drift(played: Played) -> Figure:
    """Dreams that begin in one moment of the game, with the actions of the game."""
    agent, z, at = played.agent, played.recording.z, played.middle()
    left = len(z) - at - 1
    after = [n for n in AFTER if n <= left]
    actions = played.recording.actions
    last = at + after[-1] + 1
    dreamed = dream_on(
        agent.memory, z[:last], actions[:last], warm=at + 1, samples=DREAMS, tau=1.0, seed=0
    )
    figure = Figure(figsize=(8, 7.6), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(3, 1))
    top, below = figure.add_subfigure(grid[0]), figure.add_subfigure(grid[1])
    steps = [at + n for n in after]
    rows = {"the game": played.frames[steps], "V keeps": decode(z[steps], agent.vision)}
    for number in range(SHOWN):
        at_steps = dreamed[number, [n - 1 for n in after]]
        rows[f"dream {number + 1}"] = decode(at_steps, agent.vision)
    _sheet(top, rows, [f"after {n}" for n in after])
    _distances(below.subplots(), agent, z, z[at + 1 : last], dreamed)
    figure.suptitle(f"Dreams from step {at}, with the actions of the game", fontsize=10)
    return figure


def _distances(
    axis: Axes, agent: Agent, z: FloatArray, real: FloatArray, dreamed: FloatArray
) -> None:
    """How far dreams are from the game, and from one another, in decoded pictures.

    z would mislead: the numbers in it that V does not use are noise.
    """
    played = _decoded(z[::EVERY], agent)
    chance = _apart(played, played[np.random.default_rng(0).permutation(len(played))]).mean()
    seen = _decoded(real[::EVERY], agent)
    dreams = np.stack([_decoded(dream[::EVERY], agent) for dream in dreamed])
    half, steps = len(dreams) // 2, 1 + EVERY * np.arange(len(seen))
    curves = {
        "dream and game": np.stack([_apart(dream, seen) for dream in dreams]),
        "two dreams": np.stack([_apart(dreams[i], dreams[half + i]) for i in range(half)]),
    }
    for label, far in curves.items():
        axis.plot(steps, far.mean(axis=0), label=label)
    axis.axhline(chance, color="0.6", linewidth=0.8, label="two moments of the game by chance")
    axis.set_xlabel("steps dreamed")
    axis.set_ylabel("RMS, levels of 255")
    axis.set_ylim(0, None)
    axis.legend(fontsize=8)


def _decoded(z: FloatArray, agent: Agent) -> FloatArray:
    return decode(z, agent.vision).astype(np.float32)


def _apart(one: FloatArray, other: FloatArray) -> FloatArray:
    """Root mean square difference of pictures (n, H, W, 3), float32 (n,)."""
    difference: FloatArray = np.sqrt(((one - other) ** 2).mean(axis=(1, 2, 3)))
    return difference


def _peaks(nll: FloatArray) -> list[int]:
    """The largest values that stand apart from one another."""
    found: list[int] = []
    for t in np.argsort(-nll, kind="stable").tolist():
        if all(abs(t - other) >= APART for other in found):
            found.append(t)
        if len(found) == SURPRISES:
            break
    return found


def _bounds(agent: Agent) -> Sequence[tuple[str, int, int]]:
    """Name, first and end of each part of C's input."""
    at, found = agent.vision.z_size, [("z", 0, agent.vision.z_size)]
    for part in agent.memory.seen(agent.controller.spec.features):
        found.append((part, at, at + agent.memory.parts[part]))
        at += agent.memory.parts[part]
    return found


def _sheet(
    figure: FigureBase, rows: Mapping[str, NDArray[np.uint8]], titles: Sequence[str]
) -> None:
    """Frames row by row: each row's label before it, the columns' titles above."""
    axes = figure.subplots(len(rows), len(titles), squeeze=False)
    for row, (label, images) in enumerate(rows.items()):
        for column, image in enumerate(images):
            _show(axes[row, column], image)
        _label(axes[row, 0], label)
    for column, title in enumerate(titles):
        axes[0, column].set_title(title, fontsize=8)


def _show(axis: Axes, image: NDArray[np.uint8]) -> None:
    axis.imshow(image, interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
    for spine in axis.spines.values():
        spine.set_visible(False)


def _label(axis: Axes, text: str) -> None:
    axis.set_ylabel(text, fontsize=8, rotation=0, ha="right", va="center")
