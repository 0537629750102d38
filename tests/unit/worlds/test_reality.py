import numpy as np
import pytest
import torch
from small_models import H, Z, make_codec, make_mdnrnn, make_memory, make_vae

from world_models.controller.policy import ControllerSpec, count, policies
from world_models.envs.carracing.simulator import CarRacing
from world_models.envs.carracing.specification import SPECIFICATION
from world_models.envs.vector import Lockstep
from world_models.errors import ParameterError
from world_models.seeding import stream
from world_models.worlds.episodes import play
from world_models.worlds.reality import NOISE_BLOCK, Reality

SEEDS = [11, 12, 13]
TOLERANCE = {"float32": 2e-4, "bfloat16": 1e-2}[make_codec().choice.precision]
"""Of z and h against the textbook's float32: what V's formulation on this machine promises."""


@pytest.fixture
def simulators():
    lockstep = Lockstep("carracing", 4, "fast")
    yield lockstep
    lockstep.close()


def world(simulators, features="zh", latent="sample", restart=False, cell="lstm"):
    memory = None if features == "z" else make_memory(restart, cell)
    return Reality(simulators, make_codec(), memory, features=features, latent=latent)


def drive(t, count=3):
    """Actions that bring every car off its track by and by."""
    actions = np.zeros((count, 3), np.float32)
    actions[:, 0] = np.linspace(-0.3, 0.3, count)
    actions[:, 1] = 0.6 if t < 60 else 0.1
    return actions


def roll(world, seeds, steps):
    features, rewards = [world.reset(seeds)], []
    for t in range(steps):
        step = world.step(drive(t)[: len(seeds)])
        features.append(step.features)
        rewards.append(step.rewards)
    return np.array(features), np.array(rewards)


@torch.inference_mode()
def plain(seed, member, steps, features, latent, restart, cell):
    """The paper's rollout, one genuine environment, V and M one frame at a time."""
    env, vae, rnn = CarRacing(), make_vae(), make_mdnrnn(restart, cell)
    noise = stream(seed, "latent")
    frame, _ = env.reset(seed=seed)
    state, seen, rewards = rnn.initial_state(1), [], []
    for t in range(steps + 1):
        image = torch.from_numpy(frame).permute(2, 0, 1)[None] / 255
        z, logvar = vae.encode(image)
        if latent == "sample":
            z = z + (logvar / 2).exp() * torch.from_numpy(noise.standard_normal(Z, np.float32))
        parts = {"z": z} | dict(zip(rnn.sizes.parts, state, strict=True))
        seen.append(torch.cat([parts[name] for name in features], dim=1)[0].numpy().copy())
        action = drive(t)[member]
        frame, reward, terminated, truncated, _ = env.step(action)
        assert (terminated, truncated) == (False, False)
        rewards.append(reward)
        start = torch.tensor([float(t == 0)])
        _, state = rnn.step(z, torch.from_numpy(action)[None], start, state)
    env.close()
    return np.array(seen), np.array(rewards[:steps])


@pytest.mark.parametrize(
    ("features", "latent", "restart", "steps", "cell"),
    [
        ("zh", "sample", False, NOISE_BLOCK + 5, "lstm"),
        ("z", "mean", False, 10, "lstm"),
        ("zch", "sample", True, 20, "lstm"),
        ("zh", "sample", True, 20, "gru"),
    ],
)
def test_equals_the_papers_rollout(simulators, features, latent, restart, steps, cell):
    reality = world(simulators, features, latent, restart, cell)
    assert reality.feature_size == {"z": Z, "zh": Z + H, "zch": Z + 2 * H}[features]
    seen, rewards = roll(reality, SEEDS, steps)
    for member, seed in enumerate(SEEDS):
        expected, paid = plain(seed, member, steps, features, latent, restart, cell)
        np.testing.assert_allclose(seen[:, member], expected, atol=TOLERANCE)
        np.testing.assert_allclose(rewards[:, member], paid, rtol=1e-6)


def test_a_part_that_m_has_not_is_refused(simulators):
    with pytest.raises(ParameterError, match=r"M \(gru\) has no part c"):
        world(simulators, "zch", cell="gru")


def test_an_episode_depends_on_its_neighbours_in_its_last_bits_alone(simulators):
    reality = world(simulators)
    together, rewards = roll(reality, SEEDS, 40)
    alone, paid = roll(reality, SEEDS[:1], 40)
    np.testing.assert_allclose(together[:, 0], alone[:, 0], atol=1e-4)
    np.testing.assert_array_equal(rewards[:, 0], paid[:, 0])


def test_equal_work_gives_equal_bytes(simulators):
    reality = world(simulators)
    first, _ = roll(reality, SEEDS, 20)
    again, _ = roll(reality, SEEDS, 20)
    assert first.tobytes() == again.tobytes()


def test_the_retired_stand_still_and_the_others_go_on(simulators):
    reality = world(simulators)
    expected, rewards = roll(reality, SEEDS, 30)
    reality.reset(SEEDS)
    for t in range(30):
        step = reality.step(drive(t))
        if t == 9:
            reality.retire(np.array([False, True, False]))
        if t > 9:
            assert step.rewards[1] == 0
            np.testing.assert_array_equal(step.features[1], expected[10, 1])
        np.testing.assert_allclose(step.features[[0, 2]], expected[t + 1][[0, 2]], atol=1e-4)
        np.testing.assert_array_equal(step.rewards[[0, 2]], rewards[t][[0, 2]])


def policy(seed=0):
    spec = ControllerSpec("zh", Z + H, 0, 3, bias=True)
    theta = np.random.default_rng(seed).normal(0, 0.5, count(spec)).astype(np.float32)
    return policies(spec, theta, SPECIFICATION.actions.squash)


def test_play_equals_a_plain_loop(simulators):
    act, steps = policy(), 60
    outcomes = play(world(simulators, latent="mean"), act, SEEDS, max_steps=steps)
    env, vae, rnn = CarRacing(), make_vae(), make_mdnrnn()
    for member, seed in enumerate(SEEDS):
        frame, _ = env.reset(seed=seed)
        state, total = rnn.initial_state(1), 0.0
        for t in range(steps):
            with torch.inference_mode():
                z, _ = vae.encode(torch.from_numpy(frame).permute(2, 0, 1)[None] / 255)
                action = act(torch.cat([z, state[0]], dim=1).numpy())
                start = torch.tensor([float(t == 0)])
                _, state = rnn.step(z, torch.from_numpy(action), start, state)
            frame, reward, terminated, truncated, _ = env.step(action[0])
            total += reward
            assert (terminated, truncated) == (False, False)
        assert outcomes.returns[member] == pytest.approx(total, abs=1e-3)
        assert outcomes.lengths[member] == steps
    env.close()


def test_patience_stops_lost_episodes_alone(simulators):
    reality, act = world(simulators), policy(3)
    patient = play(reality, act, SEEDS, max_steps=150)
    hasty = play(reality, act, SEEDS, max_steps=150, patience=25)
    assert (hasty.lengths < 150).any()
    for i in range(3):
        if hasty.lengths[i] == 150:
            assert hasty.returns[i] == pytest.approx(patient.returns[i], abs=1e-3)
        else:
            assert hasty.lengths[i] >= 25
    assert not hasty.terminated.any()
