"""C's maths: one flat vector is one policy, and many policies act at once (App. A.3).

C has no state of its own: the features that it sees hold what M remembers.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from world_models.errors import ParameterError

FloatArray = NDArray[np.float32]
Squash = Callable[[FloatArray], FloatArray]
"""Outputs of C to actions, float32 (..., A); which one, the environment's specification says."""


@dataclass(frozen=True)
class ControllerSpec:
    """Shape of C: it fixes the length of the parameter vector theta.

    Attributes:
        features: names of what C sees, in order, such as ``zh``. M knows what they mean.
        inputs: numbers that C sees.
        hidden: units of the hidden tanh layer; 0 for the paper's linear C.
        outputs: numbers that C gives.
        bias: whether the layers have biases; the paper's Doom controller has none.
    """

    features: str
    inputs: int
    hidden: int
    outputs: int
    bias: bool

    def __post_init__(self) -> None:
        """Refuse a spec that no network can have.

        Raises:
            ParameterError: no inputs or outputs, or a negative number of hidden units.
        """
        if self.hidden < 0:
            raise ParameterError(f"hidden = {self.hidden}: give 0 (linear) or more units.")
        if self.inputs < 1 or self.outputs < 1:
            raise ParameterError(
                f"inputs = {self.inputs}, outputs = {self.outputs}: C needs at least 1 of each."
            )


def layer_sizes(spec: ControllerSpec) -> list[tuple[int, int]]:
    """(inputs, outputs) of each layer."""
    if spec.hidden == 0:
        return [(spec.inputs, spec.outputs)]
    return [(spec.inputs, spec.hidden), (spec.hidden, spec.outputs)]


def count(spec: ControllerSpec) -> int:
    """Length P of theta: 867 for the paper's controller of the car, 1,088 for Doom's."""
    return sum((n + spec.bias) * m for n, m in layer_sizes(spec))


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


def policies(spec: ControllerSpec, theta: NDArray[np.floating], squash: Squash) -> Policies:
    """Unpack parameter vectors.

    Args:
        spec: shape of C.
        theta: float (k, P), or (P,) for one policy.
        squash: outputs to actions, of the environment's specification.

    Raises:
        ParameterError: P is not :func:`count` of the spec.
    """
    rows = np.atleast_2d(np.asarray(theta, dtype=np.float32))
    if rows.shape[1] != count(spec):
        raise ParameterError(
            f"the controller has {rows.shape[1]} parameters, but {spec} needs {count(spec)}: "
            "evolve it again with the present V and M."
        )
    weights, biases, at = [], [], 0
    for n, m in layer_sizes(spec):
        weight = rows[:, at : at + n * m].reshape(-1, m, n).transpose(0, 2, 1)
        weights.append(np.ascontiguousarray(weight))
        at += n * m
        bias = rows[:, at : at + m] if spec.bias else np.zeros((len(rows), m), np.float32)
        biases.append(bias[:, None, :].copy())
        at += m * spec.bias
    return Policies(spec, tuple(weights), tuple(biases), squash)
