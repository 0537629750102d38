"""Inference with M: every formulation against the network, and the files it refuses."""

import numpy as np
import pytest
import torch
from small_memory import BFLOAT16, DOOM, FLOAT32, GRU, RACING, TEXTBOOK, memory, write_artifact

from world_models.errors import InputError, ParameterError
from world_models.memory.model import Memory
from world_models.memory.network import MDNRNN
from world_models.storage import tensors

ROWS = (slice(None), np.array([0, 2, 3]))
CASES = [(FLOAT32, RACING), (FLOAT32, DOOM), (BFLOAT16, DOOM)]
CASES += [(TEXTBOOK, RACING), (TEXTBOOK, DOOM), (TEXTBOOK, GRU)]


@pytest.mark.parametrize("rows", ROWS, ids=["slice", "indices"])
@pytest.mark.parametrize(("choice", "sizes"), CASES)
def test_three_steps_equal_the_network_s(choice, sizes, rows):
    """Some episodes start in between; those that are not in ``rows`` keep their memory."""
    m = memory(sizes, choice=choice)
    arrays, _ = m.payload()
    network = MDNRNN(sizes)
    network.load_state_dict({k: torch.from_numpy(arrays[k]) for k in network.state_dict()})
    rng, n, k = np.random.default_rng(0), 5, len(np.arange(5)[rows])
    state, expected = m.start(n), network.initial_state(k)
    tolerance = 0.03 if choice.precision == "bfloat16" else 1e-5
    for t in range(3):
        z = rng.standard_normal((k, sizes.z_size), np.float32)
        actions = rng.random((k, sizes.action_size), np.float32)
        starts = (np.arange(k) % 2 == 0) if t == 1 else np.full(k, t == 0)
        with torch.inference_mode():
            given = (torch.from_numpy(x) for x in (z, actions, starts.astype(np.float32)))
            wanted, expected = network.step(*given, expected)
        m.step(state, z, actions, starts, rows)
        found = m.predict(state, rows)
        for part, values in zip(m.parts, expected, strict=True):
            np.testing.assert_allclose(state.read(part, rows), values, atol=tolerance)
        mixture = found.mixture[:, : sizes.mixture_size]
        np.testing.assert_allclose(mixture, wanted.mixture, atol=tolerance)
        end = wanted.restart if sizes.restart else wanted.end
        np.testing.assert_allclose(found.end, end, atol=3 * tolerance)
        if sizes.reward_head:
            np.testing.assert_allclose(found.reward, wanted.reward, atol=tolerance)
    left_out = np.setdiff1d(np.arange(n), np.arange(n)[rows])
    assert not any(state.read(part, left_out).any() for part in m.parts)


@pytest.mark.parametrize("rows", ROWS, ids=["slice", "indices"])
@pytest.mark.parametrize("choice", [FLOAT32, TEXTBOOK])
def test_a_mask_hides_units_of_h_from_the_heads_alone(choice, rows):
    """As if the heads had no weights there; the memory stays as it is."""
    m = memory(DOOM, choice=choice)
    k, network = len(np.arange(5)[rows]), m._network
    state, rng = m.start(5), np.random.default_rng(0)
    z = rng.standard_normal((k, DOOM.z_size), np.float32)
    m.step(state, z, np.ones((k, 1), np.float32), np.ones(k, np.bool_), rows)
    mask = np.ones((k, 8), np.float32)
    mask[:, [1, 4]] = 0
    h = state.read("h").copy()
    found = m.predict(state, rows, mask).mixture.copy()
    with torch.no_grad():
        wanted = network.predict(torch.from_numpy(h[rows] * mask)).mixture
    np.testing.assert_allclose(found[:, : DOOM.mixture_size], wanted, atol=1e-5)
    assert np.array_equal(state.read("h"), h)
    assert not np.allclose(m.predict(state, rows).mixture, found)


@pytest.mark.parametrize("choice", [FLOAT32, TEXTBOOK])
def test_episodes_move_and_are_forgotten(choice):
    m = memory(DOOM, choice=choice)
    state = m.start(4)
    z = np.random.default_rng(0).standard_normal((4, 4), np.float32)
    m.step(state, z, np.zeros((4, 1), np.float32), np.ones(4, np.bool_))
    before = {part: state.read(part).copy() for part in m.parts}
    state.move(np.array([0]), np.array([3]))
    state.forget(np.array([1]))
    for part, values in before.items():
        now = state.read(part)
        assert np.array_equal(now[[0, 2, 3]], values[[3, 2, 3]])
        assert values.any()
        assert not now[1].any()


