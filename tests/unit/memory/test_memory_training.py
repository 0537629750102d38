"""Training: it learns, resumes byte for byte, and is the same on two processes."""

import json
import warnings

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from small_memory import BFLOAT16, FLOAT32, TEXTBOOK
from stopping import StopError, stopping_at

from world_models.devices import DeviceSettings
from world_models.memory import training
from world_models.memory.data import Steps, Tracks
from world_models.memory.objective import objective
from world_models.memory.parameters import MDNRNNParameters
from world_models.memory.sizes import Sizes
from world_models.memory.training import build, learning_rate, train
from world_models.storage.latents import Latents
from world_models.tracking.journal import Journal
from world_models.tracking.tracker import Tracker
from world_models.training import checkpoints

CPU = DeviceSettings(accelerator="cpu")
SIZES = Sizes(3, 1, 8, 2, restart=True, reward_head=False, end_head=False)


DEFAULTS = {
    "seed": 1,
    "cell": "lstm",
    "hidden_size": 8,
    "mixtures": 2,
    "restart": True,
    "reward_head": False,
    "end_head": False,
    "patience": None,
    "restart_weight": 10.0,
    "steps": 12,
    "batch_size": 6,
    "sequence_length": 10,
    "stateful": False,
    "dropout": 0.0,
    "learning_rate": 0.02,
    "schedule": "exponential",
    "final_learning_rate": 0.002,
    "gradient_clip": 1.0,
    "validation_fraction": 0.3,
    "validate_every": 5,
}


def parameters(**changes):
    return MDNRNNParameters(**(DEFAULTS | changes))


def steps(seed=0, episodes=6, length=30):
    """z follows the action, and a high z kills."""
    rng = np.random.default_rng(seed)
    n = episodes * length
    actions = rng.uniform(-1, 1, (n, 1)).astype(np.float32)
    mu = np.repeat(np.roll(actions, 1, axis=0), 3, axis=1)
    data = Latents(
        mu,
        np.full_like(mu, -5.0),
        actions,
        np.ones(n, np.float32),
        np.arange(episodes + 1) * length,
        np.ones(episodes, np.bool_),
        np.zeros(episodes, np.bool_),
        np.arange(episodes),
    )
    return Steps.of(data, np.arange(episodes))


def run(folder, settings=CPU, log=None, **changes):
    folder.mkdir(exist_ok=True)
    p = parameters(**changes)
    network = build(SIZES, p.seed)
    history = train(network, p, steps(0), steps(1), folder, settings, log)
    return {k: v.numpy() for k, v in network.state_dict().items()}, history


def compute(monkeypatch, choice):
    monkeypatch.setattr(training, "training_choice", lambda *_: choice)


def same(one, other):
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_learns_what_follows_from_what(tmp_path):
    _, history = run(tmp_path / "a", steps=200, validate_every=100)
    assert history[-1]["validation_nll"] < history[0]["validation_nll"] < 1.4
    assert history[-1]["validation_nll"] < 0  # a Gaussian of these z, sd 0.58, has 0.87


