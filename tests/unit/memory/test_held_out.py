"""The held-out report's numbers, on cases whose answer is known."""

import numpy as np
import pytest
import torch
from small_memory import DOOM, RACING, memory
from test_memory_data import latents

from world_models.memory import held_out
from world_models.memory.data import Steps
from world_models.memory.held_out import HeldOut, evaluate, metrics, risk
from world_models.memory.mixture import log_prob
from world_models.memory.network import MDNRNN, Sizes
from world_models.memory.rollout import dream_on

SMALL = Sizes(2, 1, 6, 3, restart=True, reward_head=True, end_head=False)


def test_equals_a_run_episode_by_episode(monkeypatch):
    """Chunks of 4 steps: three of the episodes' nine."""
    monkeypatch.setattr(held_out, "CHUNK", 4)
    torch.manual_seed(0)
    network = MDNRNN(SMALL)
    steps = Steps.of(latents(sigma=1e-6), np.arange(3))
    found = evaluate(network, steps, seed=0)
    z = torch.from_numpy(steps.mu)
    nll, logits, errors = [], [], []
    for begin, end, died in ((0, 7, True), (7, 12, False), (12, 21, True)):
        here = slice(begin, end)
        with torch.no_grad():
            out, _, _ = network.sequence(
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
