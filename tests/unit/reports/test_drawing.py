"""Every stage's pictures from stored numbers, whatever Matplotlib's settings of the user are."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from world_models.reports import drawing
from world_models.storage import tensors


def write_numbers(root: Path) -> None:
    """Tables and arrays of the stages' columns and shapes."""
    random = np.random.default_rng(0)
    steps, n = np.arange(1, 7), 6
    losses = ("reconstruction", "kl", "nll", "restart", "reward")
    columns = [f"{kind}_{part}" for kind in ("training", "validation") for part in losses]
    curves = pd.DataFrame({"step": steps} | {name: random.random(n) + 1 for name in columns})
    frames = random.integers(0, 256, (16, 64, 64, 3), np.uint8)
    returns, lengths = random.random(n) * 100, random.integers(1, 99, n)
    evolution = ("steps", "mean", "best", "sd", "sigma", "validation")
    tables = {
        "rollouts/episodes": {"return": returns, "length": lengths},
        "vae/curves": curves,
        "mdnrnn/curves": curves,
        "mdnrnn/nll_by_dimension": {
            f"nll{name}": steps for name in ("", "_marginal", "_persistence", "_ar1")
        },
        "mdnrnn/risk": dict.fromkeys(("from", "observed", "predicted", "thresholded"), steps),
        "mdnrnn/survival": dict.fromkeys(("step", "observed", "dreamed"), steps / n),
        "evolve/history": {k: steps.astype(float) for k in evolution},
        "evaluate/episodes": {
            "policy": ["agent"] * 3 + ["random"] * 3,
            "return": returns,
            "length": lengths,
        },
    }
    for name, table in tables.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(table).to_csv(root / f"{name}.csv", index=False)
    tensors.save(root / "rollouts/frames.safetensors", {"frames": frames.reshape(2, 8, 64, 64, 3)})
    seen = {"originals": frames, "reconstructions": frames[::-1], "samples": frames}
    tensors.save(root / "vae/frames.safetensors", seen)
    z = random.standard_normal((30, 8), np.float32)
    dreamed = random.standard_normal((3, 20, 8), np.float32)
    tensors.save(root / "mdnrnn/rollout.safetensors", {"z": z, "dreamed": dreamed})


PICTURES = {
    "rollouts": {"episodes.png", "frames.png"},
    "vae": {"curves.png", "reconstructions.png", "samples.png"},
    "encode": set(),
    "mdnrnn": {"curves.png", "dimensions.png", "ends.png", "rollout.png"},
    "evolve": {"history.png"},
    "evaluate": {"returns.png"},
}


@pytest.fixture(scope="module")
def numbers(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("numbers")
    write_numbers(root)
    return root


@pytest.mark.parametrize("stage", PICTURES)
def test_a_stage_has_these_pictures(numbers, tmp_path, stage):
    drawing.draw(stage, numbers / stage, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == PICTURES[stage]
    for path in tmp_path.iterdir():
        with Image.open(path) as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 5, path.name


def test_frames_stand_where_they_belong(numbers, tmp_path):
    drawing.draw("vae", numbers / "vae", tmp_path)
    frames = tensors.load(numbers / "vae/frames.safetensors")
    picture = np.asarray(Image.open(tmp_path / "reconstructions.png"))[::2, ::2]
    assert picture.shape == (4 * 64, 8 * 64, 3)
    np.testing.assert_array_equal(picture[:64, :64], frames["originals"][0])
    np.testing.assert_array_equal(picture[64:128, 64:128], frames["reconstructions"][1])
    np.testing.assert_array_equal(picture[128:192, :64], frames["originals"][8])


def test_the_users_matplotlibrc_changes_no_picture(numbers, tmp_path):
    drawing.draw("evolve", numbers / "evolve", tmp_path)
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 9\nsavefig.facecolor: red\n")
    code = (
        "import sys; from pathlib import Path; from world_models.reports import drawing; "
        "drawing.draw('evolve', Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    (tmp_path / "other").mkdir()
    subprocess.run(
        [sys.executable, "-c", code, str(numbers / "evolve"), str(tmp_path / "other")],
        cwd=tmp_path,  # Matplotlib reads a matplotlibrc in the working folder
        check=True,
    )
    mine, other = (tmp_path / name for name in ("history.png", "other/history.png"))
    assert mine.read_bytes() == other.read_bytes()
