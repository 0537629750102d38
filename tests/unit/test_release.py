"""Releases of a small agent: half the bytes, nearly the same actions, and scores to check."""

import json
import re
import shutil
import statistics
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import world_models
from world_models import cli
from world_models.agent import PARTS, Agent, find
from world_models.errors import InputError
from world_models.evaluation import published, tasks
from world_models.evaluation.published import Deviation
from world_models.evaluation.statistics import Score
from world_models.evaluation.trials import Trial
from world_models.origin import digests
from world_models.seeding import FRESH, SPLITS, episode_seeds
from world_models.storage import artifact, tensors
from world_models.vision.network import PAPER_CHANNELS, parts

EVALUATE = {
    "episodes": 4,
    "random_episodes": 3,
    "random_policy": "uniform",
    "latent": "mean",
    "dream_episodes": 3,
    "tau": 1.1,
    "ends": "threshold",
    "disturbance": "none",
    "strength": 0.0,
    "batch": 2,
    "videos": 1,
    "seed": 8,
}
AGENT = {"mean": 300.0, "sd": 100.0, "se": 50.0, "n": 4, "length": 300.0}
SCORES = {
    "agent": AGENT,
    "random": AGENT | {"mean": 200.0, "n": 3},
    "dream": AGENT | {"mean": 400.0, "n": 3},
}


def _run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in words])
    return int(ended.value.code or 0)


def _release(models: Path, root: Path, scores=SCORES, *more: str) -> int:
    """Call ``world-models release`` with scores; the release goes to ``root/released``."""
    metrics, params = root / "evaluate.json", root / "params.yaml"
    metrics.write_text(json.dumps(scores))
    params.write_text(yaml.safe_dump({"takecover": {"evaluate": EVALUATE}}))
    where = (
        "--models",
        models,
        "--metrics",
        metrics,
        "--params",
        params,
        "--to",
        root / "released",
    )
    return _run("release", "takecover", *where, *more)


@pytest.fixture(scope="module")
def released(models, tmp_path_factory) -> Path:
    """A release that tests read; who changes it, copies it."""
    root = tmp_path_factory.mktemp("project")
    assert _release(models, root, SCORES, "--cost", "2 core-minutes", "--note", "A note.") == 0
    return root / "released/takecover"


@pytest.fixture
def project(released, tmp_path, monkeypatch) -> Path:
    """A clone that holds a release alone, as the working folder."""
    shutil.copytree(released, tmp_path / "released/takecover")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


def test_release_is_half_as_large(models, released):
    def size(folder):
        return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

    assert size(released) < 0.503 * size(models)


def test_weights_are_rounded_to_half_precision_and_read_as_float32(models, released):
    files = [path.relative_to(released) for path in released.rglob("*.safetensors")]
    assert len(files) == 4
    for name in files:
        before, after = tensors.load(models / name), tensors.load(released / name)
        assert before.keys() == after.keys()
        for key, array in before.items():
            assert after[key].dtype == np.float32
            expected = torch.from_numpy(array).half().float().numpy()
            np.testing.assert_array_equal(after[key], expected)


def test_cards_keep_what_made_the_agent_and_say_the_precision(models, released):
    for part in PARTS:
        before = artifact.open_artifact(models / part, part)
        after = artifact.open_artifact(released / part, part)
        assert after.lineage == before.lineage
        assert (after.parameters, after.metrics) == (before.parameters, before.metrics)
        own = {"precision": "float16", "original": before.digest()}
        assert after.details == before.details | own
        assert after.files.keys() == before.files.keys()


def test_released_agent_acts_nearly_as_the_trained_one(models, released):
    trained, agent = Agent.load(models), Agent.load(released)
    assert agent.vision.choice == trained.vision.choice
    assert agent.memory.choice == trained.memory.choice
    assert agent.latent == trained.latent
    random, states, largest = np.random.default_rng(3), [None, None], 0.0
    for _ in range(20):
        frames = random.integers(0, 256, (8, 64, 64, 3), np.uint8)
        (one, states[0]), (two, states[1]) = (
            each.act(frames, state) for each, state in zip((trained, agent), states, strict=True)
        )
        largest = max(largest, float(np.abs(one - two).max()))
    assert 0 < largest < 0.01


def test_the_page_says_what_is_known(released):
    page = (released / "README.md").read_text()
    for fact in (
        "| trained agent       | 300 ± 50    | 100  | 4   |",
        "| agent, in the dream | 400 ± 50 ",
        "2 core-minutes",
        "A note.",
        "C sees the mean of z",
        f"S is\n{FRESH} unless",
        "world-models verify takecover",
        f"{sum(parts(4, PAPER_CHANNELS).values()):,}",  # V's weights
        "not recorded",  # this V's card says nothing of its steps
    ):
        assert fact in page, fact
    assert "{" not in page


