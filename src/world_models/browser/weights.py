"""V's decoder, M and C as the page's ``dream.js`` takes them: names and sizes, and float16 numbers.

The page computes no convolution as such: every layer is a product of matrices, whose weights lie
in panels of eight columns, (panels, depth, 8), so that its kernel reads them from front to back.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from world_models.agent import Agent
from world_models.browser.controls import controls
from world_models.controller.policy import layer_sizes
from world_models.envs.actions import Actions, Argmax
from world_models.errors import UserError
from world_models.memory.model import Memory
from world_models.storage.half import rounded
from world_models.worlds.parts import Ends

FloatArray = NDArray[np.float32]
PANEL = 8
"""Columns of a panel: two of WebAssembly's vectors."""
FIRST_FRAMES = 2000
"""Stored first frames at most that the page begins dreams from: they are but a part of its size."""


class Exported(NamedTuple):
    """What the page's models are made from.

    Attributes:
        model: names, sizes and where each array lies; JSON-able.
        numbers: float16 (N,), all arrays one after the other.
    """

    model: dict[str, Any]
    numbers: NDArray[np.float16]


def export(agent: Agent, ends: Ends) -> Exported:
    """V, M and C in half precision.

    Args:
        agent: V, M and C.
        ends: how the dream ends until the player chooses.

    Raises:
        InputError: a weight is too large for float16.
        UserError: the page cannot do what the environment's actions need.
    """
    about, memory = agent.specification, agent.memory
    arrays = dict(_arrays(agent))
    starts = np.cumsum([0, *(array.size for array in arrays.values())]).tolist()
    sizes = memory.sizes
    model = {
        "environment": agent.environment,
        "title": about.title,
        "fps": about.fps,
        "cap": about.cap,
        "z_size": sizes.z_size,
        "action_size": sizes.action_size,
        "hidden_size": sizes.hidden_size,
        "mixtures": sizes.mixtures,
        "cell": sizes.cell,
        "restart": sizes.restart,
        "columns": {name: sizes.mixture_size + i for i, name in enumerate(_scalars(memory))},
        "end_weight": memory.end_weight,
        "deconvolutions": _deconvolutions(agent),
        "seen": list(memory.seen(agent.controller.spec.features)),
        "controller": [
            {"name": f"c.{i}", "outputs": outputs, "bias": agent.controller.spec.bias}
            for i, (_, outputs) in enumerate(layer_sizes(agent.controller.spec))
        ],
        "squash": squash(about.actions),
        "controls": controls(about),
        "ends": ends,
        "arrays": {
            name: {"start": start, "shape": array.shape}
            for (name, array), start in zip(arrays.items(), starts, strict=False)
        },
    }
    halves = [rounded(array, name).ravel() for name, array in arrays.items()]
    return Exported(model, np.concatenate(halves))


def _arrays(agent: Agent) -> Iterator[tuple[str, FloatArray]]:
    yield from _of_vision(agent.vision.payload()[0])
    yield from _of_memory(agent.memory)
    initial = agent.memory.initial
    frames = np.linspace(0, len(initial.mu) - 1, min(len(initial.mu), FIRST_FRAMES)).astype(int)
    yield "first.mu", initial.mu[frames]
    yield "first.logvar", initial.logvar[frames]
    yield from _of_controller(agent)


def _of_vision(state: Mapping[str, FloatArray]) -> Iterator[tuple[str, FloatArray]]:
    """The decoder's layers.

    Nothing stands between its linear map and the first transposed convolution, which sees one
    pixel: their product is one matrix (Z, 5·5·channels), of 1/17 of the two's weights.
    """
    first = _columns(state["decoder.deconv1.weight"])
    weight = state["decoder.linear.weight"].T.astype(np.float64) @ first
    bias = state["decoder.linear.bias"].astype(np.float64) @ first
    pixels = first.shape[1] // len(state["decoder.deconv1.bias"])
    yield "v.first", panels(weight.astype(np.float32))
    yield "v.first.bias", _padded(bias + np.tile(state["decoder.deconv1.bias"], pixels))
    for name in ("deconv2", "deconv3", "deconv4"):
        yield f"v.{name}", panels(_columns(state[f"decoder.{name}.weight"]))
        yield f"v.{name}.bias", state[f"decoder.{name}.bias"]


