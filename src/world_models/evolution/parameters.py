"""What evolution can be told: ``<environment>.evolve`` in ``params.yaml``."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from world_models.schema import Parameters

Variant = Literal["full", "full-passive", "separable", "separable-passive", "vd", "vkd"]
"""What the distribution's covariance may be: any, diagonal, diagonal and one direction (vd), or
diagonal and k directions (vkd, k adapts). ``passive``: the worse half of a generation carries no
negative weights."""


class EvolveParameters(Parameters):
    """How C is evolved. One generation costs population × rollouts episodes."""

    world: Annotated[
        Literal["reality", "dream"],
        Field(description="where C lives while it is trained: the simulator, or M's dream"),
    ]
    renderer: Annotated[
        Literal["fast", "genuine"] | None,
        Field(description="the simulator's renderer in reality; null in the dream"),
    ]
    latent: Annotated[
        Literal["sample", "mean"] | None,
        Field(description="what C sees of V in reality: a sample of z, or mu; null in the dream"),
    ]
    tau: Annotated[
        float | None,
        Field(gt=0, le=10, description="temperature of the dream; null in reality"),
    ]
    features: Annotated[
        Literal["z", "zh", "zch"],
        Field(description="what C sees: z, z and M's h, or z and M's c and h (Doom's)"),
    ]
    hidden: Annotated[
        int, Field(ge=0, le=4096, description="units of C's hidden tanh layer; 0 is linear")
    ]
    variant: Annotated[
        Variant, Field(description="CMA-ES's covariance; passive: without negative weights")
    ]
    population: Annotated[int, Field(ge=4, le=4096, description="candidates in a generation")]
    rollouts: Annotated[
        int,
        Field(ge=1, le=1024, description="episodes a candidate; fitness is their mean return"),
    ]
    generations: Annotated[int, Field(ge=1, le=100_000, description="generations of CMA-ES")]
    sigma: Annotated[
        float, Field(gt=0, le=10, description="first standard deviation of each weight of C")
    ]
    max_steps: Annotated[
        int | None,
        Field(ge=1, description="steps after which a training episode stops; null: play on"),
    ]
    patience: Annotated[
        int | None,
        Field(ge=1, description="steps without reward until a training episode stops; null: never"),
    ]
    batch: Annotated[
        int,
        Field(
            ge=1, le=8192, description="episodes in lockstep, one unit of work; whole candidates"
        ),
    ]
    validate_every: Annotated[
        int, Field(ge=1, description="generations between validations of the distribution's mean")
    ]
    validation_episodes: Annotated[
        int, Field(ge=1, le=4096, description="fixed episodes that each validation plays in full")
    ]
    seed: Annotated[int, Field(ge=0, lt=2**31, description="of candidates, and of all episodes")]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        """Check what one field alone cannot show."""
        if self.batch % self.rollouts:
            raise ValueError(
                f"batch = {self.batch} must be a multiple of rollouts = {self.rollouts}: "
                "a unit of work holds whole candidates"
            )
        dream = self.world == "dream"
        for name, wanted in {"tau": dream, "renderer": not dream, "latent": not dream}.items():
            if wanted and getattr(self, name) is None:
                raise ValueError(f"{name} must have a value when world is {self.world}, not null")
            if not wanted and getattr(self, name) is not None:
                raise ValueError(f"{name} must be null when world is {self.world}: it has no use")
        return self