def test_dropout_is_of_its_step_and_the_devices_share_it(tmp_path):
    """The share of hidden units is the rate; those that stay make up for them."""
    p = parameters(dropout=0.25, batch_size=64, hidden_size=200)
    module = training.MemoryTraining(build(SIZES, 1), p, TEXTBOOK, steps(1), steps(2))
    whole, second = (module._mask(step, slice(None)) for step in (0, 1))
    assert torch.equal(whole, module._mask(0, slice(None)))
    assert not torch.equal(whole, second)
    assert torch.equal(module._mask(0, slice(1, None, 2)), whole[1::2])
    assert whole.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert float((whole == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
    batches = [next(module.batches(step, 0, 1)).mask for step in (0, 1)]
    assert torch.equal(torch.stack(batches), torch.stack([whole, second]))
    _, history = run(tmp_path / "a", steps=200, validate_every=100, dropout=0.1)
    assert history[-1]["validation_nll"] < history[0]["validation_nll"]


@pytest.mark.parametrize("choice", [TEXTBOOK, FLOAT32, BFLOAT16])
def test_two_sequences_with_memory_carried_are_one_long_one(choice):
    """With an episode that starts at the second one's first step, which empties that memory."""
    network = build(SIZES, 1)
    data = steps(2, episodes=5, length=12)
    whole, halves = (Tracks(data, length=n, batch_size=3, seed=1) for n in (16, 8))
    halves._epoch, halves._order = 0, whole._joined(0)
    long, first, second = whole.batch(0), halves.batch(0), halves.batch(1)
    assert (first.follows, second.follows) == (False, True)
    second.starts[0, 1] = long.starts[8, 1] = 1
    z = long.z
    first, second = (
        b._replace(z=z[s], targets=b.targets._replace(z=t))
        for b, s, t in (
            (first, slice(0, 8), long.targets.z[:8]),
            (second, slice(8, 16), long.targets.z[8:]),
        )
    )
    with objective(network, choice, 10.0) as losses, torch.no_grad():
        total, last = losses(long, None)
        one, state = losses(first, None)
        two, after = losses(second, state)
    for name in ("nll", "restart"):
        counted = "z" if name == "nll" else "ends"
        counts = [getattr(b.counts, counted) for b in (first, second)]
        mean = sum(
            c * float(getattr(part, name)) for c, part in zip(counts, (one, two), strict=True)
        )
        tolerance = 2e-2 if choice is BFLOAT16 else 1e-5
        assert float(getattr(total, name)) == pytest.approx(mean / sum(counts), rel=tolerance)
    for alone, carried in zip(last, after, strict=True):
        assert torch.allclose(alone, carried, atol=2e-2 if choice is BFLOAT16 else 1e-6)


def test_history_has_a_row_for_each_validation_and_the_last_step(tmp_path):
    logged = []
    _, history = run(tmp_path / "a", log=lambda row, step: logged.append({"step": step, **row}))
    assert [row["step"] for row in history] == [5, 10, 12]
    assert logged == history
    assert all(np.isfinite(list(row.values())).all() for row in history)


def test_without_steps_the_weights_stay_as_drawn_and_are_judged(tmp_path):
    drawn, (row,) = run(tmp_path / "none", steps=0)
    assert same(drawn, {k: v.numpy() for k, v in build(SIZES, 1).state_dict().items()})
    still = {"steps": 1, "learning_rate": 1e-12, "final_learning_rate": 1e-12}
    _, (other,) = run(tmp_path / "one", **still)
    assert row["step"] == 0
    assert row["validation_nll"] == pytest.approx(other["validation_nll"], rel=1e-5)


@pytest.mark.parametrize("stop", [5, 8, 11])
@pytest.mark.parametrize(
    ("choice", "stateful"),
    [(TEXTBOOK, False), (TEXTBOOK, True), (FLOAT32, True), (BFLOAT16, False), (BFLOAT16, True)],
)
def test_resume_ends_with_the_same_bytes(tmp_path, monkeypatch, stop, choice, stateful):
    """Stopped at a validation, between two, and before the last step; saved after each step."""
    compute(monkeypatch, choice)
    monkeypatch.setitem(DEFAULTS, "stateful", stateful)
    whole = run(tmp_path / "whole")
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 0.0)
    with pytest.raises(StopError), stopping_at(stop, monkeypatch):
        run(tmp_path / "stopped")
    with stopping_at(0, monkeypatch) as seen:
        again = run(tmp_path / "stopped")
    assert seen == list(range(stop + 1, 13))
    assert same(whole[0], again[0])
    assert whole[1] == again[1]


def test_equal_seeds_equal_bytes_and_other_seeds_others(tmp_path):
    one, other, third = (run(tmp_path / str(i), seed=s)[0] for i, s in enumerate([1, 1, 2]))
    assert same(one, other)
    assert not same(one, third)


def test_bfloat16_trains_to_the_same_bytes_on_any_number_of_threads(tmp_path, monkeypatch):
    """With enough members for three lanes."""
    compute(monkeypatch, BFLOAT16)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 4):
        torch.set_num_threads(threads)
        results.append(run(tmp_path / str(threads), steps=4, batch_size=120))
        assert torch.get_num_threads() == threads
    torch.set_num_threads(before)
    assert all(same(results[0][0], other[0]) for other in results[1:])
    assert results[0][1] == results[1][1] == results[2][1]


