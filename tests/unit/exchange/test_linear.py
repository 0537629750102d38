"""A policy of another library as a C of this project."""

import numpy as np
import pytest

import world_models
from world_models.agent import Agent
from world_models.errors import InputError, UserError
from world_models.storage.artifact import open_artifact

INPUTS = 20  # z, c and h of the small models


def save(models, out, weights, biases=None):
    return world_models.save_controller(out, models, weights, biases, trained_by="hand")


@pytest.mark.parametrize("bias", [None, [0.5]])
def test_acts_as_its_weights_say(models, tmp_path, bias):
    weights = np.random.default_rng(2).normal(size=(1, INPUTS))
    out = save(models, tmp_path / "mine", weights, bias)
    agent = Agent.open(models / "vae", models / "mdnrnn", out)
    features = np.random.default_rng(3).normal(size=(7, INPUTS)).astype(np.float32)
    wanted = np.tanh(features @ weights.T + (bias or [0]))
    np.testing.assert_allclose(agent.policy(features), wanted, rtol=1e-4, atol=1e-5)
    assert open_artifact(out, "controller").parameters["trained_by"] == "hand"


@pytest.mark.parametrize(
    ("weights", "biases", "said"),
    [
        (np.zeros((2, INPUTS)), None, r"weights are \(2, 20\): .* C has \(1, 20\)"),
        (np.zeros(INPUTS), None, r"weights are \(20,\)"),
        (np.zeros((1, INPUTS)), [0, 0], r"biases are \(2,\)"),
        (np.full((1, INPUTS), np.nan), None, "weights are not all finite"),
        (np.zeros((1, INPUTS)), [np.inf], "biases are not all finite"),
    ],
)
def test_what_does_not_fit_is_refused(models, tmp_path, weights, biases, said):
    with pytest.raises(InputError, match=said):
        save(models, tmp_path / "mine", weights, biases)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(models, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/own.txt").write_text("kept")
    with pytest.raises(UserError, match="exists"):
        save(models, tmp_path / "mine", np.zeros((1, INPUTS)))
    assert (tmp_path / "mine/own.txt").read_text() == "kept"
