"""The artifact ``models/<environment>/controller``: a trained C."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from world_models.controller.policy import ControllerSpec, Policies, Squash, count, policies
from world_models.errors import InputError
from world_models.schema import Parameters
from world_models.storage import artifact, guard, tensors
from world_models.storage.model_details import ModelDetails, Size

WEIGHTS = "theta.safetensors"
"""Name of the weights' file in the artifact's folder."""


def _letters(features: str) -> str:
    if len(set(features)) < len(features):
        raise ValueError("a part of M stands there twice")
    return features


class _Spec(Parameters):
    """The fields of :class:`ControllerSpec`."""

    features: Annotated[str, Field(pattern="^z[a-y]*$"), AfterValidator(_letters)]
    inputs: Annotated[int, Field(ge=1, le=1 << 20)]
    hidden: Annotated[int, Field(ge=0, le=1 << 16)]
    outputs: Size
    bias: bool

    @property
    def made(self) -> ControllerSpec:
        return ControllerSpec(**self.model_dump())


class Details(ModelDetails):
    """What a C's card says."""

    spec: _Spec


@dataclass(frozen=True)
class Controller:
    """One C with its shape.

    Attributes:
        spec: what it sees, and its layers.
        theta: its parameters, float32 (P,).
    """

    spec: ControllerSpec
    theta: NDArray[np.float32]

    @classmethod
    def load(cls, folder: Path, environment: str) -> Self:
        """Open the artifact.

        Raises:
            InputError: it is missing, damaged, of another kind or of another environment.
        """
        card = artifact.open_artifact(folder, "controller", environment)
        place = f"{folder / artifact.CARD} does not describe a C: it"
        spec = guard.fitting(
            Details, card.details, place, artifact.cure_for(folder, card)
        ).spec.made
        weights = artifact.listed(folder, card, WEIGHTS)
        arrays = tensors.load(weights, _kinds(spec), f"the parameters of {spec}")
        return cls(spec, arrays["theta"])

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], details: Mapping[str, Any]) -> Self:
        """Build C from what :meth:`payload` gives: no file is read.

        Raises:
            InputError: the arrays or the details are not a controller's.
        """
        try:
            spec = guard.fitting(Details, details, "This is no controller: it").spec.made
            tensors.fit(arrays, _kinds(spec), f"These are not the parameters of {spec}")
        except InputError as error:
            raise InputError(f"{error} Evolve it again (the stage evolve).") from None
        return cls(spec, arrays["theta"])

    def payload(self) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
        """Give what :meth:`from_arrays` takes: the weights, and the card's details."""
        return {"theta": self.theta}, {"spec": asdict(self.spec)}

    def save(self, folder: Path) -> None:
        """Write the weights into an artifact's folder; the details go to its card."""
        tensors.save(folder / WEIGHTS, {"theta": self.theta})

    def check(self, inputs: int, outputs: int) -> None:
        """Make sure that C fits a V and an M.

        Args:
            inputs: numbers that its features have with this V and M.
            outputs: numbers of an action.

        Raises:
            InputError: it was evolved with others.
        """
        own, found = (self.spec.inputs, self.spec.outputs), (inputs, outputs)
        if own != found:
            raise InputError(
                f"The controller sees {self.spec.features} as {own[0]} numbers and gives {own[1]}, "
                f"but with this V and M these are {found[0]} and {found[1]}: evolve it again (the "
                "stage evolve)."
            )

    def policy(self, squash: Squash) -> Policies:
        """C as a function of features (m, F) to actions (m, A); see :func:`policies`."""
        return policies(self.spec, self.theta, squash)


def _kinds(spec: ControllerSpec) -> dict[str, tensors.Kind]:
    return {"theta": tensors.Kind(np.float32, (count(spec),))}
