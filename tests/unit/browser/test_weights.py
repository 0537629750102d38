"""What the page is told of V, M, C and of the environment."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from small_agents import ASSETS, drawn

from world_models.browser import weights
from world_models.browser.controls import controls
from world_models.envs import catalogue
from world_models.envs.actions import Argmax, Continuous, Thresholds
from world_models.errors import InputError, UserError
from world_models.memory.sizes import Sizes

SIZES = Sizes(4, 1, 8, 2, restart=True, reward_head=False, end_head=False)


def test_panels_hold_eight_columns_each():
    matrix = np.arange(3 * 10, dtype=np.float32).reshape(3, 10)
    found = weights.panels(matrix)
    assert found.shape == (2, 3, 8)
    np.testing.assert_array_equal(found[0], matrix[:, :8])
    np.testing.assert_array_equal(found[1, :, :2], matrix[:, 8:])
    assert not found[1, :, 2:].any()


def test_every_array_lies_where_the_page_is_told():
    agent = drawn("takecover", SIZES, "zch", 0)
    exported = weights.export(agent, "drawn")
    arrays = exported.model["arrays"]
    ends = [at["start"] + int(np.prod(at["shape"])) for at in arrays.values()]
    assert [at["start"] for at in arrays.values()] == [0, *ends[:-1]]
    assert ends[-1] == len(exported.numbers)
    assert exported.numbers.dtype == np.float16
    at = arrays["first.mu"]["start"]
    np.testing.assert_array_equal(exported.numbers[at : at + 20], agent.memory.initial.mu.ravel())


def test_a_weight_beyond_half_precision_is_refused():
    agent = drawn("takecover", SIZES, "zch", 0)
    with torch.no_grad():
        agent.memory._network.w_h[0, 0] = 1e6
    with pytest.raises(InputError, match=r"m\.w_h holds 1e\+06, and float16"):
        weights.export(agent, "drawn")


@pytest.mark.parametrize("environment", catalogue.names())
def test_outputs_of_c_become_actions_as_in_python(environment):
    actions = catalogue.specification(environment).actions
    told = weights.squash(actions)
    raw = np.random.default_rng(1).normal(size=(50, actions.size)).astype(np.float32) * 2
    if told == "argmax":
        assert isinstance(actions, Argmax)
        return
    found = [
        np.clip(one["offset"] + one["scale"] * np.tanh(raw[:, i]), one["low"], one["high"])
        for i, one in enumerate(told)
    ]
    np.testing.assert_allclose(np.stack(found, 1), actions.squash(raw), atol=1e-5)


def test_continuous_actions_are_stretched_over_their_bounds():
    told = weights.squash(Continuous((-2.0, 0.0), (4.0, 1.0)))
    assert told[0] == {"scale": 3.0, "offset": 1.0, "low": -2.0, "high": 4.0}
    assert told[1] == {"scale": 0.5, "offset": 0.5, "low": 0.0, "high": 1.0}


@dataclass(frozen=True)
class Odd(Continuous):
    """Squashes in its own way."""

    def squash(self, raw):
        return np.sin(raw)


def test_an_action_space_that_the_page_does_not_know_is_refused():
    with pytest.raises(UserError, match="no way from C's outputs to Odd"):
        weights.squash(Odd((-1.0,), (1.0,)))


KNOWN = [catalogue.specification(name) for name in catalogue.names()]
ANOTHER = [
    replace(KNOWN[0], title=str(actions), actions=actions, keys=())
    for actions in (
        Argmax(3),
        Thresholds((0.0,)),
        Continuous((-2.0, 1.0, 0.0), (4.0, 3.0, 1.0)),
        Continuous((-1.0,), (1.0,)),
    )
]


@pytest.mark.parametrize("about", [*KNOWN, *ANOTHER], ids=lambda about: about.title)
def test_every_control_is_an_action(about):
    actions, told = about.actions, controls(about)
    idle = np.array(told["idle"], np.float32)
    assert idle.shape == (actions.size,)
    assert told["keys"]
    for key in told["keys"]:
        assert key["label"]
        assert key["key"].lower() == f"arrow{key['arrow']}"
        action = idle.copy()
        for index, value in key["set"].items():
            action[int(index)] = value
        assert np.all((actions.low <= action) & (action <= actions.high))
        assert not np.array_equal(action, idle)


def test_take_covers_keys_are_its_three_actions():
    about = catalogue.specification("takecover")
    actions, told = about.actions, controls(about)
    left, right = (np.array(list(key["set"].values())) for key in told["keys"])
    assert [key["arrow"] for key in told["keys"]] == ["left", "right"]
    assert [actions.native(np.array(a)) for a in (left, told["idle"], right)] == [0, 1, 2]


def test_the_kernel_is_its_text():
    wasmtime = pytest.importorskip("wasmtime", reason="needs wasmtime, which has wat2wasm")
    text = (ASSETS / "kernel.wat").read_text(encoding="utf-8")
    assert bytes(wasmtime.wat2wasm(text)) == (ASSETS / "kernel.wasm").read_bytes()
