"""The page in a data set's or a model's folder: true, the same each time, and its code runs."""

import hashlib
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from data_sets import make_episode, write_rollouts
from PIL import Image

from world_models.commands.data import card as command
from world_models.errors import InputError
from world_models.reports.readme.front_matter import text as front_matter_of
from world_models.reports.readme.write import write_readme
from world_models.storage import artifact
from world_models.storage.latents import LatentsWriter

EPISODES = [make_episode(seed, length) for seed, length in ((5, 12), (6, 60), (7, 3))]
KINDS = ("rollouts", "latents", "vae", "mdnrnn", "controller")
WRITTEN = {"rollouts": {"README.md", "frames.png"}}


@pytest.fixture(scope="module")
def folders(tmp_path_factory, models) -> dict[str, Path]:
    """A folder of each kind, with its page."""
    base = tmp_path_factory.mktemp("folders")
    found = {kind: base / kind for kind in KINDS}
    for part in ("vae", "mdnrnn", "controller"):
        shutil.copytree(models / part, found[part])
    write_rollouts(found["rollouts"], EPISODES[:2], EPISODES[2:])
    write_latents(found["latents"])
    for folder in found.values():
        write_readme(folder)
    return found


def write_latents(out: Path) -> None:
    metrics = {"episodes": 2, "frames": 7, "mean_abs_mu": 0.5, "active_dimensions": 4}
    details = {"z_size": 4, "action_size": 1}
    with (
        artifact.create(
            out,
            kind="latents",
            environment="takecover",
            stage="encode",
            parameters={"batch_size": 4},
            metrics=metrics,
            details=details,
        ) as folder,
        LatentsWriter(folder) as writer,
    ):
        for seed, length in ((1, 3), (2, 4)):
            writer.add(
                "shard-00000.h5",
                mu=np.full((length, 4), seed, np.float32),
                logvar=np.zeros((length, 4), np.float32),
                actions=np.zeros((length, 1), np.float32),
                rewards=np.ones(length, np.float32),
                seed=seed,
                terminated=True,
                truncated=False,
            )


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def page(folder: Path) -> str:
    return (folder / "README.md").read_text(encoding="utf-8")


def front_matter(folder: Path) -> dict:
    _, block, _ = page(folder).split("---\n", 2)
    return yaml.safe_load(block)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_the_same_elsewhere_and_changes_no_other_file(folders, kind, tmp_path, capsys):
    elsewhere = tmp_path / "another-name"
    shutil.copytree(folders[kind], elsewhere)
    before = digests(elsewhere)
    written = WRITTEN.get(kind, {"README.md"})
    for name in written:
        (elsewhere / name).unlink()
    assert command.run(type("Arguments", (), {"folders": [elsewhere]})()) == 0
    assert digests(elsewhere) == before
    card = artifact.open_artifact(elsewhere, kind)
    assert set(before) == {*card.files, "card.json", *written}
    assert "another-name" in capsys.readouterr().out
    assert str(tmp_path) not in page(elsewhere)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # Gymnasium's checker, on a dream of random M
def test_code_of_the_page_runs_in_the_folder(folders, kind, monkeypatch):
    monkeypatch.chdir(folders[kind])
    blocks = re.findall(r"```python\n(.*?)```", page(folders[kind]), re.DOTALL)
    assert len(blocks) == 2
    found: dict = {}
    for block in blocks:
        exec(block, found)
    if kind == "rollouts":
        for name in ("frames", "actions", "rewards"):
            np.testing.assert_array_equal(found[name], getattr(EPISODES[0], name))
            np.testing.assert_array_equal(getattr(found["episode"], name), found[name])
    elif kind == "latents":
        assert (found["z"].shape, len(found["shard"]["actions"])) == ((3, 4), 7)
        assert len(found["mu"]) == 3
        assert found["latents"].seeds.tolist() == [1, 2]
    elif kind == "controller":
        np.testing.assert_array_equal(found["controller"].theta, found["theta"])
    elif kind == "vae":
        assert found["frames"].shape == (1, 64, 64, 3)
        assert found["weights"]["heads.mu.weight"].shape[0] == found["mu"].shape[1]
    else:
        assert found["features"].shape == (4 + 2 * 8,)
        assert found["weights"]["w_h"].shape[0] == 4 * 8


def test_front_matter_says_what_the_hub_asks_for(folders):
    data, model = front_matter(folders["rollouts"]), front_matter(folders["controller"])
    assert data["license"] == model["license"] == "mit"
    assert data["size_categories"] == ["n<1K"]
    assert data["configs"] == [{"config_name": "episodes", "data_files": "index.parquet"}]
    assert data["task_categories"] == [model["pipeline_tag"]] == ["reinforcement-learning"]
    assert {"carracing", "arxiv:1803.10122"} <= set(data["tags"])
    assert front_matter(folders["latents"])["viewer"] is False


@pytest.mark.parametrize(("world", "dataset"), [("dream", "takecover-dream"), (None, "takecover")])
def test_a_return_in_a_dream_is_not_called_one_of_the_game(models, world, dataset):
    card = artifact.open_artifact(models / "controller", "controller")
    parameters = {"world": world or "reality"}
    scored = replace(card, metrics={"validation": 12.5}, parameters=parameters)
    (index,) = yaml.safe_load(front_matter_of(scored, "Doom").strip("-\n"))["model-index"]
    (result,) = index["results"]
    assert result["dataset"]["type"].startswith(dataset)
    assert ("dream" in result["dataset"]["name"]) == (world == "dream")
    assert result["metrics"][0]["value"] == 12.5


def test_figures_are_those_of_the_episodes(folders):
    text = page(folders["rollouts"])
    assert "# CarRacing-v3: 3 episodes" in text
    assert "75 frames, in 2 shards" in text
    returns = sorted(float(episode.rewards.sum()) for episode in EPISODES)
    row = next(line for line in text.splitlines() if line.startswith("| return "))
    cells = [float(cell) for cell in row.split("|")[2:-1]]
    expected = [returns[0], np.mean(returns), returns[1], returns[2]]
    assert cells == pytest.approx(expected, rel=1e-3)
    assert "Ended: 1 stopped, 1 terminated, 1 truncated." not in text
    assert "Ended: 2 stopped, 1 terminated." in text
    assert "seeds 5 to 7" in text


def test_contact_sheet_shows_the_first_and_the_last_frame(folders):
    sheet = np.asarray(Image.open(folders["rollouts"] / "frames.png"))
    assert sheet.shape == (3 * 64, 10 * 64, 3)
    for row, episode in enumerate(EPISODES):
        tall = slice(64 * row, 64 * (row + 1))
        np.testing.assert_array_equal(sheet[tall, :64], episode.frames[0])
        np.testing.assert_array_equal(sheet[tall, -64:], episode.frames[-1])


def test_another_folder_is_refused(tmp_path):
    (tmp_path / "card.json").write_text('{"kind": "films"}')
    with pytest.raises(InputError, match="'films'"):
        write_readme(tmp_path)
    assert not (tmp_path / "README.md").exists()
