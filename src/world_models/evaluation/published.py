"""What a release says of its scores, and how fresh episodes compare with that."""

import json
from dataclasses import dataclass
from math import copysign, hypot, inf
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from world_models.agent import PARTS
from world_models.errors import InputError
from world_models.evaluation.statistics import Score
from world_models.schema import Parameters
from world_models.storage import atomic, guard
from world_models.storage.artifact import open_artifact
from world_models.worlds.parts import Ends

FILE = "release.json"
"""Its name, beside the folders of V, M and C."""
LIMIT = 3.0
"""Standard errors that a difference may have: chance alone exceeds them once in 370 times."""


class Published(Parameters):
    """What ``release.json`` holds.

    Attributes:
        format: version of this layout.
        environment: such as ``carracing``.
        latent: what C saw of V when it was scored, a sample of z or its mean mu.
        batch: episodes in lockstep, on which the last bits depend.
        tau: temperature of the dream that was scored.
        ends: how that dream ended.
        scores: of stage evaluate: mean, sd, se, n, length and figures, by policy.
        cards: digest of the card of each part, to which the scores belong.
        cost: what it cost to make, in words; None if nobody said.
        notes: further sentences for the model card.
    """

    format: Literal[1]
    environment: guard.Environment
    latent: Literal["sample", "mean"]
    batch: Annotated[int, Field(ge=1)]
    tau: Annotated[float, Field(gt=0)]
    ends: Ends
    scores: dict[str, dict[str, int | float]]
    cards: dict[str, guard.Digest]
    cost: str | None
    notes: list[str]

    def score(self, policy: str = "agent") -> Score:
        """One policy's published score.

        Raises:
            InputError: it has none.
        """
        try:
            found = self.scores[policy]
            numbers = (found["mean"], found["sd"], found["se"], int(found["n"]), found["length"])
        except KeyError as error:
            raise InputError(f"The published scores of policy {policy!r} lack {error}.") from None
        return Score(*numbers)

    def write(self, folder: Path) -> None:
        """Write it into a release's folder."""
        text = json.dumps(self.model_dump(), indent=2, sort_keys=True, ensure_ascii=False)
        atomic.write(folder / FILE, f"{text}\n".encode())


def read(folder: Path, environment: str) -> Published:
    """Read a release's scores, and make sure that they are of the V, M and C beside them.

    Raises:
        InputError: a file is missing or damaged, of another environment, or of other weights.
    """
    path = folder / FILE
    try:
        found = guard.fitting(Published, guard.json_of(path), path)
    except FileNotFoundError:
        raise InputError(
            f"{path} is missing, so {folder} is no release. `world-models release {environment}` "
            "makes one of trained models; `git checkout` brings back one that git carries."
        ) from None
    except (OSError, InputError) as error:
        reason = str(error).removeprefix(f"{path} cannot be read: ").rstrip(".")
        raise InputError(
            f"{path} cannot be read ({reason}). Bring it back with `git "
            f"checkout {folder}`, or make it with `world-models release {environment}`."
        ) from None
    if found.environment != environment:
        raise InputError(f"{folder} is a release of {found.environment}, not of {environment}.")
    if found.cards != digests(folder, environment):
        raise InputError(
            f"The scores in {path} are not those of the V, M and C beside it. Bring all back with "
            f"`git checkout {folder}`, or make them with `world-models release {environment}`."
        )
    return found


def digests(folder: Path, environment: str) -> dict[str, str]:
    """The digest of the card of each part in ``folder``; a card holds those of its files."""
    return {
        kind: open_artifact(folder / kind, kind, environment, verify=False).digest()
        for kind in PARTS
    }


@dataclass(frozen=True)
class Deviation:
    """How far a new mean is from the published one; both are of independent episodes.

    Attributes:
        difference: new mean − published mean.
        se: its standard error, √(se² + se²).
    """

    difference: float
    se: float

    @classmethod
    def between(cls, published: Score, measured: Score) -> "Deviation":
        """Of two scores."""
        return cls(measured.mean - published.mean, hypot(published.se, measured.se))

    @property
    def in_errors(self) -> float:
        """The difference in units of its standard error; infinite if that is 0."""
        if self.se == 0:
            return copysign(inf, self.difference) if self.difference else 0.0
        return self.difference / self.se

    @property
    def agrees(self) -> bool:
        """Whether chance may explain the difference."""
        return abs(self.in_errors) <= LIMIT
