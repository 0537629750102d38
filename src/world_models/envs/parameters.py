"""Parameters of the stage rollouts: ``<environment>.rollouts`` in ``params.yaml``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from world_models.envs.policies import Behaviour
from world_models.schema import Parameters


class RolloutsParameters(Parameters):
    """Which episodes are collected, by whom, and how they are stored."""

    episodes: Annotated[
        int, Field(ge=1, le=10_000_000, description="episodes played (the paper: 10,000)")
    ]
    max_steps: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="steps after which an episode is no longer played"),
    ]
    min_length: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000,
            description="shorter episodes are dropped, steps (Doom's paper: 101)",
        ),
    ]
    policy: Annotated[
        Literal["random", "controller"],
        Field(description="who acts: at random, or a controller with its V and M (later rounds)"),
    ]
    behaviour: Annotated[
        Behaviour,
        Field(
            description="the random policy: uniform, held, drifting (held and leaning), brownian"
        ),
    ]
    hold_min: Annotated[
        int, Field(ge=1, le=1000, description="fewest steps for which held keeps an action")
    ]
    hold_max: Annotated[
        int, Field(ge=1, le=1000, description="most steps for which held keeps an action")
    ]
    latent: Annotated[
        Literal["sample", "mean"],
        Field(description="what a controller sees of V while it collects: a sample of z, or mu"),
    ]
    renderer: Annotated[
        Literal["fast", "genuine"],
        Field(description="the simulator's renderer; genuine is the one that people use"),
    ]
    shard_episodes: Annotated[
        int,
        Field(ge=1, le=10_000, description="episodes of a shard, one unit of work and of resume"),
    ]
    seed: Annotated[int, Field(ge=0, lt=2**31, description="fixes the episodes and the policy")]

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.hold_min > self.hold_max:
            raise ValueError(f"hold_min {self.hold_min} is above hold_max {self.hold_max}")
        if self.min_length > self.max_steps:
            raise ValueError(f"min_length {self.min_length} is above max_steps {self.max_steps}")
        return self
