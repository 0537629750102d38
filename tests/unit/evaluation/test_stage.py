"""The evaluate stage on small real models: what it writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from world_models.evaluation import recordings
from world_models.seeding import episode_seeds

VALUES = {
    "episodes": 4,
    "random_episodes": 3,
    "random_policy": "uniform",
    "latent": "mean",
    "dream_episodes": 3,
    "tau": 1.1,
    "ends": "drawn",
    "disturbance": "none",
    "strength": 0.0,
    "batch": 2,
    "videos": 1,
    "seed": 8,
}
RUN = """
import sys
from pathlib import Path
import yaml
from world_models.engine.settings import EngineSettings
from world_models.evaluation.parameters import EvaluateParameters
from world_models.stages.command import Context, Input, Outputs
from world_models.stages.evaluate import run
from world_models.storage.artifact import open_artifact
from world_models.storage.scratch import Scratch
from world_models.tracking.run import open_run

if __name__ == "__main__":
    models, out, values = Path(sys.argv[1]), Path(sys.argv[2]), yaml.safe_load(sys.argv[3])
    inputs = {k: Input(models / k, open_artifact(models / k, k, "takecover"))
              for k in ("vae", "mdnrnn", "controller")}
    outputs = Outputs(out / "reports", out / "metrics" / "evaluate.json", out / "reports")
    with (Scratch.open(out, "evaluate", "takecover", "0" * 64) as scratch,
          open_run("evaluate", "takecover", values) as tracker):
        engine = EngineSettings.from_environment()
        context = Context("takecover", tracker, engine, scratch)
        run(EvaluateParameters(**values), inputs, outputs, context)
        scratch.remove()
"""


def _evaluate(models: Path, out: Path) -> set[str]:
    out.mkdir()
    script = out / "evaluate_once.py"
    script.write_text(RUN)
    settings = {"WORLD_MODELS_WORKERS": "2", "WORLD_MODELS_TRACKING": "off"}
    command = [sys.executable, str(script), str(models), str(out), json.dumps(VALUES)]
    subprocess.run(command, check=True, env=os.environ | settings, stderr=subprocess.DEVNULL)
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path != script]
    return {path.relative_to(out).as_posix() for path in files}


@pytest.mark.slow
def test_stage_writes_scores_tables_and_recordings(models, tmp_path):
    files = _evaluate(models, tmp_path / "out")
    reports = ("agent.safetensors", "dream.safetensors", "dreams.csv", "episodes.csv")
    expected = {f"reports/{name}" for name in reports}
    assert {name for name in files if not name.startswith(".")} == (
        expected | {"metrics/evaluate.json"}
    )
    _check_scores(tmp_path / "out")


def _check_scores(out: Path) -> None:
    metrics = json.loads((out / "metrics" / "evaluate.json").read_text())
    table = pd.read_csv(out / "reports" / "episodes.csv")
    assert list(table.columns) == ["policy", "seed", "return", "length", "ended"]
    assert set(table["ended"]) <= {"terminated", "truncated"}
    for policy, n in (("agent", 4), ("random", 3)):
        rows = table[table["policy"] == policy]
        assert rows["seed"].tolist() == episode_seeds("test", 8, 0, n).tolist()
        assert metrics[policy]["n"] == n
        assert metrics[policy]["mean"] == pytest.approx(rows["return"].mean())
        assert metrics[policy]["sd"] == pytest.approx(rows["return"].std())
        assert (rows["return"] == rows["length"]).all()  # TakeCover: 1 a step
    assert metrics["dream"]["n"] == 3
    (shown,) = recordings.load(out / "reports" / "agent.safetensors")
    first = table.iloc[0]
    assert (shown.seed, len(shown.actions), len(shown.z)) == (
        first["seed"],
        first["length"],
        first["length"],
    )
    dreams = recordings.load(out / "reports" / "dream.safetensors")
    lengths = pd.read_csv(out / "reports" / "dreams.csv")["length"]
    assert [len(dream.z) for dream in dreams] == lengths.tolist()