def test_all_formulations_train_alike(tmp_path, monkeypatch):
    histories = []
    for choice in (TEXTBOOK, FLOAT32, BFLOAT16):
        compute(monkeypatch, choice)
        histories.append(run(tmp_path / choice.formulation, steps=100, validate_every=50)[1])
    for other, bound in zip(histories[1:], (1e-3, 0.05), strict=True):
        for a, b in zip(histories[0], other, strict=True):
            assert b["validation_nll"] == pytest.approx(a["validation_nll"], abs=bound)
            assert b["training_restart"] == pytest.approx(a["training_restart"], abs=bound)


def test_a_gru_learns_too(tmp_path):
    folder, p = tmp_path / "gru", parameters(steps=200, validate_every=100, cell="gru")
    folder.mkdir()
    sizes = SIZES._replace(cell="gru")
    network = build(sizes, p.seed)
    history = train(network, p, steps(0), steps(1), folder, CPU)
    assert network.counts()["gru"] == 3 * 8 * (5 + 8 + 1)
    assert history[-1]["validation_nll"] < 0


def test_two_heads_for_the_end_are_refused():
    with pytest.raises(ValueError, match="restart and end_head are both true"):
        parameters(end_head=True)


def test_leaves_nothing_but_its_checkpoint_and_no_global_state(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(tmp_path / "a")
    assert torch.equal(torch.rand(1), expected)
    assert {p.name for p in tmp_path.iterdir()} == {"a"}
    assert {p.name.rstrip("~") for p in (tmp_path / "a").iterdir()} == {"training.pt"}


@pytest.mark.slow
def test_two_processes_train_in_bfloat16(tmp_path, monkeypatch):
    """Each on lanes of its own, in float32's neighbourhood."""
    compute(monkeypatch, BFLOAT16)
    _, history = run(tmp_path / "one")
    _, other = run(tmp_path / "two", DeviceSettings("cpu", 2))
    for a, b in zip(history, other, strict=True):
        assert b["validation_nll"] == pytest.approx(a["validation_nll"], abs=0.02)


@pytest.mark.slow
def test_two_processes_train_as_one(tmp_path, monkeypatch):
    """gloo on a CPU: the same batch, gradients averaged; sums round differently.

    In float32 everywhere: rounding to bfloat16 would hide a small mistake.
    """
    compute(monkeypatch, FLOAT32)
    journal = Journal(tmp_path / "mdnrnn-1.jsonl")
    journal.create({"do": "open"})
    one, history = run(tmp_path / "one")
    two, other = run(tmp_path / "two", DeviceSettings("cpu", 2), Tracker(journal).log_metrics)
    lines = [json.loads(line) for line in journal.path.read_text().splitlines()[1:]]
    logged = [{"step": line["step"], **line["values"]} for line in lines]
    curves = [{k.removeprefix("curves/"): v for k, v in row.items()} for row in logged]
    assert curves == other
    for name in one:
        np.testing.assert_allclose(two[name], one[name], atol=2e-4)
    untrained = build(SIZES, 1).state_dict()["w_h"].numpy()
    assert np.abs(one["w_h"] - untrained).max() > 0.01
    for a, b in zip(history, other, strict=True):
        assert b["validation_nll"] == pytest.approx(a["validation_nll"], abs=1e-3)


def test_gradients_are_clipped_element_by_element(tmp_path):
    """With Adam, clipping to almost nothing leaves step sizes; the moments show the bound."""
    bound = 1e-6
    run(tmp_path / "a", gradient_clip=bound)
    state = checkpoints.load(tmp_path / "a")["optimizer_states"][0]["state"]
    moments = torch.cat([s["exp_avg"].flatten() for s in state.values()])
    assert 0 < moments.abs().max() <= bound


@pytest.mark.parametrize(
    ("schedule", "middle"),
    [("constant", 1e-2), ("exponential", 1e-3), ("cosine", 0.00505)],
)
def test_rate_falls_from_the_first_to_the_final(schedule, middle):
    p = parameters(schedule=schedule, learning_rate=1e-2, final_learning_rate=1e-4, steps=101)
    rates = [learning_rate(p, step) for step in (0, 50, 100)]
    assert rates == pytest.approx([1e-2, middle, 1e-2 if schedule == "constant" else 1e-4])


def test_patience_without_a_head_for_the_end_is_refused():
    with pytest.raises(ValidationError, match="set end_head to true, or patience to null"):
        parameters(patience=30)
    assert parameters(restart=False, end_head=True, patience=30).patience == 30
