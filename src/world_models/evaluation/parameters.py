"""The parameters of stage evaluate: ``<environment>.evaluate`` in ``params.yaml``."""

from typing import Annotated, Literal

from pydantic import Field

from world_models.envs.policies import Behaviour
from world_models.schema import Parameters


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
    batch: Annotated[
        int, Field(ge=1, le=4096, description="episodes in lockstep, one unit of work")
    ]
    videos: Annotated[
        int,
        Field(ge=1, le=100, description="how many of the agent's episodes are recorded, and shown"),
    ]
    seed: Annotated[int, Field(ge=0, lt=2**31, description="fixes the test seeds")]