def test_the_page_knows_data_that_others_collected(models, tmp_path):
    """As a data set that was imported leaves it in the cards of what was trained on it."""
    copy = shutil.copytree(models, tmp_path / "models")
    said = {
        "parameters": {"shard_episodes": 50},
        "metrics": {"episodes": 12, "frames": 3456, "return_mean": 78.0},
        "digest": "0" * 64,
    }
    path = copy / "controller" / artifact.CARD
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"lineage": {"import": said} | card["lineage"]}))
    assert _release(copy, tmp_path) == 0
    page = (tmp_path / "released/takecover/README.md").read_text()
    assert re.search(r"\| import +\| episodes of a Minari data set +\| 12 episodes, 3,456", page)


@pytest.mark.parametrize("name", ["vae/weights.safetensors", "controller/theta.safetensors"])
def test_damaged_file_is_refused(project, capsys, name):
    path = project / "released/takecover" / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert _run("watch", "takecover") == 2
    assert f"{name} is damaged" in capsys.readouterr().err


def test_watch_and_dream_take_the_released_agent_and_say_so(project, capsys):
    for words in (("watch", "--renderer", "fast"), ("dream",)):
        assert _run(words[0], "takecover", *words[1:], "--json") == 0
        said = capsys.readouterr()
        assert len(json.loads(said.out)["episodes"]) == 1
        assert said.err.splitlines()[0].endswith("released/takecover")


def test_a_trained_agent_comes_first_and_half_of_one_does_not(project, models):
    assert find("takecover") == project / "released/takecover"
    shutil.copytree(models / "vae", project / "models/takecover/vae")
    assert find("takecover") == project / "released/takecover"
    for part in ("mdnrnn", "controller"):
        shutil.copytree(models / part, project / "models/takecover" / part)
    assert find("takecover") == project / "models/takecover"
    theta = world_models.load("takecover").controller.theta
    np.testing.assert_array_equal(theta, Agent.load(models).controller.theta)


def test_without_any_agent_the_error_says_what_to_do(project, capsys):
    shutil.rmtree(project / "released")
    assert _run("dream", "takecover") == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    for word in ("models/takecover lacks vae, mdnrnn, controller", "make run", "git checkout"):
        assert word in said


@pytest.mark.slow
def test_verify_plays_fresh_seeds_as_published_and_computes_the_deviation(
    project, capsys, monkeypatch
):
    monkeypatch.setenv("WORLD_MODELS_WORKERS", "1")
    path = project / "released/takecover/release.json"
    path.write_text(path.read_text().replace('"mean": 300.0', '"mean": 3000.0'))
    assert _run("verify", "takecover", "--episodes", "3", "--json") == 1
    said = json.loads(capsys.readouterr().out)
    assert [episode["seed"] for episode in said["episodes"]] == [FRESH, FRESH + 1, FRESH + 2]
    returns = [episode["return"] for episode in said["episodes"]]
    assert returns == _play(Agent.load(project / "released/takecover"))
    mean, se = statistics.mean(returns), statistics.stdev(returns) / sqrt(len(returns))
    assert said["difference"] == pytest.approx(mean - 3000)
    assert said["se"] == pytest.approx(sqrt(se**2 + AGENT["se"] ** 2))
    assert said["in_errors"] == pytest.approx(said["difference"] / said["se"])
    assert not said["agrees"]


def _play(agent: Agent) -> list[float]:
    """Returns of the first three fresh seeds, in the batches and with the latent published."""
    task = tasks.in_reality(agent, EVALUATE["batch"], EVALUATE["latent"])
    arena = task.setup(task.payload)
    batches = (FRESH + np.arange(2), FRESH + np.arange(2, 3))
    played = [task.work(arena, Trial(agent.controller.theta, seeds)) for seeds in batches]
    arena.world.close()
    return [x for unit in played for x in unit.outcomes.returns]


def test_seeds_beyond_the_largest_are_refused(project, capsys):
    words = ("--episodes", "2", "--first-seed", str(2**31 - 1))
    assert _run("verify", "takecover", *words) == 2
    assert "smaller --first-seed" in capsys.readouterr().err


def test_no_stage_can_use_the_seeds_of_verify():
    for split in SPLITS:
        for seed in (0, 1, 10_000, 2**31 - 1):
            assert episode_seeds(split, seed, 2**20, 100_000).max() < FRESH


@pytest.mark.parametrize(
    ("before", "after", "difference", "in_errors", "agrees"),
    [
        ((100, 3), (112, 4), 12, 2.4, True),
        ((100, 3), (84, 4), -16, -3.2, False),
        ((100, 0), (100, 0), 0, 0, True),
        ((100, 0), (99, 0), -1, -np.inf, False),
    ],
)
def test_deviation(before, after, difference, in_errors, agrees):
    scores = (Score(mean, 30.0, se, 100, 100.0) for mean, se in (before, after))
    found = Deviation.between(*scores)
    assert found.difference == difference
    assert found.in_errors == pytest.approx(in_errors)
    assert found.agrees == agrees


