"""C's maths: one flat vector is one policy, and many policies act at once (App. A.3).

C has no state of its own: what it remembers is M's h, which the world hands to it as a feature.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from world_models.errors import ParameterError

FloatArray = NDArray[np.float32]

Features = Literal["z", "zh", "zch"]
"""What C sees: z; z and M's hidden state h; z, M's cell state c and h (Doom, in this order)."""

Squash = Callable[[FloatArray], FloatArray]
"""Outputs of C to actions, float32 (..., A); which one, the environment's specification says."""


class Sizes(NamedTuple):
    """Dimensions that travel with V's and M's artifacts."""

    z: int
    h: int
    """M's hidden size; its cell state c is as large. 0 where there is no M."""
    action: int


@dataclass(frozen=True)
class ControllerSpec:
    """Shape of C. A spec and :class:`Sizes` fix the length of the parameter vector theta.

    Attributes:
        features: what C sees.
        hidden: units of the hidden tanh layer; 0 for the paper's linear C.
        bias: whether the layers have biases; the paper's Doom controller has none.
    """

    features: Features
    hidden: int
    bias: bool

    def __post_init__(self) -> None:
        """Refuse a spec that no network can have.

        Raises:
            ParameterError: unknown features, or a negative number of hidden units.
        """
        if self.features not in get_args(Features):
            known = ", ".join(get_args(Features))
            raise ParameterError(f"features = {self.features!r}: the controller knows {known}.")
        if self.hidden < 0:
            raise ParameterError(f"hidden = {self.hidden}: give 0 (linear) or more units.")

    @property
    def needs_memory(self) -> bool:
        """Whether C sees M's state; without it M need not run in reality."""
        return self.features != "z"


def feature_size(features: Features, sizes: Sizes) -> int:
    """Length of one feature vector."""
    return sizes.z + sizes.h * (len(features) - 1)


def layer_sizes(spec: ControllerSpec, sizes: Sizes) -> list[tuple[int, int]]:
    """(inputs, outputs) of each layer."""
    inputs = feature_size(spec.features, sizes)
    if spec.hidden == 0:
        return [(inputs, sizes.action)]
    return [(inputs, spec.hidden), (spec.hidden, sizes.action)]


def count(spec: ControllerSpec, sizes: Sizes) -> int:
    """Length P of theta: 867 for the paper's controller of the car, 1,088 for Doom's."""
    return sum((n + spec.bias) * m for n, m in layer_sizes(spec, sizes))


@dataclass(frozen=True)
class Policies:
    """k policies of one spec, unpacked once, acting for k · r members at each step.

    theta's layout is layer by layer: the weights, row by row as (outputs, inputs), then the biases.
    """

    spec: ControllerSpec
    weights: tuple[FloatArray, ...]
    """For each layer, float32 (k, inputs, outputs)."""
    biases: tuple[FloatArray, ...]
    """For each layer, float32 (k, 1, outputs); zeros where the spec has no bias."""
    squash: Squash

    def __call__(self, features: FloatArray) -> FloatArray:
        """Act.

        Args:
            features: float32 (k · r, F): policy i acts for rows i·r to (i+1)·r − 1.

        Returns:
            Actions, float32 (k · r, A), within the environment's action space.
        """
        k = len(self.weights[0])
        x = features.reshape(k, -1, features.shape[-1])
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = np.tanh(x) if layer else x
            x = np.matmul(x, weight) + bias
        return self.squash(x.reshape(len(features), -1))


def policies(
    spec: ControllerSpec, sizes: Sizes, theta: NDArray[np.floating], squash: Squash
) -> Policies:
    """Unpack parameter vectors.

    Args:
        spec: shape of C.
        sizes: dimensions of z, h and the action.
        theta: float (k, P), or (P,) for one policy.
        squash: outputs to actions, of the environment's specification.

    Raises:
        ParameterError: P is not :func:`count` of spec and sizes.
    """
    rows = np.atleast_2d(np.asarray(theta, dtype=np.float32))
    if rows.shape[1] != count(spec, sizes):
        raise ParameterError(
            f"the controller has {rows.shape[1]} parameters, but {spec.features} with "
            f"{spec.hidden} hidden units and {sizes} needs {count(spec, sizes)}: "
            "evolve it again with the present V and M."
        )
    weights, biases, at = [], [], 0
    for n, m in layer_sizes(spec, sizes):
        weight = rows[:, at : at + n * m].reshape(-1, m, n).transpose(0, 2, 1)
        weights.append(np.ascontiguousarray(weight))
        at += n * m
        bias = rows[:, at : at + m] if spec.bias else np.zeros((len(rows), m), np.float32)
        biases.append(bias[:, None, :].copy())
        at += m * spec.bias
    return Policies(spec, tuple(weights), tuple(biases), squash)
