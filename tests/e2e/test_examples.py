"""The examples, run as people run them, on the models of the smoke pipeline."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(pipeline, name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        cwd=pipeline.folder,
        env=pipeline.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_examples_are_short():
    lengths = {path.name: len(path.read_text().splitlines()) for path in EXAMPLES.glob("*.py")}
    # TorchRL gives the parts of PPO and leaves the loop over them to whoever uses it.
    assert lengths.pop("torchrl_ppo.py") <= 80
    assert set(lengths) == {"drive.py", "see.py", "dream.py", "champion.py", "ppo.py"}
    assert max(lengths.values()) <= 30


@pytest.mark.parametrize("environment", ["carracing", "takecover"])
def test_agent_plays_a_whole_episode_in_a_gymnasium_loop(pipeline, environment):
    said = run(pipeline, "drive.py", environment)
    total = float(re.fullmatch(rf"{environment}: return (-?\d+\.\d)\n", said)[1])
    assert -200 < total < 2101


def test_champion_of_mlflow_plays_an_episode(pipeline):
    said = run(pipeline, "champion.py", "takecover")
    assert re.fullmatch(r"takecover: return \d+\.0\n", said)


def test_frame_is_encoded_and_decoded(pipeline, tmp_path):
    said = run(pipeline, "see.py", "takecover", str(tmp_path / "see.png"))
    assert re.match(r"z has \d+ numbers; mean error \d+\.\d/255", said)
    with Image.open(tmp_path / "see.png") as picture:
        assert picture.size == (512, 256)


def test_dream_is_stepped_by_hand(pipeline, tmp_path):
    said = run(pipeline, "dream.py", "takecover", str(tmp_path / "dream.gif"))
    steps = int(re.fullmatch(r"takecover: dreamed (\d+) steps\n", said)[1])
    assert 1 <= steps <= 300
    with Image.open(tmp_path / "dream.gif") as film:
        assert film.n_frames >= 1


@pytest.mark.parametrize(("name", "folder"), [("ppo.py", "ppo"), ("torchrl_ppo.py", "ppo-torchrl")])
def test_what_ppo_learned_in_the_dream_is_scored_by_evaluate(pipeline, name, folder):
    said = run(pipeline, name, "takecover", "1")  # one update
    assert said.endswith(f"{folder}/takecover/controller: 16384 steps, all of them dreamed\n")
    models, out = pipeline.folder / "models/takecover", pipeline.folder / folder / "takecover"
    stage = [sys.executable, "-m", "world_models.stages.evaluate", "--environment", "takecover"]
    stage += ["--vae", models / "vae", "--mdnrnn", models / "mdnrnn"]
    stage += ["--controller", out / "controller"]
    stage += ["--metrics", out / "evaluate.json", "--reports", out / "evaluate"]
    environment = pipeline.environment() | {"WORLD_MODELS_TRACKING": "off"}
    subprocess.run(stage, cwd=pipeline.folder, env=environment, check=True, capture_output=True)
    assert json.loads((out / "evaluate.json").read_text())["agent"]["mean"] > 0
    shutil.rmtree(pipeline.folder / folder)
