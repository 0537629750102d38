"""What cards say of models: the schema that those of V, M and C have in common."""

from typing import Annotated

from pydantic import Field

from world_models.schema import Parameters
from world_models.storage.guard import Digest

Size = Annotated[int, Field(ge=1, le=1 << 16)]
"""Units, channels or dimensions: more than any model of this project has had."""


class ModelDetails(Parameters):
    """Which formulation trained a model, and what a copy in half precision was made from.

    A stage that computes nothing by a formulation names none; unlike parameters, which a person
    writes, all of these may be absent.
    """

    device: str | None = None
    formulation: str | None = None
    precision: str | None = None
    original: Digest | None = None
