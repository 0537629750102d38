"""The parameters of stage evolve: ``<environment>.evolve`` in ``params.yaml``."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from world_models.envs.disturbance import Disturbance, Kind
from world_models.evolution.optimiser import OPTIMISERS
from world_models.schema import Parameters
from world_models.worlds.parts import Ends

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
    disturbance: Annotated[
        Kind | None,
        Field(
            description="what is changed in the simulator, as in evaluate; none: nothing; null in "
            "the dream"
        ),
    ]
    strength: Annotated[
        float | None,
        Field(ge=0, le=1, description="of the disturbance; 0 with none; null in the dream"),
    ]
    tau: Annotated[
        float | None,
        Field(gt=0, le=10, description="temperature of the dream; null in reality"),
    ]
    ends: Annotated[
        Ends | None,
        Field(
            description="how a dream ends: where M's logit of the end is above 0, as in the paper, "
            "or drawn at the risk that M predicts; null in reality"
        ),
    ]
    dropout: Annotated[
        float | None,
        Field(
            ge=0,
            lt=1,
            description="share of M's units that each dream does without, another for each seed; "
            "null in reality",
        ),
    ]
    lookahead_rounds: Annotated[
        int | None,
        Field(
            ge=0,
            le=1000,
            description="rounds in which M's dreams advise C before evolution begins; 0: it begins "
            "with zeros, as in the paper; null in reality",
        ),
    ]
    lookahead_moments: Annotated[
        int | None,
        Field(
            ge=64,
            le=1_000_000,
            description="moments of C's dreams that a round looks ahead from; null without rounds",
        ),
    ]
    lookahead_steps: Annotated[
        int | None,
        Field(
            ge=2,
            le=10_000,
            description="steps that each look ahead takes, of 4 dreams with each of C's outputs "
            "down and up; null without rounds",
        ),
    ]
    features: Annotated[
        str,
        Field(
            pattern="^z[a-z]*$",
            description="what C sees: z, then letters of M's parts, as in zh or Doom's zch",
        ),
    ]
    hidden: Annotated[
        int, Field(ge=0, le=4096, description="units of C's hidden tanh layer; 0 is linear")
    ]
    optimiser: Annotated[
        str,
        Field(
            description="what searches C's weights: CMA-ES, or OpenAI's evolution strategy",
            json_schema_extra={"enum": list(OPTIMISERS)},
        ),
    ]
    variant: Annotated[
        Variant | None,
        Field(
            description="cma: its covariance; passive is without negative weights; "
            "null for another optimiser"
        ),
    ]
    learning_rate: Annotated[
        float | None,
        Field(gt=0, le=10, description="openai-es: Adam's step size; null for another optimiser"),
    ]
    population: Annotated[int, Field(ge=4, le=4096, description="candidates in a generation")]
    rollouts: Annotated[
        int,
        Field(ge=1, le=1024, description="episodes a candidate; fitness is their mean return"),
    ]
    groups: Annotated[
        int,
        Field(
            ge=1,
            le=1024,
            description="groups of a generation's candidates, each with episodes of its own; with "
            "more than one, fitness is the candidate's mean rank in its group",
        ),
    ]
    hardest_of: Annotated[
        int | None,
        Field(
            ge=2,
            le=1024,
            description="half of a candidate's episodes are each the hardest of so many, by what "
            "is known before they are played, such as a track's bends; null: as they come",
        ),
    ]
    generations: Annotated[
        int,
        Field(
            ge=1,
            le=100_000,
            description="generations in all; a higher number goes on from the last run's end",
        ),
    ]
    restart_every: Annotated[
        int | None,
        Field(
            ge=1,
            description="generations after which evolution begins anew, with other candidates and "
            "not at a given C; the best of all is kept; null: never",
        ),
    ]
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
    finalists: Annotated[
        int, Field(ge=1, le=64, description="best validated means, which play on at the end")
    ]
    final_episodes: Annotated[
        int,
        Field(
            ge=0,
            le=4096,
            description="new episodes that choose among them; 0: validation alone chooses",
        ),
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
        if self.population % self.groups or self.population < 2 * self.groups:
            raise ValueError(
                f"population = {self.population} must be a multiple of groups = {self.groups}, and "
                "at least twice as many: all groups have one size, and a rank needs others"
            )
        dream = self.world == "dream"
        in_dream = ("tau", "ends", "dropout", "lookahead_rounds")
        in_reality = ("renderer", "latent", "disturbance", "strength")
        uses = dict.fromkeys(in_dream, dream) | dict.fromkeys(in_reality, not dream)
        self._check_use("world", uses)
        if self.hardest_of is not None and dream:
            raise ValueError(
                f"hardest_of = {self.hardest_of} must be null in the dream: no episode is known to "
                "be harder there"
            )
        if self.hardest_of is not None and self.rollouts < 2:
            raise ValueError(
                f"hardest_of = {self.hardest_of} must be null, or rollouts at least 2: a candidate "
                "plays as many hard episodes as others"
            )
        self.changed.check_named()
        looks = bool(self.lookahead_rounds)
        self._check_use("lookahead_rounds", {"lookahead_moments": looks, "lookahead_steps": looks})
        if looks and self.hidden:
            raise ValueError(
                f"hidden = {self.hidden}: looking ahead fits a linear C, so hidden must be 0, or "
                "lookahead_rounds must be"
            )
        chosen = OPTIMISERS.get(self.optimiser)
        if chosen is None:
            known = ", ".join(OPTIMISERS)
            raise ValueError(f"optimiser = {self.optimiser!r} is not known; known are: {known}")
        knobs = {knob for entry in OPTIMISERS.values() for knob in entry.knobs}
        self._check_use("optimiser", {knob: knob in chosen.knobs for knob in sorted(knobs)})
        if self.population % chosen.multiple:
            raise ValueError(
                f"population = {self.population} must be a multiple of {chosen.multiple} when "
                f"optimiser is {self.optimiser}"
            )
        return self

    @property
    def changed(self) -> Disturbance:
        """What is changed in the simulator: nothing in the dream."""
        return Disturbance(self.disturbance or "none", self.strength or 0.0)

    def _check_use(self, choice: str, uses: dict[str, bool]) -> None:
        """A parameter has a value where it has a use, and is null elsewhere."""
        chosen = getattr(self, choice)
        for name, used in uses.items():
            if used and getattr(self, name) is None:
                raise ValueError(f"{name} must have a value when {choice} is {chosen}, not null")
            if not used and getattr(self, name) is not None:
                raise ValueError(f"{name} must be null when {choice} is {chosen}: it has no use")

    def optimiser_settings(self) -> dict[str, Any]:
        """What the chosen optimiser is made with, apart from its first mean and its stream."""
        shared = ("sigma", "population")
        return {name: getattr(self, name) for name in (*shared, *OPTIMISERS[self.optimiser].knobs)}
