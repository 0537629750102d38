"""Inference with M, against the network, and the files it refuses."""

import numpy as np
import pytest
import torch
from small_memory import DOOM, RACING, memory, write_artifact

from world_models.errors import InputError
from world_models.memory.model import Memory, MemoryState, Workspace
from world_models.memory.network import MDNRNN, State
from world_models.storage import tensors


@pytest.mark.parametrize("sizes", [RACING, DOOM])
def test_step_and_prediction_equal_the_network_s(sizes):
    m = memory(sizes)
    arrays, _ = m.payload()
    network = MDNRNN(sizes)
    network.load_state_dict({k: torch.from_numpy(arrays[k]) for k in network.state_dict()})
    rng = np.random.default_rng(0)
    z = rng.standard_normal((5, sizes.z_size), np.float32)
    actions = rng.random((5, sizes.action_size), np.float32)
    h, c = rng.standard_normal((2, 5, sizes.hidden_size), np.float32)
    starts = np.array([True, False, True, False, False])
    as_tensors = [torch.from_numpy(x) for x in (z, actions, starts.astype(np.float32), h, c)]
    with torch.inference_mode():
        expected, state = network.step(*as_tensors[:3], State(*as_tensors[3:]))
    ours = m.step(z, actions, MemoryState(h, c), starts)
    np.testing.assert_allclose(ours.h, state.h.numpy(), atol=2e-6)
    np.testing.assert_allclose(ours.c, state.c.numpy(), atol=2e-6)
    work = Workspace.create(5, sizes, m.outputs)
    work.x[:, -sizes.hidden_size :] = ours.h
    out = m.predict(work)
    np.testing.assert_allclose(out[:, : sizes.mixture_size], expected.mixture.numpy(), atol=1e-5)
    for name, column in m.columns.items():
        np.testing.assert_allclose(out[:, column], getattr(expected, name).numpy(), atol=1e-5)


def test_payload_rebuilds_the_same_memory():
    m = Memory.from_arrays(*memory(DOOM).payload())
    again = Memory.from_arrays(*m.payload())
    z, a = np.ones((2, DOOM.z_size), np.float32), np.zeros((2, 1), np.float32)
    states = [x.step(z, a, x.initial_state(2), np.ones(2, np.bool_)) for x in (m, again)]
    assert np.array_equal(states[0].h, states[1].h)
    assert np.array_equal(again.initial.mu, m.initial.mu)


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
