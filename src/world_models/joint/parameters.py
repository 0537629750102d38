"""Parameters of the stage joint: ``<environment>.joint`` in an experiment's parameters."""

from typing import Annotated

from pydantic import Field

from world_models.vision.parameters import TrainingParameters


class JointParameters(TrainingParameters):
    """How V trains on with M beside it; the paper names the idea in its discussion (section 7)."""

    seed: Annotated[int, Field(ge=0, description="Seed of batches and z's noise.")]
    memory_weight: Annotated[
        float,
        Field(
            ge=0,
            description="Weight of M's losses of a step (the NLL summed over z, the restart's or "
            "end's, the reward's) beside V's of a frame; 0: V learns from its own alone, and M "
            "does not learn.",
        ),
    ]
    restart_weight: Annotated[
        float,
        Field(gt=0, description="Weight of the cross-entropy where the episode ended (10)."),
    ]
    batch_size: Annotated[int, Field(ge=1, description="Sequences in a batch, over all devices.")]
    sequence_length: Annotated[
        int, Field(ge=1, description="Steps in a sequence, which so has one frame more.")
    ]
