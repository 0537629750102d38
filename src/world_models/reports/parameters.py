"""The parameters of stage report: ``<environment>.report`` in ``params.yaml``."""

from typing import Annotated

from pydantic import Field

from world_models.schema import Parameters


class ReportParameters(Parameters):
    """How long the videos are; pictures need no parameters."""

    video_steps: Annotated[
        int, Field(ge=1, le=10_000, description="steps of an episode that its video shows at most")
    ]
    gif_steps: Annotated[int, Field(ge=1, le=2_000, description="steps that a GIF shows at most")]
