"""``docs/own-environment.md``, block by block, in a temporary copy of the tree."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/own-environment.md"
FILE = re.compile(r"# (\S+/\S+)\n")


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The tree with the files that the page writes."""
    folder = tmp_path_factory.mktemp("own") / "world-models"
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".dvc").mkdir()
    for language, block in blocks():
        if language != "bash":
            named = FILE.match(block)
            assert named, f"a block without the name of its file: {block[:60]}"
            path = folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block[named.end() :], encoding="utf-8")
    return folder


def blocks():
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.S | re.M)


def run(folder, *command):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    settings = os.environ | {"PATH": path, "PYTHONPATH": "src", "WORLD_MODELS_TRACKING": "off"}
    done = subprocess.run(
        command, cwd=folder, env=settings, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_the_page_has_all_its_blocks():
    assert [language for language, _ in blocks()] == ["python", "python", "yaml", "bash"]


def test_the_folder_alone_makes_it_known(copy):
    code = (
        "import gymnasium, world_models; from world_models.envs import catalogue\n"
        "env = gymnasium.make('WorldModels/CartPole-v1', render_mode='rgb_array')\n"
        "frame, _ = env.reset(seed=1); about = catalogue.specification('cartpole')\n"
        "native = about.native(env.action_space.high)\n"
        "print(catalogue.names(), frame.shape, env.render().shape, native)"
    )
    out = run(copy, sys.executable, "-c", code)
    assert "'cartpole'" in out
    assert "(64, 64, 3) (400, 600, 3) 0" in out


@pytest.mark.slow
def test_the_whole_pipeline_runs(copy):
    (script,) = (block for language, block in blocks() if language == "bash")
    run(copy, "bash", "-euo", "pipefail", "-c", script)
    scores = json.loads((copy / "experiments/cartpole/metrics/evaluate.json").read_text())
    assert scores["agent"]["n"] == scores["random"]["n"] == 2
    assert 5 < scores["random"]["mean"] < 100
