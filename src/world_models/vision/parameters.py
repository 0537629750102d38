"""Parameters of V and of its training."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from world_models.schema import Parameters


def _three_or_four(channels: tuple[int, ...]) -> tuple[int, ...]:
    if len(channels) not in (3, 4):
        raise ValueError(f"{list(channels)} is {len(channels)} numbers; give 3 or 4")
    return channels


class TrainingParameters(Parameters):
    """What every training of V takes: what V pays for, and how it goes down."""

    kl_tolerance: Annotated[
        float,
        Field(ge=0, description="Nats a latent dimension that cost nothing (0.5)."),
    ]
    sharpness: Annotated[
        float,
        Field(ge=0, le=1000, description="Pixels cost e² + sharpness · e⁴ (0, the square alone)."),
    ]
    steps: Annotated[int, Field(ge=0, description="Gradient steps; 0: weights stay as they were.")]
    learning_rate: Annotated[float, Field(gt=0, le=1, description="Adam's highest rate (1e-4).")]
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


class VAEParameters(TrainingParameters):
    """``<environment>.vae`` in ``params.yaml``; paper section 3.2, App. A.1."""

    seed: Annotated[int, Field(ge=0, description="Seed of weights, batches and z's noise.")]
    z_size: Annotated[
        int, Field(ge=1, le=1024, description="Latent dimensions (32 CarRacing, 64 TakeCover).")
    ]
    channels: Annotated[
        tuple[Annotated[int, Field(ge=1, le=4096)], ...],
        Field(
            strict=False,  # YAML knows lists, not tuples; the numbers themselves stay strict
            description="Output channels of the encoder's 3 or 4 convolutions (32, 64, 128, 256); "
            "the decoder mirrors the first three.",
        ),
        AfterValidator(_three_or_four),
    ]
    batch_size: Annotated[
        int, Field(ge=1, description="Frames in a batch, over all devices (100).")
    ]
    validation_frames: Annotated[
        int, Field(ge=16, description="Frames of the held-out episodes that losses are taken on.")
    ]
