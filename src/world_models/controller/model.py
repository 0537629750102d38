"""The artifact ``models/<environment>/controller``: a trained C."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from world_models.controller.policy import ControllerSpec, Policies, Squash, policies
from world_models.errors import InputError
from world_models.storage import artifact, tensors

WEIGHTS = "theta.safetensors"
"""Name of the weights' file in the artifact's folder."""


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
        return cls.from_arrays(tensors.load(folder / WEIGHTS), card.details)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], details: Mapping[str, Any]) -> Self:
        """Build C from what :meth:`payload` gives: no file is read.

        Raises:
            InputError: the arrays or the details are not a controller's.
        """
        try:
            spec = ControllerSpec(**details["spec"])
            theta = np.asarray(arrays["theta"], np.float32)
        except (KeyError, TypeError) as error:
            raise InputError(
                f"This is no controller: its card or weights lack {error}. "
                "Evolve it again (the stage evolve)."
            ) from None
        return cls(spec, theta)

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
