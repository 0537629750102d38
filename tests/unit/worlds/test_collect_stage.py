"""Stage collect by its own command line: a small real agent, real artifacts; bytes compared."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from world_models.agent import Agent
from world_models.engine.settings import EngineSettings
from world_models.envs import catalogue
from world_models.schema import read_yaml
from world_models.seeding import episode_seeds
from world_models.stages import encode
from world_models.stages.command import Context, Input, Outputs
from world_models.storage.artifact import open_artifact
from world_models.storage.episodes import EpisodeReader
from world_models.storage.latents import LatentsReader
from world_models.storage.scratch import Scratch
from world_models.tracking.tracker import Tracker
from world_models.vision.encode_parameters import EncodeParameters

ROOT = Path(__file__).resolve().parents[3]
VALUES = {
    "episodes": 5,
    "max_steps": 40,
    "patience": None,
    "min_length": 1,
    "latent": "mean",
    "noise": 0.0,
    "renderer": "fast",
    "shard_episodes": 3,
    "seed": 7,
}


def collect(models: Path, folder: Path, workers: int, *more: str, **changes: float) -> Outputs:
    parameters = read_yaml(ROOT / "params.yaml")
    parameters["takecover"]["collect"] = VALUES | changes
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump(parameters, file)
    outputs = Outputs(folder / "data", folder / "metrics.json", folder / "reports")
    command = [sys.executable, "-m", "world_models.stages.collect", "--environment", "takecover"]
    for name in ("vae", "mdnrnn", "controller"):
        command += [f"--{name}", str(models / name)]
    command += ["--out", str(outputs.artifact), "--metrics", str(outputs.metrics)]
    command += ["--reports", str(outputs.reports), *more]
    settings = {"WORLD_MODELS_WORKERS": str(workers), "WORLD_MODELS_TRACKING": "off"}
    subprocess.run(command, check=True, cwd=folder, env=os.environ | settings)
    return outputs


@pytest.fixture(scope="module")
def made(models, tmp_path_factory):
    return collect(models, tmp_path_factory.mktemp("made"), workers=1)


def digests(outputs: Outputs) -> dict[str, str]:
    files = [outputs.metrics, *outputs.artifact.rglob("*"), *outputs.reports.rglob("*")]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files if p.is_file()}


def test_two_workers_give_the_same_bytes(models, made, tmp_path):
    assert digests(collect(models, tmp_path, workers=2)) == digests(made)


def test_the_card_says_who_acted_and_what_made_the_agent(made):
    card = open_artifact(made.artifact, "rollouts", "takecover")
    assert card.stage == "collect"
    assert card.parameters == VALUES
    assert card.lineage.keys() == {"before.vae", "before.mdnrnn", "before.evolve"}
    assert card.details["sources"] == [{"policy": "agent", "episodes": 5}]
    assert card.details["policy"] == "agent"
    assert card.details["action_size"] == 1
    assert {card.details[part]["device"] for part in "VM"} == {"cpu"}


def test_an_agent_answers_to_what_it_sees_in_the_same_batch_bit_for_bit(models, made):
    """The frames that are stored, shown to the agent in batches as they were, and in no world."""
    agent = Agent.load(models)
    reader = EpisodeReader(made.artifact)
    assert reader.index["seed"].tolist() == episode_seeds("rollouts", 7, 0, 5).tolist()
    for shard in ([0, 1, 2], [3, 4]):
        episodes, state = [reader.episode(i) for i in shard], None
        assert {len(episode) for episode in episodes} == {VALUES["max_steps"]}, "none has died"
        for t in range(VALUES["max_steps"]):
            actions, state = agent.act(np.stack([e.frames[t] for e in episodes]), state)
            np.testing.assert_array_equal(np.stack([e.actions[t] for e in episodes]), actions)
        assert min(len(np.unique(e.actions)) for e in episodes) > 10, "C answers to what it sees"


def test_an_episode_is_what_the_simulator_does_with_these_actions(made):
    reader = EpisodeReader(made.artifact)
    simulator = catalogue.create("takecover", "fast")
    for number in (0, 4):
        episode = reader.episode(number)
        frame, _ = simulator.reset(seed=episode.seed)
        for t, action in enumerate(episode.actions):
            np.testing.assert_array_equal(episode.frames[t], frame)
            frame, reward, *_ = simulator.step(action)
            assert episode.rewards[t] == reward
    simulator.close()


def test_encode_reads_it_like_rollouts(models, made, tmp_path):
    inputs = {
        "rollouts": Input(made.artifact, open_artifact(made.artifact, "rollouts", "takecover")),
        "vae": Input(models / "vae", open_artifact(models / "vae", "vae", "takecover")),
    }
    outputs = Outputs(tmp_path / "latents", tmp_path / "metrics.json", tmp_path / "reports")
    with Scratch.open(tmp_path, "encode", "takecover", "0" * 64) as scratch:
        settings = EngineSettings(workers=1, scheduler=None, timeout=300)
        context = Context("takecover", Tracker(), settings, scratch)
        encode.run(EncodeParameters(seed=1, batch_size=64), inputs, outputs, context)
    card = open_artifact(outputs.artifact, "latents", "takecover")
    before = {"before.vae", "before.mdnrnn", "before.evolve"}
    assert card.lineage.keys() == {"collect", "vae", *before}
    frames = EpisodeReader(made.artifact).frames_total
    assert len(LatentsReader(outputs.artifact).load().mu) == frames == 5 * VALUES["max_steps"]


def test_earlier_episodes_come_first_as_they_were(models, made, tmp_path):
    outputs = collect(models, tmp_path, 1, "--earlier", str(made.artifact), "--offset", "1")
    both, first = EpisodeReader(outputs.artifact), EpisodeReader(made.artifact)
    assert len(both) == 10
    new = episode_seeds("rollouts", VALUES["seed"] + 1, 0, 5).tolist()
    assert both.index["seed"].tolist() == first.index["seed"].tolist() + new
    for number in range(5):
        np.testing.assert_array_equal(both.episode(number).frames, first.episode(number).frames)
    card = open_artifact(outputs.artifact, "rollouts", "takecover")
    assert card.details["sources"] == 2 * [{"policy": "agent", "episodes": 5}]
    assert card.parameters["seed"] == VALUES["seed"] + 1
    assert card.metrics["episodes"] == 5, "metrics are of the new ones"


def test_episodes_that_were_played_before_are_refused(models, made, tmp_path):
    with pytest.raises(subprocess.CalledProcessError) as caught:
        collect(models, tmp_path, 1, "--earlier", str(made.artifact))
    assert caught.value.returncode == 2
    assert not (tmp_path / "data").exists()


def test_noise_is_random_spells_and_m_sees_what_was_done(models, made, tmp_path):
    outputs = collect(models, tmp_path, 1, noise=0.5)
    noisy, calm = EpisodeReader(outputs.artifact), EpisodeReader(made.artifact)
    agent, state = Agent.load(models), None
    episodes = [noisy.episode(i) for i in (3, 4)]
    others = 0
    for t in range(20):
        actions, state = agent.act(np.stack([e.frames[t] for e in episodes]), state)
        taken = np.stack([e.actions[t] for e in episodes])
        others += int((actions != taken).sum())
        if (actions != taken).any():
            break
    assert others, "some actions are not C's"
    assert not np.array_equal(noisy.episode(0).actions, calm.episode(0).actions)
