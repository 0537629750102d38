"""Parameters of the stage collect: ``<environment>.collect`` in an experiment's parameters."""

from typing import Annotated, Literal

from pydantic import Field

from world_models.envs.parameters import EpisodesParameters


class CollectParameters(EpisodesParameters):
    """Which episodes a trained agent plays, what it sees, and how they are stored."""

    latent: Annotated[
        Literal["sample", "mean"], Field(description="what C sees of V: a sample of z, or mu")
    ]
    noise: Annotated[
        float,
        Field(ge=0, lt=1, description="share of random steps, in spells of 1 to 10: mistakes"),
    ]
