"""The stage on small data sets: real simulators, engine and scratch; bytes compared."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest

from world_models.engine.settings import EngineSettings
from world_models.envs import catalogue
from world_models.envs.parameters import RolloutsParameters
from world_models.envs.policies import make_policy
from world_models.errors import Interrupted, ParameterError
from world_models.schema import validate
from world_models.seeding import episode_seeds, stream
from world_models.stages import rollouts
from world_models.stages.command import Context, Outputs
from world_models.storage.artifact import open_artifact
from world_models.storage.episodes import EpisodeReader
from world_models.storage.scratch import Scratch
from world_models.tracking.tracker import Tracker

VALUES = {
    "episodes": 12,
    "max_steps": 200,
    "patience": None,
    "min_length": 1,
    "behaviour": "held",
    "hold_min": 1,
    "hold_max": 10,
    "renderer": "fast",
    "shard_episodes": 5,
    "seed": 1,
}


def parameters(**changes):
    return RolloutsParameters(**(VALUES | changes))


class StopAfter(Tracker):
    """Reports nothing; interrupts the stage when so many shards are stored."""

    def __init__(self, shards=None):
        super().__init__()
        self.left = shards

    def log_metrics(self, metrics, step=0):
        if self.left is not None:
            self.left -= 1
            if self.left == 0:
                raise Interrupted


def run(out, chosen, *, environment="takecover", workers=1, tracker=None):
    outputs = Outputs(out / "data", out / "metrics.json", out / "reports")
    settings = EngineSettings(workers=workers, scheduler=None, timeout=300)
    with Scratch.open(out, "rollouts", environment, "0" * 64) as scratch:
        context = Context(environment, tracker or StopAfter(), settings, scratch)
        rollouts.run(chosen, {}, outputs, context)
    return outputs


def digests(outputs):
    files = [outputs.metrics, *outputs.artifact.rglob("*"), *outputs.reports.rglob("*")]
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files if p.is_file()}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return run(tmp_path_factory.mktemp("made"), parameters())


def test_the_artifact_and_its_card(made):
    card = open_artifact(made.artifact, "rollouts", "takecover")
    assert card.details["simulator"]["vizdoom"][0].isdigit()
    assert card.details["policy"] == "held"
    assert card.details["seeds"]["count"] == 12
    assert card.details["action_size"] == 1
    assert sorted(card.files) == ["index.parquet", *(f"shard-0000{k}.h5" for k in range(3))]
    index = EpisodeReader(made.artifact).index
    assert index["seed"].tolist() == episode_seeds("rollouts", 1, 0, 12).tolist()
    assert index["shard"].value_counts().sort_index().tolist() == [5, 5, 2]
    metrics = json.loads(made.metrics.read_text())
    assert metrics == card.metrics
    assert metrics["episodes"] == 12
    assert metrics["dropped"] == 0
    assert metrics["frames"] == index["length"].sum()
    assert metrics["return_mean"] == pytest.approx(index["return"].mean())
    assert metrics["return_se"] == pytest.approx(index["return"].std() / np.sqrt(12))
    assert metrics["terminated"] == (index["ended"] == "terminated").mean()


def test_reports_hold_a_table_and_frames_to_draw(made):
    table = pd.read_csv(made.reports / "episodes.csv")
    assert table.columns.tolist() == ["episode", "length", "return", "ended"]
    assert set(table["ended"]) <= {"terminated", "stopped"}
    assert {p.suffix for p in made.reports.iterdir()} == {".csv", ".safetensors"}


def test_an_episode_is_what_the_simulator_gives_to_the_policy_alone(made):
    reader = EpisodeReader(made.artifact)
    simulator = catalogue.create("takecover", "fast")
    where = catalogue.specification("takecover")
    for number in (3, 7):
        episode = reader.episode(number)
        policy = make_policy("held", where, stream(episode.seed, "random policy"))
        frame, _ = simulator.reset(seed=episode.seed)
        for t in range(len(episode)):
            np.testing.assert_array_equal(episode.frames[t], frame)
            action = policy()
            np.testing.assert_array_equal(episode.actions[t], action)
            frame, reward, terminated, *_ = simulator.step(action)
            assert episode.rewards[t] == reward
        assert episode.terminated == terminated
        assert terminated or len(episode) == VALUES["max_steps"]
    simulator.close()


def test_two_workers_give_the_same_bytes(made, tmp_path):
    assert digests(run(tmp_path, parameters(), workers=2)) == digests(made)


def test_an_interrupted_run_goes_on(made, tmp_path):
    with pytest.raises(Interrupted):
        run(tmp_path, parameters(), tracker=StopAfter(2))
    assert not (tmp_path / "data").exists()
    tracker = StopAfter(2)  # one shard is left: this does not interrupt
    assert digests(run(tmp_path, parameters(), tracker=tracker)) == digests(made)
    assert tracker.left == 1


def test_short_episodes_are_dropped(tmp_path, made):
    lengths = EpisodeReader(made.artifact).index["length"]
    least = int(lengths.sort_values().iloc[2])
    assert least < VALUES["max_steps"], "the test needs deaths"
    out = run(tmp_path, parameters(min_length=least, shard_episodes=1))
    index = EpisodeReader(out.artifact).index
    assert index["length"].tolist() == lengths[lengths >= least].tolist()
    assert json.loads(out.metrics.read_text())["dropped"] == (lengths < least).sum()


def test_nothing_long_enough(tmp_path):
    chosen = parameters(episodes=1, max_steps=2100, min_length=2100)
    with pytest.raises(ParameterError, match="min_length = 2100"):
        run(tmp_path, chosen)
    assert not (tmp_path / "data").exists()


def test_carracing(tmp_path):
    chosen = parameters(episodes=3, max_steps=20, behaviour="brownian", shard_episodes=2)
    out = run(tmp_path, chosen, environment="carracing")
    card = open_artifact(out.artifact, "rollouts", "carracing")
    assert card.details["action_size"] == 3
    assert card.metrics["frames"] == 60


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hold_min": 11}, "hold_min 11 is above hold_max 10"),
        ({"min_length": 201}, "min_length 201 is above max_steps 200"),
        ({"behaviour": "clever"}, "takecover.rollouts.behaviour = 'clever'"),
        ({"episodes": 0}, "takecover.rollouts.episodes = 0"),
        ({"max_steps": 0}, "takecover.rollouts.max_steps = 0"),
        ({"speed": 1}, "takecover.rollouts.speed: unknown"),
        ({"policy": "controller"}, "takecover.rollouts.policy: unknown"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ParameterError, match=message):
        validate(RolloutsParameters, VALUES | changes, "takecover.rollouts")
