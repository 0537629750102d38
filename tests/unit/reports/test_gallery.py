"""The gallery's pictures, and the command that draws them."""

import numpy as np
import pytest
from PIL import Image

import world_models
from world_models.cli import main
from world_models.commands import gallery as command
from world_models.evaluation import insight
from world_models.evaluation.recordings import Recording
from world_models.reports import gallery
from world_models.reports.style import save

NAMES = ["attention", "drift", "surprises", "traversals"]


def test_surprises_stand_apart():
    nll = np.zeros(200, np.float32)
    nll[[50, 51, 52, 100, 180]] = 9, 10, 9, 5, 7
    first = gallery._peaks(nll)[:3]
    assert first == [51, 180, 100]
    steps = sorted(gallery._peaks(nll))
    assert np.diff(steps).min() >= gallery.APART


@pytest.mark.parametrize("steps", [25, 300])
def test_equal_episodes_give_equal_pictures(models, tmp_path, steps):
    agent, written = world_models.load(models), []
    for attempt in ("one", "two"):
        rng = np.random.default_rng(1)
        actions, z = rng.normal(size=(steps, 1)), rng.normal(size=(steps, 4))
        recording = Recording(1, actions.astype(np.float32), z.astype(np.float32))
        frames = rng.integers(0, 256, (steps, 64, 64, 3), np.uint8)
        followed = insight.follow(agent, recording)
        drawn = gallery.pictures(gallery.Played(agent, recording, frames, followed))
        (tmp_path / attempt).mkdir()
        for name, figure in drawn.items():
            save(figure, tmp_path / attempt / f"{name}.png")
        written.append({p.name: p.read_bytes() for p in (tmp_path / attempt).iterdir()})
    assert sorted(written[0]) == [f"{name}.png" for name in NAMES]
    assert written[0] == written[1]


def test_the_command_draws_a_game_and_leaves_other_files(models, tmp_path, capsys):
    out = tmp_path / "pictures"
    out.mkdir()
    (out / "mine.txt").write_text("kept")
    call = ["gallery", "takecover", "--models", str(models), "--out", str(out)]
    with pytest.raises(SystemExit, match="0"):
        main(call)
    assert sorted(p.stem for p in out.glob("*.png")) == NAMES
    assert (out / "mine.txt").read_text() == "kept"
    for path in out.glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) > 300
    assert "return" in capsys.readouterr().err


def test_too_short_an_episode_is_refused(models, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "LEAST", 100_000)
    call = ["gallery", "takecover", "--models", str(models), "--out", str(tmp_path / "pictures")]
    with pytest.raises(SystemExit, match="2"):
        main(call)
    assert "give another --seed" in capsys.readouterr().err
    assert not (tmp_path / "pictures").exists()
