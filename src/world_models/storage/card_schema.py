"""What ``card.json`` may say: its schema."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from world_models.schema import Parameters
from world_models.storage.guard import Digest, Environment, Name

CARD = "card.json"
ORIGINAL = "original"
"""Key of ``details``, in a copy of another precision: digest of the card that it was made from."""
IMPORT = "import"
"""What made a data set that others collected: a command, no stage."""
ORDER = (
    *(IMPORT, "rollouts", "collect", "joint", "vae", "encode", "mdnrnn", "evolve"),
    *("evaluate", "assess", "report"),
)
"""The stages of a round. Another stage's artifact counts as one from before them."""
Kind = Literal["rollouts", "vae", "latents", "mdnrnn", "controller"]


def _stage(text: str) -> str:
    if text not in ORDER:
        raise ValueError(f"give one of {', '.join(ORDER)}")
    return text


def _upstream(text: str) -> str:
    _stage(re.sub(r"^(before\.)*", "", text))
    return text


def _file(text: str) -> str:
    if text == CARD:
        raise ValueError("a card does not list itself")
    return text


def _identified(details: dict[str, Any]) -> dict[str, Any]:
    original = details.get(ORIGINAL)
    if original is not None and not re.fullmatch("[0-9a-f]{64}", str(original)):
        raise ValueError(f"{ORIGINAL} is no SHA-256")
    return details


class Made(Parameters):
    """What a card says of a stage upstream: its parameters and metrics, and its card's digest."""

    parameters: dict[str, Any]
    metrics: dict[str, Any]
    digest: Digest


class Content(Parameters):
    """What a card of format 1 holds; see :class:`world_models.storage.artifact.Card`."""

    format: Annotated[int, Field(ge=1, le=1)]
    kind: Kind
    environment: Environment
    stage: Annotated[str, AfterValidator(_stage)]
    parameters: dict[str, Any]
    metrics: dict[str, Any]
    details: Annotated[dict[str, Any], AfterValidator(_identified)]
    lineage: dict[Annotated[str, AfterValidator(_upstream)], Made]
    files: dict[Annotated[Name, AfterValidator(_file)], Digest]
