"""The stage as a function: what it writes, with and without a head for the end."""

import json

import numpy as np
import pandas as pd
import pytest
from test_memory_training import parameters

from world_models.engine.settings import EngineSettings
from world_models.errors import InputError, ParameterError
from world_models.memory.model import Memory
from world_models.stages import mdnrnn
from world_models.stages.command import Context, Input, Outputs
from world_models.storage import artifact
from world_models.storage.latents import LatentsReader, LatentsWriter
from world_models.storage.scratch import Scratch
from world_models.tracking.tracker import Tracker
from world_models.worlds import dream_survival
from world_models.worlds.dream import Dream
from world_models.worlds.episodes import play


def write_latents(out, environment, episodes=6, length=25, actions=1):
    rng = np.random.default_rng(0)
    with (
        artifact.create(
            out,
            kind="latents",
            environment=environment,
            stage="encode",
            parameters={},
            metrics={},
            details={"z_size": 3},
        ) as folder,
        LatentsWriter(folder) as writer,
    ):
        for episode in range(episodes):
            writer.add(
                "shard-00000.h5",
                mu=rng.standard_normal((length + episode, 3), np.float32),
                logvar=np.full((length + episode, 3), -3, np.float32),
                actions=rng.random((length + episode, actions), np.float32),
                rewards=np.ones(length + episode, np.float32),
                seed=episode,
                terminated=episode % 3 > 0,
                truncated=episode % 3 == 0,
            )
    return Input(out, artifact.open_artifact(out, "latents"))


def run(tmp_path, name, environment, latents, **changes):
    out = tmp_path / name
    outputs = Outputs(out / "mdnrnn", out / "mdnrnn.json", out / "reports")
    with Scratch.open(out, "mdnrnn", environment, "0" * 12) as scratch:
        settings = EngineSettings.from_environment({})
        context = Context(environment, Tracker(), settings, scratch)
        mdnrnn.run(parameters(**changes), {"latents": latents}, outputs, context)
    return outputs


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(dream_survival, "DREAMS", 5)


def test_doom_is_written_with_first_frames_and_a_report_on_its_ends(tmp_path):
    latents = write_latents(tmp_path / "latents", "takecover")
    outputs = run(tmp_path, "a", "takecover", latents)
    memory = Memory.load(outputs.artifact, "takecover")
    data = LatentsReader(latents.path).load()
    first = data.mu[data.offsets[:-1]]
    assert memory.initial.mu.shape == (4, 3)
    assert {tuple(row) for row in memory.initial.mu} < {tuple(row) for row in first}
    metrics = json.loads(outputs.metrics.read_text())
    assert np.isfinite(list(metrics.values())).all()
    assert {"nll", "end_rate_predicted", "life_observed", "life_dreamed"} <= metrics.keys()
    card = artifact.open_artifact(outputs.artifact, "mdnrnn")
    assert card.details["cell"] == "lstm"
    assert card.details.keys() > {"device", "formulation", "precision"}
    assert card.metrics == metrics
    assert card.lineage.keys() == {"encode"}
    names = {path.name for path in outputs.reports.iterdir()}
    csv = {"curves.csv", "nll_by_dimension.csv", "risk.csv", "survival.csv"}
    assert names == csv | {"rollout.safetensors"}
    assert pd.read_csv(outputs.reports / "curves.csv")["step"].tolist() == [5, 10, 12]


def test_carracing_has_no_report_on_ends(tmp_path):
    latents = write_latents(tmp_path / "latents", "carracing", actions=3)
    outputs = run(tmp_path, "a", "carracing", latents, restart=False, reward_head=True)
    assert Memory.load(outputs.artifact, "carracing").predicts == {"reward"}
    metrics = json.loads(outputs.metrics.read_text())
    baselines = {"nll_marginal", "nll_persistence", "nll_ar1"}
    assert metrics.keys() == {"nll", "reward_error"} | baselines
    table = pd.read_csv(outputs.reports / "nll_by_dimension.csv")
    for name in baselines | {"nll"}:
        assert metrics[name] == pytest.approx(table[name].mean(), rel=1e-5)
    assert not (outputs.reports / "risk.csv").exists()


def test_a_gru_is_trained_and_dreams(tmp_path):
    latents = write_latents(tmp_path / "latents", "takecover")
    outputs = run(tmp_path, "a", "takecover", latents, cell="gru")
    memory = Memory.load(outputs.artifact, "takecover")
    assert memory.parts == {"h": 8}
    assert artifact.open_artifact(outputs.artifact, "mdnrnn").details["cell"] == "gru"
    dream = Dream(memory, tau=1.0, cap=20, num_envs=4, features="zh")
    outcomes = play(dream, lambda x: np.tanh(x[:, 3:4]), range(4))  # h's first number
    assert (outcomes.lengths >= 1).all()
    assert dream.feature_size == 3 + 8
    with pytest.raises(ParameterError, match="has no part c"):
        Dream(memory, tau=1.0, cap=20, num_envs=4, features="zch")


def test_the_same_work_gives_the_same_bytes(tmp_path):
    latents = write_latents(tmp_path / "latents", "takecover")
    one, other = (run(tmp_path, name, "takecover", latents) for name in "ab")
    for folder in ("artifact", "reports"):
        for path in getattr(one, folder).iterdir():
            assert path.read_bytes() == (getattr(other, folder) / path.name).read_bytes(), path
    assert one.metrics.read_bytes() == other.metrics.read_bytes()


def test_one_episode_is_refused_before_any_work(tmp_path):
    latents = write_latents(tmp_path / "latents", "takecover", episodes=1)
    with pytest.raises(InputError, match="1 episode"):
        run(tmp_path, "a", "takecover", latents)
    assert not (tmp_path / "a" / "mdnrnn").exists()
