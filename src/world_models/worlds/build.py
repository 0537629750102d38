"""Builds a world from what can travel to a worker: weights and settings, no files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from world_models.envs import catalogue
from world_models.envs.disturbance import NONE, Disturbance
from world_models.envs.vector import Lockstep
from world_models.memory.model import Memory
from world_models.vision.model import Vision
from world_models.worlds.dream import Dream
from world_models.worlds.parts import Ends
from world_models.worlds.reality import Latent, Reality
from world_models.worlds.world import World

Payload = tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]
"""A model's arrays and details, as its ``payload()`` gives them."""


@dataclass(frozen=True)
class RealityPlan:
    """What :class:`Reality` is built from; picklable.

    Attributes:
        environment: such as ``carracing``.
        renderer: a name that the environment's specification lists.
        num_envs: episodes in lockstep at most.
        features: what C sees.
        latent: whether C sees a sample of z, or mu.
        vae: V's payload.
        mdnrnn: M's payload; not used if C sees z alone.
        disturbance: what is changed in the simulators.
    """

    environment: str
    renderer: str
    num_envs: int
    features: str
    latent: Latent
    vae: Payload
    mdnrnn: Payload
    disturbance: Disturbance = NONE

    def build(self) -> World:
        """Start the simulators and load V and M."""
        where = (self.environment, self.num_envs, self.renderer)
        return self.around(Lockstep(*where, disturbance=self.disturbance))

    def around(self, simulators: Lockstep) -> World:
        """Load V and M, to see and remember what happens in these simulators."""
        memory = None if self.features == "z" else Memory.from_arrays(*self.mdnrnn)
        return Reality(
            simulators,
            Vision.from_arrays(*self.vae),
            memory,
            features=self.features,
            latent=self.latent,
        )


@dataclass(frozen=True)
class DreamPlan:
    """What :class:`Dream` is built from; picklable.

    Attributes:
        num_envs: dreams in lockstep at most.
        features: what C sees.
        tau: temperature.
        cap: steps after which a dream is truncated.
        mdnrnn: M's payload, with the first frames that dreams start from.
        ends: how a dream ends.
        dropout: share of M's units that each dream does without.
    """

    num_envs: int
    features: str
    tau: float
    cap: int
    mdnrnn: Payload
    ends: Ends = "threshold"
    dropout: float = 0.0

    def build(self) -> World:
        """Load M."""
        return Dream(
            Memory.from_arrays(*self.mdnrnn),
            num_envs=self.num_envs,
            features=self.features,
            tau=self.tau,
            cap=self.cap,
            ends=self.ends,
            dropout=self.dropout,
        )


Plan = RealityPlan | DreamPlan


@dataclass(frozen=True)
class Parts:
    """V and M of one environment, from which both of its worlds are planned.

    Raises:
        InputError: V and M do not fit each other.
    """

    environment: str
    vision: Vision
    memory: Memory

    def __post_init__(self) -> None:
        """Refuse parts of different runs."""
        self.memory.check(self.vision.z_size)

    def reality(
        self,
        features: str,
        latent: Latent,
        renderer: str,
        num_envs: int,
        disturbance: Disturbance = NONE,
    ) -> RealityPlan:
        """Plan the simulators; arguments as for :class:`RealityPlan`."""
        models = (self.vision.payload(), self.memory.payload())
        where = (self.environment, renderer, num_envs)
        return RealityPlan(*where, features, latent, *models, disturbance)

    def dream(
        self,
        features: str,
        tau: float,
        num_envs: int,
        ends: Ends = "threshold",
        dropout: float = 0.0,
    ) -> DreamPlan:
        """Plan M's dream, which is cut where episodes of the environment are."""
        cap = catalogue.specification(self.environment).cap
        return DreamPlan(num_envs, features, tau, cap, self.memory.payload(), ends, dropout)

    def check_dream(self) -> None:
        """Make sure that C can learn in the dream: M predicts what a return there consists of.

        The environment's specification says what that is: the reward, unless each step lived is
        worth 1; the end, unless episodes end by their cap alone or dying costs no later reward.

        Raises:
            ParameterError: M does not predict it.
        """
        catalogue.specification(self.environment).check_dream(self.memory.predicts)