def _deconvolutions(agent: Agent) -> list[dict[str, Any]]:
    state = agent.vision.payload()[0]
    shapes = {n: state[f"decoder.{n}.weight"].shape for n in ("deconv2", "deconv3", "deconv4")}
    return [
        {"name": f"v.{name}", "kernel": kernel, "channels": channels}
        for name, (_, channels, kernel, _) in shapes.items()
    ]


def _columns(weight: FloatArray) -> FloatArray:
    """A transposed convolution (inputs, outputs, k, k) as a matrix (inputs, k·k·outputs)."""
    return weight.transpose(0, 2, 3, 1).reshape(len(weight), -1)


def _of_memory(memory: Memory) -> Iterator[tuple[str, FloatArray]]:
    state = memory.payload()[0]
    yield "m.w_x", panels(state["w_x"].T)
    yield "m.w_h", panels(state["w_h"].T)
    yield "m.bias", state["bias"]
    heads = ["mixture", *_scalars(memory).values()]
    yield "m.heads", panels(np.concatenate([state[f"{name}.weight"] for name in heads]).T)
    yield "m.heads.bias", np.concatenate([state[f"{name}.bias"] for name in heads])


def _scalars(memory: Memory) -> dict[str, str]:
    """M's heads beside the mixture, in their order: what they predict, and their names."""
    sizes = memory.sizes
    heads = {"end": "restart"} if sizes.restart else {}
    heads |= {"reward": "reward"} if sizes.reward_head else {}
    return heads | ({"end": "end"} if sizes.end_head else {})


def _of_controller(agent: Agent) -> Iterator[tuple[str, FloatArray]]:
    policy = agent.policy
    for i, (weight, bias) in enumerate(zip(policy.weights, policy.biases, strict=True)):
        yield f"c.{i}", weight[0].T
        if policy.spec.bias:
            yield f"c.{i}.bias", bias.ravel()


def panels(matrix: FloatArray) -> FloatArray:
    """A matrix (depth, columns) in panels of eight columns, (panels, depth, 8), filled with 0."""
    depth, columns = matrix.shape
    filled = np.pad(matrix, ((0, 0), (0, -columns % PANEL)))
    return filled.reshape(depth, -1, PANEL).transpose(1, 0, 2)


def _padded(vector: NDArray[np.float64]) -> FloatArray:
    return np.pad(vector, (0, -len(vector) % PANEL)).astype(np.float32)


def squash(actions: Actions) -> str | list[dict[str, float]]:
    """How C's outputs become an action, for the page.

    Returns:
        ``"argmax"`` for a one-hot of the largest; else for each number of the action ``scale``,
        ``offset``, ``low`` and ``high`` of clip(offset + scale · tanh(output), low, high).

    Raises:
        UserError: this action space squashes in another way.
    """
    if isinstance(actions, Argmax):
        return "argmax"
    outputs = np.linspace(-4, 4, 33, dtype=np.float32)
    wanted = actions.squash(np.repeat(outputs[:, None], actions.size, axis=1))
    low, high = actions.low.astype(float), actions.high.astype(float)
    found = []
    for i, (least, greatest) in enumerate(zip(low.tolist(), high.tolist(), strict=True)):
        half = (greatest - least) / 2
        ways = [(half, least + half), (greatest, 0.0)]  # stretched, or cut at its bounds
        for scale, offset in ways:
            said = np.clip(offset + scale * np.tanh(outputs), least, greatest)
            if np.allclose(said, wanted[:, i], rtol=0, atol=1e-5):
                found.append({"scale": scale, "offset": offset, "low": least, "high": greatest})
                break
    if len(found) < actions.size or not all(map(math.isfinite, (*low, *high))):
        raise UserError(
            f"The page knows no way from C's outputs to {type(actions).__name__}: it has tanh, "
            "stretched over the bounds or cut at them, and argmax."
        )
    return found
