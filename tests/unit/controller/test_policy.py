import numpy as np
import pytest

from world_models.controller.policy import (
    ControllerSpec,
    Sizes,
    count,
    feature_size,
    policies,
)
from world_models.envs.carracing.specification import SPECIFICATION as CAR
from world_models.envs.takecover.specification import SPECIFICATION as DOOM
from world_models.errors import ParameterError

CARRACING = Sizes(z=32, h=256, action=3)
TAKECOVER = Sizes(z=64, h=512, action=1)
DRIVE = CAR.actions.squash


@pytest.mark.parametrize(
    ("environment", "features", "hidden", "sizes", "parameters"),
    [
        (CAR, "zh", 0, CARRACING, 867),
        (CAR, "z", 0, CARRACING, 99),
        (CAR, "z", 40, CARRACING, 1443),
        (DOOM, "zch", 0, TAKECOVER, 1088),
    ],
)
def test_golden_counts(environment, features, hidden, sizes, parameters):
    assert count(ControllerSpec(features, hidden, environment.bias), sizes) == parameters


def explicit(spec, sizes, theta, x):
    """The same network, weight by weight."""
    at = 0
    layers = [spec.hidden, sizes.action] if spec.hidden else [sizes.action]
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
    ("environment", "features", "hidden", "sizes"),
    [
        (CAR, "zh", 0, CARRACING),
        (CAR, "z", 40, CARRACING),
        (DOOM, "zch", 0, Sizes(5, 7, 1)),
        (DOOM, "z", 6, Sizes(5, 7, 1)),
    ],
)
def test_policies_equal_explicit_loops(environment, features, hidden, sizes, k, r):
    rng = np.random.default_rng(k * 10 + r)
    spec = ControllerSpec(features, hidden, environment.bias)
    theta = rng.normal(0, 0.3, (k, count(spec, sizes))).astype(np.float32)
    x = rng.normal(size=(k * r, feature_size(features, sizes))).astype(np.float32)
    actions = policies(spec, sizes, theta, environment.actions.squash)(x)
    expected = [explicit(spec, sizes, theta[i // r], x[i]) for i in range(k * r)]
    assert actions.dtype == np.float32
    assert actions.shape == (k * r, sizes.action)
    np.testing.assert_allclose(actions, expected, atol=2e-5)


def test_one_policy_is_a_row_of_many():
    spec = ControllerSpec("zh", 0, bias=True)
    rng = np.random.default_rng(0)
    theta = rng.normal(size=(2, 867)).astype(np.float32)
    x = rng.normal(size=(6, 288)).astype(np.float32)
    alone = policies(spec, CARRACING, theta[1], DRIVE)(x[3:])
    together = policies(spec, CARRACING, theta, DRIVE)(x)
    np.testing.assert_allclose(together[3:], alone, atol=1e-6)


def test_drive_stays_in_gymnasiums_action_space():
    raw = np.array([[-100, -100, -100], [0, 0, 0], [100, 100, 100]], np.float32)
    expected = [[-1, 0, 0], [0, 0.5, 0], [1, 1, 1]]
    np.testing.assert_allclose(DRIVE(raw), expected)


def test_a_vector_of_another_length_is_refused():
    spec = ControllerSpec("zh", 0, bias=True)
    with pytest.raises(ParameterError, match=r"has 866 parameters.* 867"):
        policies(spec, CARRACING, np.zeros(866), DRIVE)


def test_an_unknown_spec_is_refused():
    with pytest.raises(ParameterError, match=r"features = 'hz'.*z, zh, zch"):
        ControllerSpec("hz", 0, bias=True)
    with pytest.raises(ParameterError, match="hidden = -1"):
        ControllerSpec("z", -1, bias=True)
