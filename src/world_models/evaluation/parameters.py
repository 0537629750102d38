"""The parameters of stages evaluate and assess, in ``params.yaml``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from world_models.envs.disturbance import Disturbance, Kind
from world_models.envs.policies import Behaviour
from world_models.schema import Parameters
from world_models.worlds.parts import Ends


class EvaluateParameters(Parameters):
    """How C is scored in the genuine simulator, and what is recorded of it."""

    episodes: Annotated[
        int, Field(ge=2, le=100_000, description="episodes of the agent, on test seeds")
    ]
    random_episodes: Annotated[
        int, Field(ge=2, le=100_000, description="episodes of the random policy, on test seeds")
    ]
    random_policy: Annotated[
        Behaviour, Field(description="which random policy the agent is compared with")
    ]
    latent: Annotated[
        Literal["sample", "mean"], Field(description="what C sees of V: a sample of z, or mu")
    ]
    dream_episodes: Annotated[
        int, Field(ge=1, le=100_000, description="episodes of the agent in M's dream")
    ]
    tau: Annotated[float, Field(gt=0, le=10, description="temperature of that dream")]
    disturbance: Annotated[
        Kind, Field(description="what is changed in the simulator, not in the dream; none: nothing")
    ]
    strength: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="of the disturbance: share of full brightness (colours, noise), of the "
            "road's grip (friction), of the published size (bars, blob) or of half a turn "
            "(turned); 0 with none",
        ),
    ]
    ends: Annotated[
        Ends,
        Field(description="how that dream ends: M's logit above 0, or drawn at M's risk"),
    ]
    batch: Annotated[
        int, Field(ge=1, le=4096, description="episodes in lockstep, one unit of work")
    ]
    videos: Annotated[
        int,
        Field(ge=1, le=100, description="how many of the agent's episodes are recorded, and shown"),
    ]
    seed: Annotated[int, Field(ge=0, lt=2**31, description="fixes the test seeds")]

    @property
    def changed(self) -> Disturbance:
        """What is changed in the simulator."""
        return Disturbance(self.disturbance, self.strength)

    @model_validator(mode="after")
    def _strength(self) -> Self:
        self.changed.check_named()
        return self


class AssessParameters(Parameters):
    """How V and M are judged on C's own episodes."""

    episodes: Annotated[int, Field(ge=1, le=10_000, description="C's episodes in the simulator")]
    max_steps: Annotated[int, Field(ge=1, le=1_000_000, description="steps of an episode at most")]
    latent: Annotated[
        Literal["sample", "mean"], Field(description="what C sees of V: a sample of z, or mu")
    ]
    renderer: Annotated[Literal["fast", "genuine"], Field(description="the simulator's renderer")]
    dreams: Annotated[int, Field(ge=1, le=1024, description="C's episodes in M's dream")]
    tau: Annotated[float, Field(gt=0, le=10, description="temperature of the dream")]
    ends: Annotated[
        Ends, Field(description="how the dream ends: M's logit above 0, or drawn at M's risk")
    ]
    frames: Annotated[int, Field(ge=1, description="frames that V's squared error is taken on")]
    seed: Annotated[int, Field(ge=0, lt=2**31, description="fixes the test seeds")]