@pytest.mark.parametrize("sizes", [RACING, DOOM, GRU])
@pytest.mark.parametrize("choice", [FLOAT32, TEXTBOOK])
def test_samples_of_all_formulations_are_the_same_but_for_rounding(choice, sizes):
    if choice == FLOAT32 and sizes == GRU:
        choice = None  # what the machine chooses: the textbook
    u = np.random.default_rng(1).random((2, sizes.z_size), np.float32)
    eps = np.random.default_rng(2).standard_normal((2, sizes.z_size), np.float32)
    drawn = []
    for m in (memory(sizes, choice=choice), memory(sizes, choice=TEXTBOOK)):
        state, z = m.start(3), np.ones((3, sizes.z_size), np.float32)
        m.step(state, z, np.ones((3, sizes.action_size), np.float32), np.ones(3, np.bool_))
        m.sample(m.predict(state), u, eps, np.array([1, 0, 1]), 1.2, z)
        assert np.array_equal(z[0], z[2])
        drawn.append(z)
    np.testing.assert_allclose(drawn[0], drawn[1], atol=1e-5)


def test_parts_and_features_are_m_s_own():
    assert memory(DOOM).parts == {"h": 8, "c": 8}
    assert memory(GRU).parts == {"h": 8}
    assert memory(DOOM).seen("zch") == ("c", "h")
    assert [memory(DOOM).feature_size(f) for f in ("z", "zh", "zch", "zhc")] == [4, 12, 20, 20]
    assert (memory(DOOM).predicts, memory(RACING).predicts) == ({"end"}, {"end", "reward"})
    with pytest.raises(ParameterError, match=r"'zch': M \(gru\) has no part c; it has: h\."):
        memory(GRU).feature_size("zch")
    for wrong in ("", "h", "hz", "zhh"):
        with pytest.raises(ParameterError, match="give z, then"):
            memory(DOOM).seen(wrong)


@pytest.mark.parametrize("sizes", [DOOM, GRU])
def test_payload_rebuilds_the_same_memory(sizes):
    m = Memory.from_arrays(*memory(sizes).payload())
    again = Memory.from_arrays(*m.payload())
    z, a = np.ones((2, sizes.z_size), np.float32), np.zeros((2, 1), np.float32)
    states = []
    for x in (m, again):
        states.append(x.start(2))
        x.step(states[-1], z, a, np.ones(2, np.bool_))
    assert np.array_equal(states[0].read("h"), states[1].read("h"))
    assert np.array_equal(again.initial.mu, m.initial.mu)


def test_a_card_from_before_the_gru_means_the_lstm():
    arrays, details = memory(DOOM).payload()
    details.pop("cell")
    assert Memory.from_arrays(arrays, details).sizes == DOOM


def test_loads_its_own_artifact(tmp_path):
    write_artifact(tmp_path / "mdnrnn", memory(DOOM), "takecover")
    assert Memory.load(tmp_path / "mdnrnn", "takecover").sizes == DOOM


def test_refuses_another_environment_and_another_z(tmp_path):
    write_artifact(tmp_path / "mdnrnn", memory(DOOM), "takecover")
    with pytest.raises(InputError, match="made for takecover, not for carracing"):
        Memory.load(tmp_path / "mdnrnn", "carracing")
    with pytest.raises(InputError, match=r"size 4, V gives size 32"):
        memory(DOOM).check(32)


def test_refuses_weights_that_do_not_fit_the_card(tmp_path):
    m = memory(DOOM)
    write_artifact(tmp_path / "a", m, "takecover", details=DOOM._replace(hidden_size=9)._asdict())
    with pytest.raises(InputError, match="bias should be"):
        Memory.load(tmp_path / "a")
    write_artifact(tmp_path / "b", m, "takecover", details={"z_size": 4})
    with pytest.raises(InputError, match="does not describe an M"):
        Memory.load(tmp_path / "b")
    write_artifact(tmp_path / "c", m, "takecover", details=DOOM._replace(cell="rnn")._asdict())
    with pytest.raises(InputError, match="does not describe an M"):
        Memory.load(tmp_path / "c")


def test_refuses_an_artifact_without_first_frames():
    arrays, details = memory(DOOM).payload()
    arrays["initial.mu"] = arrays["initial.logvar"] = np.zeros((0, 4), np.float32)
    with pytest.raises(InputError, match=r"initial\.logvar should be"):
        Memory.from_arrays(arrays, details)


def test_refuses_damaged_weights(tmp_path):
    write_artifact(tmp_path / "mdnrnn", memory(DOOM), "takecover")
    path = tmp_path / "mdnrnn" / "weights.safetensors"
    tensors.save(path, {"w_x": np.zeros(3, np.float32)})
    with pytest.raises(InputError, match="damaged"):
        Memory.load(tmp_path / "mdnrnn")


@pytest.mark.parametrize("wish", ["textbook", "compiled-float32", "compiled-bfloat16"])
def test_a_worker_computes_as_its_driver(wish):
    arrays, details = memory(DOOM).payload()
    m = Memory.from_arrays(arrays, details | {"wish": wish})
    again = Memory.from_arrays(*m.payload())
    assert again.choice == m.choice
    assert again.choice.formulation == wish
