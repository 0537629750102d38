"""The held-out report's numbers, on cases whose answer is known."""

import numpy as np
import pytest
import torch
from small_memory import BFLOAT16, DOOM, FLOAT32, RACING, TEXTBOOK, memory
from test_memory_data import latents

from world_models.memory.data import Steps
from world_models.memory.held_out import HeldOut, evaluate, metrics, risk
from world_models.memory.mixture import log_prob
from world_models.memory.model import Initial, Memory
from world_models.memory.network import MDNRNN
from world_models.memory.rollout import dream_on
from world_models.memory.sizes import Sizes
from world_models.storage.latents import Latents

SMALL = Sizes(2, 1, 6, 3, restart=True, reward_head=True, end_head=False)


def small(choice):
    torch.manual_seed(0)
    first = np.zeros((1, 2), np.float32)
    return Memory(MDNRNN(SMALL), Initial(first, first), choice)


@pytest.mark.parametrize("choice", [TEXTBOOK, FLOAT32])
def test_equals_a_run_episode_by_episode(choice):
    torch.manual_seed(0)
    network = MDNRNN(SMALL)
    steps = Steps.of(latents(sigma=1e-6), np.arange(3))
    found = evaluate(small(choice), steps, seed=0)
    z = torch.from_numpy(steps.mu)
    nll, logits, errors = [], [], []
    for begin, end, died in ((0, 7, True), (7, 12, False), (12, 21, True)):
        here = slice(begin, end)
        with torch.no_grad():
            out, _ = network.sequence(
                z[here, None],
                torch.from_numpy(steps.actions[here, None]),
                torch.from_numpy(steps.starts[here, None]),
                network.initial_state(1),
            )
        nll.append(-log_prob(out.mixture[:-1, 0], z[begin + 1 : end]))
        logits.append(out.restart[: None if died else -1, 0])
        errors.append(out.reward[:, 0] - torch.from_numpy(steps.rewards[here]))
    np.testing.assert_allclose(found.nll, torch.cat(nll).mean(0), rtol=1e-3)
    np.testing.assert_allclose(found.logits, torch.cat(logits), atol=1e-4)
    assert found.reward_error == pytest.approx(torch.cat(errors).square().mean().sqrt().item())
    assert found.ages.tolist() == [*range(7), *range(4), *range(9)]


@pytest.mark.parametrize("choice", [TEXTBOOK, FLOAT32, BFLOAT16])
def test_bits_do_not_depend_on_torch_s_threads(choice):
    """TakeCover's M, on as many episodes as the stage looks at."""
    torch.manual_seed(0)
    sizes = Sizes(64, 1, 512, 5, restart=True, reward_head=False, end_head=False)
    first = np.zeros((1, 64), np.float32)
    m = Memory(MDNRNN(sizes), Initial(first, first), choice)
    data = random_latents(episodes=100, length=6, z_size=64)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(evaluate(m, Steps.of(data, np.arange(100)), seed=0))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    for other in found[1:]:
        assert np.array_equal(other.nll, found[0].nll)
        assert np.array_equal(other.marginal, found[0].marginal)
        assert np.array_equal(other.logits, found[0].logits)


def random_latents(episodes, length, z_size):
    rng, n = np.random.default_rng(0), episodes * length
    return Latents(
        rng.standard_normal((n, z_size), np.float32),
        np.full((n, z_size), -3, np.float32),
        rng.random((n, 1), np.float32),
        np.ones(n, np.float32),
        np.arange(episodes + 1) * length,
        np.arange(episodes) % 2 == 0,
        np.arange(episodes) % 2 == 1,
        np.arange(episodes),
    )


def case(logits, ends):
    logits = np.array(logits, np.float32)
    ages = np.arange(len(logits))
    zeros = np.zeros(2, np.float32)
    return HeldOut(zeros, zeros, logits, np.array(ends, np.float32), ages, None)


def test_a_perfectly_weighted_logit_is_calibrated():
    """One end in 50: with weight 10 the best constant logit is log(10 · 1/49)."""
    ends = np.tile([0] * 49 + [1], 8)
    logit = np.log(10 / 49)
    found = metrics(case(np.full(400, logit), ends), 10.0)
    assert found["end_rate_predicted"] == pytest.approx(0.02)
    assert found["end_rate_observed"] == pytest.approx(0.02)
    table = risk(case(np.full(400, logit), ends), 10.0)
    assert table["steps"].sum() == 400
    assert table["predicted"].to_numpy() == pytest.approx(0.02)
    assert (table["observed"] * table["steps"]).sum() == pytest.approx(8)


def test_recall_and_false_alarms():
    found = metrics(case([5, -5, -5, 5, 5, -5], [1, 0, 0, 0, 1, 1]), 10.0)
    assert found["end_recall"] == pytest.approx(2 / 3)
    assert found["end_false_alarms"] == pytest.approx(1 / 3)


def test_dreaming_on_sees_the_real_steps_first():
    m = memory(DOOM)
    rng = np.random.default_rng(0)
    z, actions = rng.standard_normal((20, 4), np.float32), rng.random((20, 1), np.float32)
    options = {"samples": 3, "tau": 1.0, "seed": 0}
    dreamed = dream_on(m, z, actions, warm=5, **options)
    assert dreamed.shape == (3, 15, 4)
    assert not np.allclose(dreamed[0], dreamed[1])
    changed = z.copy()
    changed[5:] += 1  # what comes after is not seen
    assert np.array_equal(dream_on(m, changed, actions, warm=5, **options), dreamed)
    changed[4] += 1
    assert not np.array_equal(dream_on(m, changed, actions, warm=5, **options), dreamed)


def test_dreaming_on_at_no_temperature_repeats_itself():
    rng = np.random.default_rng(0)
    z, actions = rng.standard_normal((8, 5), np.float32), rng.random((8, 3), np.float32)
    dreamed = dream_on(memory(RACING), z, actions, warm=2, samples=2, tau=1e-9, seed=0)
    np.testing.assert_allclose(dreamed[0], dreamed[1], atol=1e-2)
