"""The agent for people, against the textbook networks stepped by hand."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import world_models
from world_models.agent import Agent
from world_models.errors import InputError
from world_models.memory.network import MDNRNN
from world_models.memory.sizes import Sizes
from world_models.storage import tensors
from world_models.vision.network import PAPER_CHANNELS, VAE, as_images

SIZES = Sizes(4, 1, 8, 2, restart=True, reward_head=False, end_head=False)


@pytest.fixture
def agent(models) -> Agent:
    return world_models.load(models)


def frames(n: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (n, 64, 64, 3), np.uint8)


def network(folder, made):
    arrays = tensors.load(folder / "weights.safetensors")
    state = {name: torch.from_numpy(value) for name, value in arrays.items()}
    made.load_state_dict(state)
    return made.eval()


@torch.no_grad()
def by_hand(models, seen: np.ndarray) -> np.ndarray:
    """C's actions over an episode, from the paper's equations: features are [z, c, h]."""
    v, m = (
        network(models / "vae", VAE(4, PAPER_CHANNELS)),
        network(models / "mdnrnn", MDNRNN(SIZES)),
    )
    theta = torch.from_numpy(tensors.load(models / "controller/theta.safetensors")["theta"])
    state, actions = m.initial_state(1), []
    for t, frame in enumerate(seen):
        h, c = state
        z, _ = v.encode(as_images(torch.from_numpy(frame[None])))
        action = torch.tanh(torch.cat([z, c, h], 1) @ theta[:, None])
        actions.append(action[0].numpy())
        _, state = m.step(z, action, torch.tensor([float(t == 0)]), state)
    return np.stack(actions)


def test_acts_as_the_textbook_says(agent, models):
    seen, state, actions = frames(6), None, []
    for frame in seen:
        action, state = agent.act(frame, state)
        actions.append(action)
    np.testing.assert_allclose(np.stack(actions), by_hand(models, seen), atol=0.03)


def test_a_start_forgets_and_leaves_the_neighbours_alone(agent):
    seen = frames(4)
    _, state = agent.act(seen[:2])
    twice, state = agent.act(seen[:2], state)
    both, _ = agent.act(seen[2:], state, starts=np.array([True, False]))
    fresh, _ = agent.act(seen[2:])
    np.testing.assert_allclose(both[0], fresh[0], atol=1e-6)
    assert not np.allclose(both[1], fresh[1], atol=1e-6)
    assert twice.shape == (2, 1)


def test_encodes_and_decodes_one_or_many(agent):
    z = agent.encode(frames(3))
    assert z.shape == (3, 4)
    np.testing.assert_allclose(agent.encode(frames(3)[1]), z[1], atol=1e-5)
    assert agent.decode(z).shape == (3, 64, 64, 3)
    assert agent.decode(z[0]).shape == (64, 64, 3)
    assert agent.decode(z[0]).dtype == np.uint8


def test_dreams_from_python(agent):
    dream = agent.dream(tau=1.15, num_envs=3)
    features = dream.reset([1, 2, 3])
    step = dream.step(agent.policy(features))
    assert step.features.shape == features.shape == (3, 4 + 8 + 8)


@pytest.mark.parametrize(
    "wrong", [np.zeros((96, 96, 3), np.uint8), np.zeros((64, 64, 3), np.float32), "frame"]
)
def test_wrong_frames_are_one_clear_line(agent, wrong):
    with pytest.raises(InputError, match=r"^Frames are uint8 \(64, 64, 3\)"):
        agent.act(wrong)


def test_another_number_of_frames_than_the_state_has_is_refused(agent):
    _, state = agent.act(frames(2))
    with pytest.raises(InputError, match="2 episodes"):
        agent.act(frames(3), state)


def test_a_missing_agent_names_the_folder(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        world_models.load(tmp_path / "nowhere")


def test_importing_the_package_is_cheap():
    code = "import sys, world_models; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "numba", "pygame", "vizdoom", "mlflow"} & set(loaded)


def test_the_public_names_are_there():
    assert {"load", "Agent"} <= set(dir(world_models))
    assert world_models.Agent is Agent
    with pytest.raises(AttributeError, match="nothing"):
        _ = world_models.nothing
