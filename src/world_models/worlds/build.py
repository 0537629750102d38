"""Builds a world from what can travel to a worker: weights and settings, no files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from world_models.envs.vector import Lockstep
from world_models.memory.model import Memory
from world_models.vision.model import Vision
from world_models.worlds.dream import Dream
from world_models.worlds.reality import Latent, Reality
from world_models.worlds.world import World

Payload = tuple[Mapping[str, NDArray[Any]], Mapping[str, Any]]
"""A model's arrays and details, as its ``payload()`` gives them."""
Features = Literal["z", "zh", "zch"]


@dataclass(frozen=True)
class RealityPlan:
    """What :class:`Reality` is built from; picklable.

    Attributes:
        environment: such as ``carracing``.
        renderer: ``fast`` or ``genuine``, or a name that the simulator knows.
        num_envs: episodes in lockstep at most.
        features: what C sees.
        latent: whether C sees a sample of z, or mu.
        vae: V's payload.
        mdnrnn: M's payload; not used if C sees z alone.
    """

    environment: str
    renderer: str
    num_envs: int
    features: Features
    latent: Latent
    vae: Payload
    mdnrnn: Payload

    def build(self) -> World:
        """Start the simulators and load V and M."""
        memory = None if self.features == "z" else Memory.from_arrays(*self.mdnrnn)
        return Reality(
            Lockstep(self.environment, self.num_envs, self.renderer),
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
    """

    num_envs: int
    features: Features
    tau: float
    cap: int
    mdnrnn: Payload

    def build(self) -> World:
        """Load M."""
        return Dream(
            Memory.from_arrays(*self.mdnrnn),
            num_envs=self.num_envs,
            features=self.features,
            tau=self.tau,
            cap=self.cap,
        )


Plan = RealityPlan | DreamPlan
