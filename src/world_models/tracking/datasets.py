"""Data sets as MLflow describes them: name, digest, source, what a row holds, figures."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset

LONGEST_DIGEST = 36
"""Characters of a digest that MLflow's table holds: just an MD5 with ``.dir``."""
SCHEMAS = {
    kind: json.dumps(
        [
            {"type": "tensor", "name": name, "tensor-spec": {"dtype": dtype, "shape": [-1, *shape]}}
            for name, (dtype, shape) in columns.items()
        ]
    )
    for kind, columns in {
        "rollouts": {
            "frames": ("uint8", (64, 64, 3)),
            "actions": ("float32", (-1,)),
            "rewards": ("float32", ()),
        },
        "latents": {
            "mu": ("float32", (-1,)),
            "logvar": ("float32", (-1,)),
            "actions": ("float32", (-1,)),
            "rewards": ("float32", ()),
        },
    }.items()
}
"""What a step of each kind of data set holds, as MLflow writes it."""


def stored(message: Mapping[str, Any], digest: str) -> Dataset:
    """A stage's input, as its journal describes it.

    Args:
        message: the journal's line.
        digest: DVC's.
    """
    return Dataset(
        name=message["name"],
        digest=digest[:LONGEST_DIGEST],
        source_type="local",
        source=json.dumps({"uri": Path(message["lasting"]).as_uri()}),
        schema=json.dumps({"mlflow_tensorspec": {"features": SCHEMAS[message["kind"]]}}),
        profile=json.dumps(message["profile"]),
    )


def seeds(environment: str, played: Sequence[int], run_id: str) -> Dataset:
    """The episodes that an agent is scored on: an environment's test seeds.

    Args:
        environment: its name.
        played: the seeds, in any order; equal ones give an equal digest.
        run_id: whose artifacts list them.
    """
    listed = sorted(played)
    column = {"type": "long", "name": "seed", "required": True}
    return Dataset(
        name=f"{environment} test seeds",
        digest=hashlib.sha256(json.dumps(listed).encode()).hexdigest()[:LONGEST_DIGEST],
        source_type="local",
        source=json.dumps({"uri": f"runs:/{run_id}/reports/episodes.csv"}),
        schema=json.dumps({"mlflow_colspec": [column]}),
        profile=json.dumps({"episodes": len(listed), "first": listed[0], "last": listed[-1]}),
    )
