"""V, M, C and an agent in a real MLflow store: stored once, loaded, acting, registered."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow.entities import LoggedModel
from mlflow.tracking import MlflowClient

import world_models
from world_models.agent import PARTS, Agent
from world_models.errors import InputError
from world_models.memory.model import Memory
from world_models.storage.artifact import open_artifact
from world_models.tracking import fetching, mlmodel
from world_models.tracking.champion import Registry, returns
from world_models.tracking.models import Models

# MLflow warns of its own code when its models are imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")
HEAD = "policy,seed,return\n"


def table(folder: Path, gain: float) -> Path:
    """Ten episodes; an agent of some gain is better by that at every seed, give or take 2."""
    path = folder / f"episodes{gain}.csv"
    luck = [2 * (seed % 3 - 1) if gain else 0 for seed in range(10)]
    rows = [f"agent,{seed},{100 * seed + gain + luck[seed]}" for seed in range(10)]
    path.write_text(HEAD + "\n".join(rows) + "\n")
    return path


class Store:
    """A database with one experiment, in which V was logged by the run that made it."""

    def __init__(self, folder: Path, models: Path) -> None:
        self.folder, self.uri = folder, f"sqlite:///{folder / 'mlflow.db'}"
        self.client = MlflowClient(self.uri)
        self.experiment = self.client.create_experiment("e", (folder / "artifacts").as_uri())
        self.parts = {part: models / part for part in PARTS}
        self.first, models_ = self.run()
        self.vae = models_.log_part(self.parts["vae"], "vae", None)
        self.agents = [self.evaluate(gain) for gain in (0, 0.5, 20)]

    def run(self) -> tuple[str, Models]:
        run_id = self.client.create_run(self.experiment).info.run_id
        return run_id, Models(self.client, run_id)

    def evaluate(self, gain: float) -> tuple[LoggedModel, str]:
        """Log an agent as the recorder does, and register it."""
        _, models = self.run()
        episodes = table(self.folder, gain)
        agent = models.log_agent(self.parts, episodes, None)
        registry = Registry(self.client, self.uri, self.folder / "lock")
        return agent, registry.register("takecover", agent, returns(episodes), "workspace")


@pytest.fixture(scope="module")
def store(tmp_path_factory, models) -> Iterator[Store]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "")  # registering sets it
        yield Store(tmp_path_factory.mktemp("registry"), models)
        mlflow.set_tracking_uri(None)


@pytest.fixture
def address(store) -> str:
    mlflow.set_tracking_uri(store.uri)
    return "models:/takecover@champion"


def frames(n: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (n, 64, 64, 3), np.uint8)


def acts(agent: Agent, seen: np.ndarray) -> np.ndarray:
    state, actions = None, []
    for frame in seen:
        action, state = agent.act(frame, state)
        actions.append(action)
    return np.stack(actions)


def test_weights_are_stored_once(store):
    weights = sorted(path.parent.parent.name for path in store.folder.rglob("*.safetensors"))
    assert len(list(store.folder.rglob("data/weights.safetensors"))) == 2, weights  # V and M
    assert not list(store.folder.rglob("*.pkl"))
    agent, _ = store.agents[0]
    run = store.client.get_run(agent.source_run_id)
    assert store.vae in {model.model_id for model in run.inputs.model_inputs}
    assert agent.model_id in {model.model_id for model in run.outputs.model_outputs}


def test_the_champion_moves_only_beyond_chance(store):
    said = [line for _, line in store.agents]
    assert said[0] == "takecover version 1, the champion"
    assert said[1].startswith("takecover version 2 (+0.3 [-1.0, +1.6], p = 0.6, paired t-test")
    assert "takecover version 3, the champion (+19.8 [" in said[2]
    best = store.client.get_model_version_by_alias("takecover", "champion")
    assert (str(best.version), best.tags["test"], best.tags["n"]) == (
        "3",
        "paired t-test over 10 equal seeds",
        "10",
    )
    assert "Against version 1, then the champion: +19.8" in best.description
    _, again = store.evaluate(20)
    assert again == "takecover version 3, as before"


def test_a_model_of_mlflow_acts_as_the_agent_does(store, address, models):
    model = mlflow.pyfunc.load_model(address)
    seen = frames(4)
    expected = acts(world_models.load(models), seen)
    found = np.stack([model.predict(frame[None])[0] for frame in seen])
    np.testing.assert_array_equal(found, expected)
    again = model.predict(seen[:1], params={"first": [True]})[0]
    np.testing.assert_array_equal(again, expected[0])
    with pytest.raises(InputError, match="'first': \\[True\\]"):
        model.predict(seen)
    assert model.predict(seen, params={"first": [True]}).shape == (4, 1)
    with pytest.raises(InputError, match="3 values for 4 rows"):
        model.predict(seen, params={"first": [True, False, True]})
    assert model.predict(model.input_example, params={"first": [True]}).dtype == np.float32


def test_one_of_several_episodes_begins_anew(address, models):
    model, agent, seen = mlflow.pyfunc.load_model(address), world_models.load(models), frames(2)
    model.predict(seen)
    found = model.predict(seen[::-1].copy(), params={"first": [False, True]})
    _, state = agent.act(seen)
    expected, _ = agent.act(seen[::-1].copy(), state, np.array([False, True]))
    np.testing.assert_array_equal(found, expected)


def test_our_own_api_loads_it_too(store, address, models):
    seen = frames(4)
    expected = acts(world_models.load(models), seen)
    for name in (address, "models:/takecover/2"):
        np.testing.assert_array_equal(acts(world_models.load(name), seen), expected)
    with pytest.raises(InputError, match=r"nobody@champion cannot be fetched from sqlite.*Check"):
        world_models.load("models:/nobody@champion")
    with pytest.raises(InputError, match="is no agent, but a part of one"):
        world_models.load(f"models:/{store.vae}")


def test_parts_are_models_too(store, address, models):
    agent = world_models.load(models)
    seen = mlflow.pyfunc.load_model(f"models:/{store.vae}").predict(frames(2))
    np.testing.assert_array_equal(seen["mu"], agent.encode(frames(2)))
    ids = {m.name: m.model_id for m in store.client.search_logged_models([store.experiment])}
    memory = mlflow.pyfunc.load_model(f"models:/{ids['mdnrnn']}")
    step = {"z": seen["mu"], "action": np.zeros((2, 1), np.float32)}
    first, second = memory.predict(step), memory.predict(step)
    assert first["next_z"].shape == (2, 4)
    assert not np.array_equal(first["h"], second["h"])  # it remembers
    own = Memory.load(models / "mdnrnn")
    state = own.start(2)
    own.step(state, step["z"], step["action"], np.ones(2, np.bool_))
    np.testing.assert_array_equal(first["h"], state.read("h"))
    controller = mlflow.pyfunc.load_model(f"models:/{ids['controller']}")
    features = np.random.default_rng(1).normal(size=(3, 20)).astype(np.float32)
    np.testing.assert_array_equal(controller.predict(features), agent.policy(features))


@pytest.fixture
def data(store, address, tmp_path) -> Path:
    """What an agent's model holds, to be damaged."""
    agent, _ = store.agents[0]
    shutil.copytree(place(store, agent.model_id) / "data", tmp_path / "data")
    return tmp_path / "data"


