"""``world-models describe``: V, M and C part by part, counted in built networks."""

import json
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from world_models.controller.policy import ControllerSpec, count, layer_sizes
from world_models.envs import catalogue
from world_models.errors import ParameterError
from world_models.memory.network import MDNRNN
from world_models.memory.sizes import Sizes
from world_models.schema import read_yaml
from world_models.storage.scratch import find_root
from world_models.vision.network import PAPER_CHANNELS, VAE


class Shape(NamedTuple):
    """What fixes the three networks' shapes."""

    memory: Sizes
    features: str
    hidden: int
    channels: tuple[int, ...]


def run(arguments: Namespace) -> int:
    """Print the networks."""
    environment, params = arguments.environment, arguments.params or find_root() / "params.yaml"
    paper = _paper(environment)
    shape = _configured(environment, params) if params.exists() or paper is None else paper
    original = networks(environment, paper) if paper else {}
    description = {
        "environment": environment,
        "sizes": str(params) if params.exists() else "paper",
        "networks": networks(environment, shape),
        "paper": {name: net["parameters"] for name, net in original.items()},
    }
    print(json.dumps(description, indent=2) if arguments.json else "\n".join(_lines(description)))
    return 0


def _paper(environment: str) -> Shape | None:
    """Sizes in the paper, None for an environment that it does not have."""
    about = catalogue.specification(environment)
    p, actions = about.paper_sizes, about.actions.size
    if p is None:
        return None
    sizes = Sizes(p.z, actions, p.hidden, p.mixtures, p.restart, reward_head=False, end_head=False)
    return Shape(sizes, p.features, 0, PAPER_CHANNELS)


def _configured(environment: str, params: Path) -> Shape:
    try:
        mine = read_yaml(params)[environment]
        m, c = mine["mdnrnn"], mine["evolve"]
        sizes = (mine["vae"]["z_size"], _actions(environment), m["hidden_size"], m["mixtures"])
        memory = Sizes(*sizes, m["restart"], m["reward_head"], m["end_head"], m["cell"])
        return Shape(memory, c["features"], c["hidden"], tuple(mine["vae"]["channels"]))
    except (KeyError, TypeError) as error:
        raise ParameterError(f"{params} lacks a size of {environment}: {error}.") from None


def _actions(environment: str) -> int:
    return catalogue.specification(environment).actions.size


def networks(environment: str, shape: Shape) -> dict[str, Any]:
    """V, M and C with their parts, tensors and counts of trainable weights."""
    with torch.device("meta"):  # shapes without memory
        v, m = VAE(shape.memory.z_size, shape.channels), MDNRNN(shape.memory)
    v_parts: dict[str, nn.Module] = {
        "encoder": v.encoder,
        "heads": v.heads,
        "decoder": v.decoder,
    }
    return {
        "V": _network({part: _tensors(module) for part, module in v_parts.items()}),
        "M": _network(_memory_parts(m)),
        "C": _controller(environment, shape),
    }


def _tensors(module: nn.Module) -> dict[str, list[int]]:
    named = module.named_parameters()
    return {name: list(tensor.shape) for name, tensor in named if tensor.requires_grad}


def _memory_parts(m: MDNRNN) -> dict[str, dict[str, list[int]]]:
    shapes = _tensors(m)
    core = ("w_x", "w_h", "bias")
    return {
        m.sizes.cell: {name: shapes[name] for name in core},
        "head": {name: shape for name, shape in shapes.items() if name not in core},
    }


def _controller(environment: str, shape: Shape) -> dict[str, Any]:
    m, features = shape.memory, shape.features
    inputs = m.feature_size(features)
    bias = catalogue.specification(environment).bias
    spec = ControllerSpec(features, inputs, shape.hidden, m.action_size, bias)
    tensors: dict[str, list[int]] = {}
    for number, (columns, outputs) in enumerate(layer_sizes(spec), start=1):
        tensors[f"layer{number}.weight"] = [outputs, columns]
        if spec.bias:
            tensors[f"layer{number}.bias"] = [outputs]
    net = _network({"policy": tensors})
    assert net["parameters"] == count(spec)
    return net | {"features": f"[{', '.join(features)}]", "inputs": inputs}


def _network(parts: Mapping[str, Mapping[str, list[int]]]) -> dict[str, Any]:
    counted = {
        name: {
            "parameters": sum(torch.Size(shape).numel() for shape in tensors.values()),
            "tensors": dict(tensors),
        }
        for name, tensors in parts.items()
    }
    total = sum(int(str(part["parameters"])) for part in counted.values())
    return {"parameters": total, "parts": counted}


def _compared(mine: int, paper: int | None) -> str:
    if paper is None:
        return ""
    return " (the paper's)" if paper == mine else f" (the paper's has {paper:,})"


def _lines(description: Mapping[str, Any]) -> Iterable[str]:
    yield f"{description['environment']}, sizes of {description['sizes']}"
    for name, net in description["networks"].items():
        yield ""
        note = _compared(net["parameters"], description["paper"].get(name))
        yield f"{name}  {net['parameters']:,} parameters{note}"
        for part, content in net["parts"].items():
            yield f"  {part:24}{content['parameters']:>12,}"
            for tensor, shape in content["tensors"].items():
                yield f"    {tensor:22}{' × '.join(map(str, shape)):>24}"
