"""What the rest of the code knows of an environment: one object in its folder.

``envs/<name>/specification.py`` defines ``SPECIFICATION``; :mod:`world_models.envs.catalogue` finds
it by the folder's name. Importing it starts and loads no simulator.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from world_models.envs.actions import Actions, FloatArray
from world_models.envs.disturbance import OF_FRAMES, Disturbance
from world_models.errors import ParameterError

Draw = Callable[[], FloatArray]
"""Gives an action, float32 (A,)."""
Driver = Callable[[np.random.Generator], Draw]
"""Makes what draws one episode's actions, from the episode's own stream."""
Looks = Callable[[NDArray[np.uint8]], Mapping[str, NDArray[np.bool_]]]
"""What frames uint8 (n, 64, 64, 3) show, bool (n,) by name."""
Difficulty = Callable[[int], float]
"""How hard the episode of a seed is, in any unit."""
Arrow = Literal["left", "right", "up", "down"]
"""A key."""
Need = Literal["reward", "end"]
_HEADS: Mapping[Need, str] = {"reward": "reward_head", "end": "end_head (or mdnrnn.restart)"}
"""Parameters that make M predict what a dream needs."""


@dataclass(frozen=True)
class PaperSizes:
    """The networks' sizes in the paper (App. A).

    Attributes:
        z: latent dimensions of V.
        hidden: units of M's LSTM.
        mixtures: Gaussians of each latent dimension.
        restart: whether M has the restart flag.
        features: what C sees, as ``evolve.features`` in ``params.yaml``.
    """

    z: int
    hidden: int
    mixtures: int
    restart: bool
    features: str


class Key(NamedTuple):
    """What an arrow key does, where a person plays."""

    arrow: Arrow
    label: str
    """In a word or two, such as "gas"."""
    number: int
    """Which number of the action it sets; where actions are numbered, which of them it is."""
    value: float = 1.0
    """What it sets that number to; where actions are numbered, of no meaning."""


@dataclass(frozen=True)
class Specification:
    """One environment.

    Attributes:
        id: under which Gymnasium knows it, such as ``WorldModels/CarRacing-v3``.
        title: its name for people.
        actions: the action space.
        cap: steps after which an episode is truncated, in reality and in the dream.
        fps: steps a second, as people see the game.
        packages: distributions whose versions change what the simulator does.
        install: how to get them.
        entry_point: ``module:Class`` of the simulator, a ``gymnasium.Env`` that gives uint8
            (64, 64, 3) and takes vectors of ``actions``. It is called with ``renderer`` and
            ``render_mode``, and truncates itself after ``cap`` steps. The ``info`` of an episode's
            last step may hold ``episode_figures``, numbers by name, such as whether a lap was
            finished: evaluation reports them. May be left out with ``wraps``.
        wraps: id of a Gymnasium environment that can draw itself (``render_mode="rgb_array"``):
            its pictures become the frames, and no simulator has to be written.
        renderers: the simulator's own names; the first is the fastest, the last the genuine one,
            which people use and evaluation sees.
        bias: whether C has biases.
        dream_needs: what M must predict for a dream of this environment to say something.
        looks: what frames show that V and M should have seen; data sets report the shares.
        difficulty: ``module:function`` that says how hard the episode of a seed is before it is
            played, float; evolution may then prefer hard ones. Left out, all are alike.
        driver: what the random policies ``held`` keeps, where uniform draws would teach little.
        disturbances: kinds of disturbance that its simulator makes itself, with their greatest
            strengths; it is then called with ``disturbance`` too. Others change the frames.
        keys: what the arrow keys do; left out, they are the first actions, or the first numbers of
            one.
        paper_scores: mean ± standard deviation in the paper, by policy (agent, random, dream).
        paper_sizes: the networks' sizes in the paper, None for an environment of others.
    """

    id: str
    title: str
    actions: Actions
    cap: int
    fps: int
    packages: tuple[str, ...]
    install: str
    entry_point: str = "world_models.envs.rendered:Rendered"
    wraps: str | None = None
    renderers: tuple[str, ...] = ("genuine",)
    bias: bool = True
    dream_needs: frozenset[Need] = frozenset({"reward", "end"})
    looks: Looks | None = None
    difficulty: str | None = None
    driver: Driver | None = None
    disturbances: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    keys: tuple[Key, ...] = ()
    paper_scores: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    paper_sizes: PaperSizes | None = None

    def check_dream(self, predicts: Set[str]) -> None:
        """Make sure that C can learn in the dream of an M that predicts this.

        Args:
            predicts: which of ``reward`` and ``end`` M predicts beside z.

        Raises:
            ParameterError: M does not predict what a return in the dream consists of.
        """
        missing = sorted(self.dream_needs - predicts)
        if missing:
            cures = " and ".join(f"mdnrnn.{_HEADS[need]} to true" for need in missing)
            raise ParameterError(
                f"evolve.world = 'dream': a dream of {self.title} needs M to predict "
                f"{' and '.join(missing)}, and this M does not. Set {cures} and train M again, or "
                "evolve in reality."
            )

    def check_disturbance(self, disturbance: Disturbance) -> None:
        """Make sure that this environment can be disturbed so.

        Raises:
            ParameterError: it has no such kind, or not of that strength.
        """
        kind, strength = disturbance
        known = {"none": 0.0, **OF_FRAMES, **self.disturbances}
        if kind not in known:
            raise ParameterError(
                f"{self.title} has no disturbance {kind!r}. It has {', '.join(known)}."
            )
        if not 0 <= strength <= known[kind]:
            raise ParameterError(
                f"strength = {strength}: in {self.title} the disturbance {kind} goes from 0 to "
                f"{known[kind]:g}."
            )

    def check_difficulty(self) -> None:
        """Make sure that there is a function that says how hard an episode is.

        Raises:
            ParameterError: there is none.
        """
        if self.difficulty is None:
            raise ParameterError(
                f"evolve.hardest_of must be null: in {self.title} no episode is known to be harder "
                "than another before it is played."
            )

    def judge(self) -> Difficulty:
        """The function that says how hard the episode of a seed is.

        Raises:
            ParameterError: there is none.
        """
        self.check_difficulty()
        assert self.difficulty is not None
        module, _, name = self.difficulty.partition(":")
        found: Difficulty = getattr(import_module(module), name)
        return found

    def native(self, action: FloatArray) -> FloatArray | int:
        """What the environment itself takes: an index where its actions are numbered."""
        return self.actions.native(action)
