"""Parameters of M and of its training."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from world_models.memory.sizes import Name
from world_models.schema import Parameters


class MDNRNNParameters(Parameters):
    """``<environment>.mdnrnn`` in ``params.yaml``; paper sections 2.2, App. A.2 and D.2."""

    seed: Annotated[int, Field(ge=0, description="Seed of weights, batches and z's noise.")]
    cell: Annotated[
        Name, Field(description="What remembers: the paper's LSTM (h and c), or a GRU (h alone).")
    ]
    hidden_size: Annotated[
        int, Field(ge=1, le=4096, description="Units of the cell (256 CarRacing, 512 TakeCover).")
    ]
    mixtures: Annotated[
        int, Field(ge=1, le=64, description="Gaussians of each latent dimension (5).")
    ]
    restart: Annotated[
        bool,
        Field(description="The restart flag is an input and is predicted (TakeCover: true)."),
    ]
    reward_head: Annotated[
        bool, Field(description="Predict the reward of a step too (an addition to the paper).")
    ]
    end_head: Annotated[
        bool,
        Field(description="Predict the episode's end without a restart input (an addition)."),
    ]
    patience: Annotated[
        int | None,
        Field(
            ge=1,
            description="An episode has ended for M after so many steps without a positive reward: "
            "a dream in which C is lost then ends, and M need not know what comes after (needs "
            "end_head; an addition). null: never.",
        ),
    ]
    restart_weight: Annotated[
        float,
        Field(gt=0, description="Weight of the cross-entropy where the episode ended (10)."),
    ]
    dropout: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Share of h's units that a training sequence hides from the heads (0).",
        ),
    ]
    steps: Annotated[int, Field(ge=0, description="Gradient steps; 0: weights as drawn.")]
    batch_size: Annotated[int, Field(ge=1, description="Sequences in a batch, over all devices.")]
    sequence_length: Annotated[int, Field(ge=1, description="Steps in a sequence.")]
    stateful: Annotated[
        bool,
        Field(
            description="Whether memory goes on from batch to batch, as in the authors' Doom code; "
            "else sequences stand anywhere and begin with an empty memory."
        ),
    ]
    learning_rate: Annotated[float, Field(gt=0, le=1, description="Adam's rate at the start.")]
    schedule: Annotated[
        Literal["constant", "exponential", "cosine"],
        Field(description="How the rate falls to final_learning_rate over the steps."),
    ]
    final_learning_rate: Annotated[
        float, Field(gt=0, le=1, description="Adam's rate at the last step.")
    ]
    gradient_clip: Annotated[
        float, Field(gt=0, description="Gradients are clipped to ± this, element by element (1).")
    ]
    validation_fraction: Annotated[
        float, Field(gt=0, lt=1, description="Share of the episodes that is held out.")
    ]
    validate_every: Annotated[int, Field(ge=1, description="Gradient steps between validations.")]

    @model_validator(mode="after")
    def _has_one_end(self) -> Self:
        """Refuse two heads for one thing."""
        if self.restart and self.end_head:
            raise ValueError(
                "restart and end_head are both true, but restart predicts the end already: set "
                "end_head to false"
            )
        if self.patience is not None and not self.end_head:
            raise ValueError(
                f"patience is {self.patience}, but nothing predicts that an episode ends so: set "
                "end_head to true, or patience to null"
            )
        return self
