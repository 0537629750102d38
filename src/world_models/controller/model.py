"""The artifact ``models/<environment>/controller``: a trained C for whoever wants to act."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from world_models.controller.policy import ControllerSpec, Policies, Sizes, Squash, policies
from world_models.errors import InputError
from world_models.storage import artifact, tensors

WEIGHTS = "theta.safetensors"
"""Name of the weights' file in the artifact's folder."""


@dataclass(frozen=True)
class Controller:
    """One C with its shape.

    Attributes:
        spec: what it sees and how it acts.
        sizes: of z, h and the action it was trained with.
        theta: its parameters, float32 (P,).
    """

    spec: ControllerSpec
    sizes: Sizes
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
            sizes = Sizes(**details["sizes"])
            theta = np.asarray(arrays["theta"], np.float32)
        except (KeyError, TypeError) as error:
            raise InputError(
                f"This is no controller: its card or weights lack {error}. "
                "Evolve it again (the stage evolve)."
            ) from None
        return cls(spec, sizes, theta)

    def payload(self) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
        """Give what :meth:`from_arrays` takes: the weights, and the card's details."""
        details = {"spec": asdict(self.spec), "sizes": self.sizes._asdict()}
        return {"theta": self.theta}, details

    def save(self, folder: Path) -> None:
        """Write the weights into an artifact's folder; the details go to its card."""
        tensors.save(folder / WEIGHTS, {"theta": self.theta})

    def check(self, sizes: Sizes) -> None:
        """Make sure that C fits a V and an M.

        Raises:
            InputError: it was trained with other sizes of z, h or the action.
        """
        if self.sizes != sizes:
            raise InputError(
                f"The controller was trained with {self.sizes}, but V and M have {sizes}: "
                "evolve it again with the present V and M (the stage evolve)."
            )

    def policy(self, squash: Squash) -> Policies:
        """C as a function of features (m, F) to actions (m, A); see :func:`policies`."""
        return policies(self.spec, self.sizes, self.theta, squash)
