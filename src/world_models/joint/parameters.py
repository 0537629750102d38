"""Parameters of the stage joint: ``<environment>.joint`` in an experiment's parameters."""

from typing import Annotated, Literal

from pydantic import Field

from world_models.schema import Parameters


class JointParameters(Parameters):
    """How V trains on with M beside it; the paper names the idea in its discussion."""

    seed: Annotated[int, Field(ge=0, description="Seed of batches and z's noise.")]
    memory_weight: Annotated[
        float,
        Field(
            ge=0,
            description="Weight of M's losses of a step (the NLL summed over z, the restart's or "
            "end's, the reward's) beside V's of a frame; 0: V learns from its own alone.",
        ),
    ]
    kl_tolerance: Annotated[float, Field(ge=0, description="As vae's.")]
    sharpness: Annotated[float, Field(ge=0, le=1000, description="As vae's.")]
    restart_weight: Annotated[float, Field(gt=0, description="As mdnrnn's.")]
    steps: Annotated[int, Field(ge=0, description="Gradient steps; 0: weights as given.")]
    batch_size: Annotated[int, Field(ge=1, description="Sequences in a batch, over all devices.")]
    sequence_length: Annotated[
        int, Field(ge=1, description="Steps in a sequence; it has a frame more.")
    ]
    learning_rate: Annotated[float, Field(gt=0, le=1, description="Adam's highest rate.")]
    schedule: Annotated[
        Literal["constant", "cosine"],
        Field(description="How the rate goes on after the warm-up: as it is, or down to 0."),
    ]
    warmup_steps: Annotated[
        int, Field(ge=0, description="Gradient steps in which the rate rises from 0.")
    ]
    gradient_clip: Annotated[
        float | None,
        Field(gt=0, description="Gradients are clipped to ± this, element by element; null: not."),
    ]
    validation_fraction: Annotated[
        float, Field(gt=0, lt=1, description="Share of the episodes that is held out.")
    ]
    validate_every: Annotated[int, Field(ge=1, description="Gradient steps between validations.")]
