"""Parameters of the stage that encodes every frame."""

from typing import Annotated

from pydantic import Field

from world_models.schema import Parameters


class EncodeParameters(Parameters):
    """``<environment>.encode`` in ``params.yaml``.

    Nothing in it is random: z is drawn from (mu, logvar) where it is used.
    """

    seed: Annotated[
        int, Field(ge=0, description="Every stage has one; nothing here draws from it.")
    ]

    batch_size: Annotated[
        int, Field(ge=1, le=4096, description="Frames encoded together: memory against speed.")
    ]
