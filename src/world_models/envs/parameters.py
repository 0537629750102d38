"""Parameters of the stage rollouts: ``<environment>.rollouts`` in ``params.yaml``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from world_models.envs.policies import Behaviour
from world_models.schema import Parameters


class EpisodesParameters(Parameters):
    """Which episodes are played and how they are stored, for random and trained agents alike."""

    episodes: Annotated[
        int, Field(ge=1, le=10_000_000, description="episodes played (the paper: 10,000)")
    ]
    max_steps: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="steps after which an episode is no longer played"),
    ]
    patience: Annotated[
        int | None,
        Field(ge=1, description="steps without reward after which an episode is left; null: never"),
    ]
    min_length: Annotated[
        int,
        Field(
            ge=1,
            le=1_000_000,
            description="shorter episodes are dropped, steps (Doom's paper: 101)",
        ),
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
    def _lengths(self) -> Self:
        if self.min_length > self.max_steps:
            raise ValueError(f"min_length {self.min_length} is above max_steps {self.max_steps}")
        return self


class RolloutsParameters(EpisodesParameters):
    """Which episodes are played at random, and how they are stored."""

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

    @model_validator(mode="after")
    def _holds(self) -> Self:
        if self.hold_min > self.hold_max:
            raise ValueError(f"hold_min {self.hold_min} is above hold_max {self.hold_max}")
        return self