def place(store, model_id: str) -> Path:
    location = store.client.get_logged_model(model_id).artifact_location
    return Path(location.removeprefix("file://"))


def refused(data: Path, why: str) -> None:
    with pytest.raises(InputError, match=why), fetching.parts(data):
        pytest.fail("it must not open")


def test_a_part_that_is_another_one_is_refused(store, data):
    other = store.client.search_logged_models([store.experiment], "name = 'mdnrnn'")[0].model_id
    text = (data / "agent.json").read_text()
    (data / "agent.json").write_text(text.replace(store.vae, other))
    refused(data, "vae .* is no longer what it was made of")


def test_parts_of_another_environment_are_refused(data):
    text = (data / "agent.json").read_text()
    (data / "agent.json").write_text(text.replace("takecover", "carracing"))
    refused(data, "is no longer what it was made of: .* another environment's")


@pytest.mark.parametrize("text", ["{}", "", '{"environment": "takecover", "parts": {}}', None])
def test_an_agent_without_its_parts_is_refused(data, text):
    if text is None:
        (data / "agent.json").unlink()
    else:
        (data / "agent.json").write_text(text)
    refused(data, r"agent\.json is missing or damaged")


@pytest.mark.parametrize("name", ["card.json", "weights.safetensors"])
def test_a_part_without_a_file_is_refused(store, data, name):
    file = place(store, store.vae) / "data" / name
    content = file.read_bytes()
    try:
        file.write_bytes(content[:-4])
        refused(data, "vae .* is no longer what it was made of")
        file.unlink()
        refused(data, "vae .* is no longer what it was made of")
    finally:
        file.write_bytes(content)


def test_rows_that_do_not_belong_together_are_refused(store, address):
    ids = {m.name: m.model_id for m in store.client.search_logged_models([store.experiment])}
    memory = mlflow.pyfunc.load_model(f"models:/{ids['mdnrnn']}")
    with pytest.raises(InputError, match="'z' has 2 rows, 'action' 1"):
        memory.predict({"z": np.zeros((2, 4), np.float32), "action": np.zeros((1, 1), np.float32)})
    with pytest.raises(InputError, match="no rows"):
        mlflow.pyfunc.load_model(address).predict(frames(0))


def test_the_example_is_a_stored_frame_and_the_code_is_named_by_its_commit(models, tmp_path):
    from world_models.storage import tensors

    stored = frames(3)
    tensors.save(tmp_path / "frames.safetensors", {"originals": stored})
    signature = mlmodel.of_part(open_artifact(models / "vae", "vae"))
    shown = signature.example(tmp_path / "frames.safetensors")[""]
    np.testing.assert_array_equal(shown, stored[:1])
    code = {"mlflow.source.git.commit": "abc", "dirty.code": "false"}
    for address, expected in {
        "https://token@example.com/a/b.git": "git+https://example.com/a/b.git@abc",
        "ssh://git@example.com/a/b.git": "git+ssh://git@example.com/a/b.git@abc",
        "git@example.com:a/b.git": "git+ssh://git@example.com/a/b.git@abc",
    }.items():
        own, *pinned = mlmodel.requirements(code | {"mlflow.source.git.repoURL": address})
        assert own == f"world-models @ {expected}"
        assert any(line.startswith("torch==") for line in pinned)
    assert mlmodel.requirements(code | {"dirty.code": "true"})[0] == "world-models"
