"""What M made of an episode, against the textbook networks stepped by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import norm

import world_models
from world_models.agent import Agent
from world_models.controller.model import Controller
from world_models.controller.policy import ControllerSpec, count
from world_models.errors import UserError
from world_models.evaluation import insight
from world_models.evaluation.recordings import Recording
from world_models.memory.network import MDNRNN
from world_models.memory.sizes import Sizes
from world_models.storage import tensors

T, Z, H, K = 9, 4, 8, 2
SIZES = Sizes(Z, 1, H, K, restart=True, reward_head=False, end_head=False)


@pytest.fixture
def agent(models) -> Agent:
    return world_models.load(models)


@pytest.fixture
def recording() -> Recording:
    rng = np.random.default_rng(3)
    actions = rng.uniform(-1, 1, (T, 1)).astype(np.float32)
    return Recording(1, actions, rng.normal(size=(T, Z)).astype(np.float32))


@torch.no_grad()
def by_hand(models, recording: Recording) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    network = MDNRNN(SIZES)
    arrays = tensors.load(models / "mdnrnn/weights.safetensors")
    network.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    state, features, nll, expected = network.initial_state(1), [], [], []
    for t in range(T):
        h, c = state
        z = torch.from_numpy(recording.z[t : t + 1])
        features.append(torch.cat([z, c, h], 1)[0].numpy())
        if t + 1 < T:
            begins = torch.full((1, 1), float(t == 0))
            x = torch.cat([z, torch.from_numpy(recording.actions[t : t + 1]), begins], 1)
            state = network.cell.step(x, state, network.w_x, network.w_h, network.bias)
            mixture = network.predict(state[0])[0]
            logits, mu, log_sigma = mixture.reshape(3, K, Z).double().numpy()
            share = np.exp(logits) / np.exp(logits).sum(axis=0)
            density = (share * norm.pdf(recording.z[t + 1], mu, np.exp(log_sigma))).sum(axis=0)
            nll.append(-np.log(density).sum())
            expected.append((share * mu).sum(axis=0))
    return np.stack(features), np.array(nll), np.stack(expected)


def test_follow_is_the_papers_m_step_by_step(models, agent, recording):
    followed = insight.follow(agent, recording)
    for found, wanted in zip(followed, by_hand(models, recording), strict=True):
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=0.02, atol=0.03)  # bfloat16 at worst


def test_attention_is_weight_times_deviation(agent):
    spec = ControllerSpec("z", 3, 0, 2, bias=True)
    theta = np.array([1, -2, 0, 0, 0, 5, 9, 9], np.float32)  # two rows of weights, two biases
    looked = replace(agent, controller=Controller(spec, theta))
    features = np.array([[0, 0, 1], [2, 1, 1]], np.float32)  # deviations 1, 0.5 and 0
    shares = insight.attention(looked, features)
    np.testing.assert_allclose(shares, [[0.5, 0.5, 0], [0, 0, 0]])


def test_a_hidden_layer_cannot_be_read(agent):
    spec = ControllerSpec("z", Z, 5, 1, bias=False)
    deep = replace(agent, controller=Controller(spec, np.ones(count(spec), np.float32)))
    with pytest.raises(UserError, match="hidden layer of 5 units"):
        insight.attention(deep, np.zeros((2, Z), np.float32))
