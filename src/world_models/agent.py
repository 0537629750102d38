"""V, M and C together, for people: load an agent, let it act, encode, decode, and dream.

agent = world_models.load("carracing")
action, state = agent.act(frame)           # an episode's first frame
action, state = agent.act(frame, state)    # and so on
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from world_models.controller.model import Controller
from world_models.controller.policy import Policies
from world_models.envs import catalogue
from world_models.envs.specification import Specification
from world_models.errors import InputError
from world_models.memory.model import Memory
from world_models.seeding import stream
from world_models.storage.artifact import CARD, Card, check_made_together, open_artifact
from world_models.storage.scratch import find_root
from world_models.vision.model import Vision
from world_models.worlds.build import Parts
from world_models.worlds.world import World

Frames = NDArray[np.uint8]
FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
PARTS = ("vae", "mdnrnn", "controller")
"""Names of the artifacts that make an agent, each a folder."""
TRAINED, RELEASED = "models", "released"
"""Folders of the project that hold an agent's folder for each environment."""


@dataclass
class State:
    """What an agent remembers of n episodes. Opaque: hand it to the next :meth:`Agent.act`."""

    memory: Any
    """M's own."""
    begins: BoolArray
    """(n,) True where the next frame is an episode's first."""
    noise: np.random.Generator
    """Of z, where C was trained on samples of it."""


@dataclass(frozen=True)
class Agent:
    """V, M and C of one environment.

    Attributes:
        environment: its name, such as ``carracing``.
        vision: V.
        memory: M.
        controller: C.
        latent: what C was trained to see of V: a sample of z, or its mean mu.
    """

    environment: str
    vision: Vision
    memory: Memory
    controller: Controller
    latent: Literal["sample", "mean"]

    @classmethod
    def load(cls, agent: str | Path, *, environment: str | None = None) -> Self:
        """Open an agent by the name of its environment, or by its folder.

        Args:
            agent: a string that names an environment, such as ``"carracing"``: the agent that
                :func:`find` finds. Else a folder that holds ``vae``, ``mdnrnn`` and
                ``controller``, such as ``models/carracing``.
            environment: as for :meth:`open`.

        Raises:
            InputError: one is missing, damaged, of another environment, or they do not fit.
        """
        named = isinstance(agent, str) and agent in catalogue.names()
        folder = find(str(agent)) if named else Path(agent)
        missing = lacking(folder)
        if missing:
            raise InputError(f"{folder} holds no agent: it lacks {missing}. {_CURE}")
        return cls.open(*(folder / part for part in PARTS), environment=environment)

    @classmethod
    def open(
        cls, vae: Path, mdnrnn: Path, controller: Path, *, environment: str | None = None
    ) -> Self:
        """Open the three artifacts, wherever they lie.

        Args:
            vae: V's folder.
            mdnrnn: M's.
            controller: C's.
            environment: what they must have been made for; None: for whatever V was.

        Raises:
            InputError: as for :meth:`load`.
        """
        v = open_artifact(vae, "vae", environment, verify=False)
        name = v.environment
        m, c = (
            open_artifact(folder, kind, name, verify=False)
            for folder, kind in ((mdnrnn, "mdnrnn"), (controller, "controller"))
        )
        check_made_together({vae: v, mdnrnn: m, controller: c})
        vision, memory = Vision.load(vae, name), Memory.load(mdnrnn, name)
        mind = Controller.load(controller, name)
        memory.check(vision.z_size)
        mind.check(memory.feature_size(mind.spec.features), memory.action_size)
        return cls(name, vision, memory, mind, _latent(c, controller))

    @property
    def specification(self) -> Specification:
        """What there is to know of the environment."""
        return catalogue.specification(self.environment)

    @property
    def dreams_of_returns(self) -> bool:
        """Whether M predicts what a return consists of; else a dream says only how long it was."""
        return self.specification.dream_needs <= self.memory.predicts

    @property
    def policy(self) -> Policies:
        """C as a function of features, float32 (n, F), to actions, float32 (n, A)."""
        return self.controller.policy(self.specification.actions.squash)

    @property
    def parts(self) -> Parts:
        """V and M, from which worlds are planned."""
        return Parts(self.environment, self.vision, self.memory)

    def start(self, episodes: int = 1, seed: int = 0) -> State:
        """The state before the first frames of some episodes.

        Args:
            episodes: how many run side by side.
            seed: of z's noise, where C sees samples of z.
        """
        noise = stream(seed, "agent")
        return State(self.memory.start(episodes), np.ones(episodes, np.bool_), noise)

    def act(
        self, frames: Frames, state: State | None = None, starts: BoolArray | None = None
    ) -> tuple[FloatArray, State]:
        """Choose what to do, and remember what was seen and done (App. A.1).

        Args:
            frames: uint8 (64, 64, 3) of one episode, or (n, 64, 64, 3).
            state: what the last call returned; None before the first. It changes.
            starts: bool (n,), True where a new episode begins with this frame while the others go
                on, as in a vector environment that resets by itself. None: nowhere.

        Returns:
            The action, float32 (A,), or (n, A), within the environment's action space, and the
            state for the next call.

        Raises:
            InputError: the frames have another shape or type, or another number than the state.
        """
        batch = _batch(frames)
        state = state or self.start(len(batch))
        if len(state.begins) != len(batch):
            raise InputError(
                f"The state is of {len(state.begins)} episodes, the frames are {len(batch)}: "
                "begin with state None for another number."
            )
        begins = state.begins if starts is None else state.begins | starts
        state.memory.forget(np.flatnonzero(begins))
        z = self._look(batch, state.noise)
        parts = self.memory.seen(self.controller.spec.features)
        actions = self.policy(np.hstack([z, *map(state.memory.read, parts)]))
        if parts:
            self.memory.step(state.memory, z, actions, begins)
        state.begins = np.zeros(len(batch), np.bool_)
        return actions.reshape(*frames.shape[:-3], -1), state

    def encode(self, frames: Frames) -> FloatArray:
        """V's z (its mean mu), float32 (Z,) or (n, Z), of frames as in :meth:`act`."""
        return self.vision.encode(_batch(frames))[0].reshape(*frames.shape[:-3], -1)

    def decode(self, z: FloatArray) -> Frames:
        """What V sees in z, float32 (Z,) or (n, Z): uint8 (64, 64, 3) or (n, 64, 64, 3)."""
        rows = np.ascontiguousarray(np.atleast_2d(z), np.float32)
        return self.vision.decode(rows).reshape(*z.shape[:-1], 64, 64, 3)

    def dream(self, tau: float = 1.0, num_envs: int = 1) -> World:
        """M's dream; :meth:`policy` acts on its features, whose first Z numbers are z.

        Args:
            tau: temperature, > 0; 1 is M's own uncertainty, more is more random.
            num_envs: the most dreams at once.
        """
        return self.parts.dream(self.controller.spec.features, tau, num_envs).build()

    def _look(self, frames: Frames, noise: np.random.Generator) -> FloatArray:
        mu, logvar = self.vision.encode(frames)
        if self.latent == "mean":
            return mu
        z: FloatArray = mu + np.exp(np.float32(0.5) * logvar) * noise.standard_normal(
            mu.shape, np.float32
        )
        return z