def test_scores_of_other_weights_are_refused(project):
    folder = project / "released/takecover"
    path = folder / "controller/card.json"
    path.write_text(path.read_text().replace('"loss": 1.5', '"loss": 1.6'))
    with pytest.raises(InputError, match="not those of the V, M and C beside it"):
        published.read(folder, "takecover")


@pytest.mark.parametrize("content", ["no JSON", "[]", '{"format": 1}'])
def test_damaged_scores_are_one_line(project, capsys, content):
    (project / "released/takecover/release.json").write_text(content)
    assert _run("verify", "takecover") == 2
    said = capsys.readouterr().err
    assert "release.json cannot be read" in said
    assert said.count("\n") == 1


def _other_vae(models: Path) -> str:
    """V of another run in place of that which C was evolved with."""
    path = models / "vae/card.json"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    return "was not made from"


def _too_large(models: Path) -> str:
    """A weight that float16 does not reach, and a card that says so."""
    path = models / "controller/theta.safetensors"
    theta = tensors.load(path)["theta"]
    theta[3] = 70_000
    tensors.save(path, {"theta": theta})
    card = json.loads((models / "controller/card.json").read_text())
    card["files"] = {path.name: artifact.file_digest(path)}
    (models / "controller/card.json").write_text(json.dumps(card))
    return "float16 ends at 65504"


def _damaged(models: Path) -> str:
    (models / "mdnrnn/weights.safetensors").write_bytes(b"")
    return "is damaged"


@pytest.mark.parametrize("change", [_other_vae, _too_large, _damaged])
def test_models_that_cannot_be_released_leave_the_last_release(models, project, capsys, change):
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    copy = project / "copy"
    shutil.copytree(models, copy)
    said = change(copy)
    assert _release(copy, project) == 2
    assert said in capsys.readouterr().err
    shutil.rmtree(copy)
    after = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}
    given = {project / "evaluate.json", project / "params.yaml"}
    assert {path: data for path, data in after.items() if path not in given} == before


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ({"agent": AGENT}, "no scores of agent and random policy"),
        (SCORES | {"agent": AGENT | {"n": 100}}, "is of 100 and 3 episodes, the parameters say 4"),
    ],
)
def test_scores_of_other_parameters_are_refused(models, tmp_path, capsys, scores, said):
    assert _release(models, tmp_path, scores) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "released/takecover").exists()


def test_scores_of_other_models_are_refused(models, project, capsys):
    """DVC's lock file knows what a score is of; what it does not know is taken on trust."""
    own = shutil.copytree(models, project / "models/takecover")
    (project / "evaluate.json").write_text(json.dumps(SCORES))
    md5 = {p: digests.of_disk(own / p) for p in PARTS}
    deps = [{"path": f"models/takecover/{part}", "md5": digest} for part, digest in md5.items()]
    score = {"path": "evaluate.json", "md5": digests.of_disk(project / "evaluate.json")}
    stage = {"cmd": "x", "deps": deps, "outs": [score]}
    (project / "dvc.lock").write_text(yaml.safe_dump({"stages": {"evaluate@takecover": stage}}))
    assert _release(own, project) == 0
    assert "on trust" not in capsys.readouterr().err
    assert _release(own, project, SCORES | {"agent": AGENT | {"mean": 99999.0}}) == 2
    assert "has been changed since evaluate@takecover wrote it" in capsys.readouterr().err
    other = shutil.copytree(models, project / "models/other")
    assert _release(other, project) == 0  # the same, wherever it lies
    card = other / "controller/card.json"
    card.write_text(card.read_text() + " ")
    assert _release(other, project) == 2
    assert f"{other}/controller is not what" in capsys.readouterr().err
    (project / "dvc.lock").unlink()
    assert _release(other, project) == 0
    assert "taken on trust" in capsys.readouterr().err


def test_parameters_may_be_those_of_an_experiment(models, tmp_path, capsys):
    overlay = tmp_path / "overlay.yaml"
    changed = {"foggy": {"disturbance": "noise", "strength": 0.1}, "sampled": {"latent": "sample"}}
    overlay.write_text(yaml.safe_dump({key: {"evaluate": v} for key, v in changed.items()}))
    assert _release(models, tmp_path, SCORES, "--overlay", f"{overlay}:foggy") == 2
    assert "evaluate.disturbance = 'noise'" in capsys.readouterr().err
    assert _release(models, tmp_path, SCORES, "--overlay", f"{overlay}:sampled") == 0
    assert published.read(tmp_path / "released/takecover", "takecover").latent == "sample"
