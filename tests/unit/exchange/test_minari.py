"""Minari: its own functions open what is exported, and what comes back is what went out."""

import json
from dataclasses import replace
from pathlib import Path

import minari
import numpy as np
import pytest
from data_sets import make_episode, write_rollouts
from gymnasium import spaces
from minari.data_collector import EpisodeBuffer

from world_models import cli
from world_models.errors import InputError, UserError
from world_models.exchange import library, minari_export
from world_models.exchange.minari_import import open_source
from world_models.exchange.store import store
from world_models.storage.artifact import open_artifact
from world_models.storage.episodes import EpisodeReader

NAME = "world-models/carracing-v3"
EPISODES = [make_episode(seed, length) for seed, length in ((9, 6), (4, 51), (3, 1), (7, 12))]


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """The folder where Minari looks."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


@pytest.fixture(scope="module")
def rollouts(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("data") / "rollouts"
    write_rollouts(out, EPISODES[:2], EPISODES[2:])
    return out


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["data", *map(str, words)])
    return int(ended.value.code or 0)


def test_minari_opens_the_export_with_all_metadata(rollouts, root, capsys):
    assert run("export", rollouts, NAME) == 0
    assert NAME in capsys.readouterr().out
    assert list(minari.list_local_datasets()) == [NAME]
    data = minari.load_dataset(NAME)
    assert (data.total_episodes, data.total_steps) == (4, 70)
    assert data.observation_space == spaces.Box(0, 255, (64, 64, 3), np.uint8)
    assert data.env_spec.id == "WorldModels/CarRacing-v3"
    assert data.env_spec.kwargs == {"renderer": "fast"}
    assert data.storage.metadata["algorithm_name"] == "held"
    assert data.storage.metadata["requirements"] == ["gymnasium==1.4.0"]
    card = open_artifact(rollouts, "rollouts")
    assert data.storage.metadata["world_models"]["digest"] == card.digest()
    assert data.storage.metadata["world_models"]["parameters"] == card.parameters
    for ours, theirs in zip(EPISODES, data, strict=True):
        np.testing.assert_array_equal(theirs.observations[:-1], ours.frames)
        np.testing.assert_array_equal(theirs.observations[-1], ours.frames[-1])
        np.testing.assert_array_equal(theirs.actions, ours.actions)
        assert not theirs.terminations[:-1].any()
        assert theirs.terminations[-1] == ours.terminated
        assert str(theirs)  # Minari prints it


def test_round_trip_is_equal(rollouts, root, tmp_path, capsys):
    assert run("export", rollouts, NAME) == 0
    out = tmp_path / "back"
    words = ("--environment", "carracing", "--shard-episodes", 3)
    assert run("import", NAME, out, *words) == 0
    assert "4 episodes, 70 frames" in capsys.readouterr().out
    card = open_artifact(out, "rollouts", "carracing")
    assert (card.stage, card.details["action_size"], card.details["policy"]) == (
        "import",
        3,
        "held",
    )
    assert card.details["source"]["seeds"] == "of the source"
    assert not card.details["source"]["lossy"]
    with EpisodeReader(out) as reader:
        assert reader.index["shard"].nunique() == 2
        for number, expected in enumerate(EPISODES):
            found = reader.episode(number)
            for name in ("frames", "actions", "rewards"):
                assert getattr(found, name).dtype == getattr(expected, name).dtype
                np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
            for name in ("seed", "terminated", "truncated"):
                assert getattr(found, name) == getattr(expected, name)
    assert "Imported by `world-models data import`" in (out / "README.md").read_text()
    assert run("import", NAME, out, *words) == 2  # it is there
    assert run("export", rollouts, NAME) == 2


HALVES = np.zeros((96, 128, 3), np.uint8)
HALVES[:, :64, 0], HALVES[:, 64:, 2] = 200, 100
PARTS = spaces.Dict(
    {"pixels": spaces.Box(0, 255, (96, 128, 3), np.uint8), "speed": spaces.Box(0, 1)}
)


def record(name: str, observations: spaces.Space, actions: spaces.Space, steps: int = 5) -> None:
    """A data set that Minari itself wrote, of two episodes without seeds."""
    seen = {
        "pixels": np.stack([HALVES] * (steps + 1)),
        "speed": np.zeros((steps + 1, 1), np.float32),
    }
    ends = np.arange(steps) == steps - 1
    episode = EpisodeBuffer(
        observations=seen if isinstance(observations, spaces.Dict) else seen["speed"],
        actions=np.arange(steps) % 3,
        rewards=np.full(steps, 0.5),
        terminations=ends,
        truncations=np.zeros(steps, np.bool_),
        infos={},
    )
    minari.create_dataset_from_buffers(
        name,
        [episode, replace(episode)],
        observation_space=observations,
        action_space=actions,
        jpeg_encoding=False,
    )


@pytest.mark.filterwarnings("ignore:.*(None|create_dataset).*:UserWarning")
def test_what_others_recorded_becomes_frames_and_vectors(root, tmp_path):
    record("others-v0", PARTS, spaces.Discrete(3))
    source = open_source("others-v0", "takecover", None)
    card = store(source, tmp_path / "out", "takecover", 1)
    assert card.details["source"]["seeds"] == "numbers of the episodes"
    assert card.details["source"]["resized"]
    assert (card.metrics["episodes"], card.metrics["return_mean"]) == (2, 2.5)
    with EpisodeReader(tmp_path / "out") as reader:
        episode = reader.episode(1)
    assert (episode.seed, episode.terminated, episode.truncated) == (1, True, False)
    assert (episode.frames[:, :, :32] == [200, 0, 0]).all()
    assert (episode.frames[:, :, 32:] == [0, 0, 100]).all()
    expected = np.array([-2 / 3, 0, 2 / 3, -2 / 3, 0], np.float32)[:, None]
    np.testing.assert_allclose(episode.actions, expected, atol=1e-6)
    # By its folder, and of an environment that nobody here knows: numbered actions are one-hot.
    source = open_source(str(root / "others-v0"), "elsewhere", "pixels")
    np.testing.assert_array_equal(next(source.episodes()).actions[:3], np.eye(3))


@pytest.mark.filterwarnings("ignore:.*(None|create_dataset).*:UserWarning")
def test_what_cannot_be_used_is_refused_in_words(root):
    record("blind-v0", spaces.Box(0, 1), spaces.Discrete(3))
    with pytest.raises(InputError, match="RGB pictures"):
        open_source("blind-v0", "takecover", None)
    record("many-v0", PARTS, spaces.Discrete(4))
    with pytest.raises(InputError, match="4 actions"):
        open_source("many-v0", "takecover", None)
    with pytest.raises(InputError, match="Name one with --key"):
        open_source("many-v0", "elsewhere", "speed")
    with pytest.raises(InputError, match="minari list local"):
        open_source("nothing-v0", "takecover", None)
    with pytest.raises(UserError, match="NAME-v0"):
        library.check_name("no version")


@pytest.mark.parametrize("left", [0.3, 0.9])
def test_a_file_that_is_cut_short_is_told(rollouts, root, tmp_path, left, capsys):
    minari_export.export(rollouts, NAME)
    (file,) = root.rglob("*.hdf5")
    content = file.read_bytes()
    file.write_bytes(content[: int(left * len(content))])
    assert run("import", NAME, tmp_path / "out", "--environment", "carracing") == 2
    assert NAME in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_import_that_fails_leaves_nothing(rollouts, root, tmp_path):
    minari_export.export(rollouts, NAME)
    source = open_source(NAME, "carracing", None)

    def ends_early():
        yield from list(source.episodes())[:3]
        raise InputError("the disk went away")

    with pytest.raises(InputError, match="went away"):
        store(replace(source, episodes=ends_early), tmp_path / "out", "carracing", 2)
    assert [path.name for path in tmp_path.iterdir()] == ["minari"]


def test_an_export_that_fails_leaves_nothing(rollouts, root, monkeypatch):
    monkeypatch.setattr(minari_export, "_buffer", lambda episode: json.loads("no episode"))
    with pytest.raises(ValueError, match="Expecting"):
        minari_export.export(rollouts, NAME)
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_of_two_exports_to_one_name_the_first_to_end_stays(rollouts, root, monkeypatch):
    buffers = minari_export._buffers

    def slow(reader):
        monkeypatch.setattr(minari_export, "_buffers", buffers)
        first = minari_export.export(rollouts, NAME)  # begins later, and ends sooner
        (first / "first").touch()
        return buffers(reader)

    monkeypatch.setattr(minari_export, "_buffers", slow)
    with pytest.raises(UserError, match="another process made it meanwhile"):
        minari_export.export(rollouts, NAME)
    assert (root / NAME / "first").exists()