def load(agent: str | Path) -> Agent:
    """Open a trained agent; see :meth:`Agent.load`."""
    return Agent.load(agent)


def find(environment: str) -> Path:
    """Where an environment's agent lies: ``models/<environment>``, else the one that is released.

    Raises:
        InputError: there is neither.
    """
    trained, released = (find_root() / place / environment for place in (TRAINED, RELEASED))
    for folder in (trained, released):
        if not lacking(folder):
            return folder
    raise InputError(
        f"There is no agent of {environment}: {trained} lacks {lacking(trained)}, and {released} "
        f"lacks {lacking(released)}. {_CURE}"
    )


def lacking(folder: Path) -> str:
    """Which parts of an agent a folder lacks, in words; empty if it has all."""
    return ", ".join(part for part in PARTS if not (folder / part).is_dir())


_CURE = (
    "`make run` makes an agent of each environment, `dvc repro evolve@NAME` one of them, and `git "
    "checkout released` brings back those that git carries; or name another folder."
)


def _latent(card: Card, folder: Path) -> Literal["sample", "mean"]:
    """What C saw of V in training; a sample if that was in a dream, as in the authors' code."""
    said = card.parameters.get("latent")
    if said not in ("sample", "mean", None):
        raise InputError(f"{folder / CARD} says latent = {said!a:.80}: it is sample or mean.")
    return "mean" if said == "mean" else "sample"


def _batch(frames: Frames) -> Frames:
    fits = isinstance(frames, np.ndarray) and frames.dtype == np.uint8
    if not fits or frames.ndim not in (3, 4) or frames.shape[-3:] != (64, 64, 3):
        found = f"{getattr(frames, 'dtype', type(frames).__name__)} {np.shape(frames)}"
        raise InputError(f"Frames are uint8 (64, 64, 3) or (n, 64, 64, 3), not {found}.")
    return np.ascontiguousarray(frames if frames.ndim == 4 else frames[None])
