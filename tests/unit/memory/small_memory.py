"""Small Ms for tests, with made weights: quick, yet lively enough to die and to differ."""

from pathlib import Path

import numpy as np
import torch

from world_models.formulations import Choice
from world_models.memory.model import INITIAL, WEIGHTS, Initial, Memory
from world_models.memory.network import MDNRNN
from world_models.memory.sizes import Sizes
from world_models.storage import artifact, tensors

DOOM = Sizes(4, 1, 8, 5, restart=True, reward_head=False, end_head=False)
RACING = Sizes(5, 3, 8, 5, restart=False, reward_head=True, end_head=True)
GRU = DOOM._replace(cell="gru")
TEXTBOOK = Choice("cpu", "textbook", "float32")
FLOAT32 = Choice("cpu", "compiled-float32", "float32")
BFLOAT16 = Choice("cpu", "compiled-bfloat16", "bfloat16")


def memory(
    sizes: Sizes,
    restart_bias: float = -0.7,
    seed: int = 0,
    choice: Choice | None = None,
    *,
    gain: float = 3.0,
    end_weight: float = 1.0,
) -> Memory:
    """An M whose episodes end now and then (``restart_bias`` lower: later)."""
    torch.manual_seed(seed)
    network = MDNRNN(sizes)
    for head in (network.restart, network.end):
        if head is not None:
            head.weight.data *= gain
            head.bias.data.fill_(restart_bias)
    rng = np.random.default_rng(seed)
    mu = rng.standard_normal((6, sizes.z_size), np.float32)
    initial = Initial(mu, np.full_like(mu, -2.0))
    return Memory(network, initial, choice, end_weight=end_weight)


def write_artifact(out: Path, m: Memory, environment: str, details=None) -> None:
    """Store ``m`` as the stage does."""
    arrays, own = m.payload()[0], m.sizes._asdict()
    with artifact.create(
        out,
        kind="mdnrnn",
        environment=environment,
        stage="mdnrnn",
        parameters={},
        metrics={},
        details=own if details is None else details,
        upstream=[],
    ) as folder:
        initial = {k: arrays.pop(f"initial.{k}") for k in ("mu", "logvar")}
        tensors.save(folder / WEIGHTS, arrays)
        tensors.save(folder / INITIAL, initial)
