import numpy as np
import pytest

from world_models.controller.policy import (
    ControllerSpec,
    count,
    policies,
)
from world_models.envs.carracing.specification import SPECIFICATION as CAR
from world_models.envs.takecover.specification import SPECIFICATION as DOOM
from world_models.errors import ParameterError

DRIVE = CAR.actions.squash
LINEAR = ControllerSpec("zh", 288, 0, 3, bias=True)


@pytest.mark.parametrize(
    ("environment", "features", "inputs", "hidden", "parameters"),
    [
        (CAR, "zh", 32 + 256, 0, 867),
        (CAR, "z", 32, 0, 99),
        (CAR, "z", 32, 40, 1443),
        (DOOM, "zch", 64 + 512 + 512, 0, 1088),
    ],
)
def test_golden_counts(environment, features, inputs, hidden, parameters):
    outputs = environment.actions.size
    spec = ControllerSpec(features, inputs, hidden, outputs, environment.bias)
    assert count(spec) == parameters


def explicit(spec, theta, x):
    """The same network, weight by weight."""
    at = 0
    layers = [spec.hidden, spec.outputs] if spec.hidden else [spec.outputs]
    for number, outputs in enumerate(layers):
        x = [float(np.tanh(value)) for value in x] if number else list(x)
        weights = [[theta[at + m * len(x) + n] for n in range(len(x))] for m in range(outputs)]
        at += outputs * len(x)
        y = [sum(w * v for w, v in zip(row, x, strict=True)) for row in weights]
        if spec.bias:
            y = [value + theta[at + m] for m, value in enumerate(y)]
            at += outputs
        x = y
    assert at == len(theta)
    a = np.tanh(x)
    return [a[0], (a[1] + 1) / 2, min(max(a[2], 0), 1)] if len(a) == 3 else a


@pytest.mark.parametrize(("k", "r"), [(1, 1), (1, 5), (4, 1), (3, 2)])
@pytest.mark.parametrize(
    ("environment", "inputs", "hidden"), [(CAR, 288, 0), (CAR, 32, 40), (DOOM, 19, 0), (DOOM, 5, 6)]
)
def test_policies_equal_explicit_loops(environment, inputs, hidden, k, r):
    rng = np.random.default_rng(k * 10 + r)
    outputs = environment.actions.size
    spec = ControllerSpec("z", inputs, hidden, outputs, environment.bias)
    theta = rng.normal(0, 0.3, (k, count(spec))).astype(np.float32)
    x = rng.normal(size=(k * r, inputs)).astype(np.float32)
    actions = policies(spec, theta, environment.actions.squash)(x)
    expected = [explicit(spec, theta[i // r], x[i]) for i in range(k * r)]
    assert actions.dtype == np.float32
    assert actions.shape == (k * r, outputs)
    np.testing.assert_allclose(actions, expected, atol=2e-5)


def test_one_policy_is_a_row_of_many():
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(2, 867)).astype(np.float32)
    x = rng.normal(size=(6, 288)).astype(np.float32)
    alone = policies(LINEAR, theta[1], DRIVE)(x[3:])
    together = policies(LINEAR, theta, DRIVE)(x)
    np.testing.assert_allclose(together[3:], alone, atol=1e-6)


def test_drive_stays_in_gymnasiums_action_space():
    raw = np.array([[-100, -100, -100], [0, 0, 0], [100, 100, 100]], np.float32)
    expected = [[-1, 0, 0], [0, 0.5, 0], [1, 1, 1]]
    np.testing.assert_allclose(DRIVE(raw), expected)


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(ParameterError, match=r"has 866 parameters.* 867"):
        policies(LINEAR, np.zeros(866), DRIVE)


def test_an_impossible_spec_is_refused():
    with pytest.raises(ParameterError, match="hidden = -1"):
        ControllerSpec("z", 32, -1, 3, bias=True)
    with pytest.raises(ParameterError, match="inputs = 0, outputs = 3"):
        ControllerSpec("z", 0, 0, 3, bias=True)
