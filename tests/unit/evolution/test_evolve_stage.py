"""The stage on a small dream: real engine, real scratch, bytes compared."""

import hashlib
import json
import shutil
from contextlib import nullcontext

import numpy as np
import pandas as pd
import pytest
import torch

from world_models.controller.model import Controller
from world_models.engine.processes import ProcessEngine
from world_models.engine.settings import EngineSettings
from world_models.errors import InputError, Interrupted
from world_models.evolution.cma_es import CMAES
from world_models.evolution.parameters import EvolveParameters
from world_models.memory.model import state_arrays
from world_models.memory.network import MDNRNN
from world_models.memory.sizes import Sizes
from world_models.seeding import stream
from world_models.stages import evolve
from world_models.stages.command import Context, Input, Outputs
from world_models.storage import artifact, tensors
from world_models.storage.scratch import Scratch
from world_models.tracking.tracker import Tracker
from world_models.vision.network import PAPER_CHANNELS, VAE
from world_models.worlds.looks import Visit

Z = 6
PARAMETERS = EvolveParameters(
    world="dream",
    renderer=None,
    latent=None,
    disturbance=None,
    strength=None,
    tau=1.0,
    ends="threshold",
    dropout=0.0,
    lookahead_rounds=0,
    lookahead_moments=None,
    lookahead_steps=None,
    features="zch",
    hidden=0,
    optimiser="cma",
    variant="separable",
    learning_rate=None,
    population=6,
    rollouts=2,
    groups=3,
    hardest_of=None,
    generations=5,
    restart_every=None,
    sigma=0.5,
    max_steps=30,
    patience=None,
    batch=4,
    validate_every=2,
    validation_episodes=6,
    finalists=2,
    final_episodes=5,
    seed=3,
)


def save(folder, kind, stage, details, files):
    card = {"kind": kind, "environment": "takecover", "stage": stage}
    values = {"parameters": {}, "metrics": {}, "details": details}
    with artifact.create(folder, **card, **values) as temporary:
        for name, arrays in files.items():
            tensors.save(temporary / name, arrays)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    vae = {name: value.numpy() for name, value in VAE(Z, PAPER_CHANNELS).state_dict().items()}
    save(folder / "vae", "vae", "vae", {"z_size": Z}, {"weights.safetensors": vae})
    for name, z in {"mdnrnn": Z, "other": Z + 1}.items():
        sizes = Sizes(z, 1, 8, 5, restart=True, reward_head=False, end_head=False)
        network = MDNRNN(sizes)
        with torch.no_grad():
            network.restart.weight.mul_(20)  # dies now and then: a dream that depends on C
            network.restart.bias.fill_(-6)
        first = np.random.default_rng(0).normal(size=(4, z)).astype(np.float32)
        files = {
            "weights.safetensors": state_arrays(network),
            "initial.safetensors": {"mu": first, "logvar": np.zeros_like(first)},
        }
        save(folder / name, "mdnrnn", "mdnrnn", sizes._asdict(), files)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _one_worker_for_all_runs():
    """A genuine engine that stays open: to start a worker takes longer than a run of these."""
    genuine = evolve.open_engine
    with ProcessEngine(1, 300.0) as engine, pytest.MonkeyPatch.context() as patch:

        def kept(settings):
            return nullcontext(engine) if settings.workers == 1 else genuine(settings)

        patch.setattr(evolve, "open_engine", kept)
        yield


class StopAt(Tracker):
    """Reports nothing; interrupts the stage when a generation is done."""

    def __init__(self, generation=None):
        super().__init__()
        self.generation = generation

    def log_metrics(self, metrics, step=0):
        if step == self.generation:
            raise Interrupted


class Log(Tracker):
    """Remembers what was logged."""

    def __init__(self, *, continued=False):
        super().__init__(continued=continued)
        self.seen = []

    def log_metrics(self, metrics, step=0):
        self.seen.append((step, set(metrics)))


@pytest.fixture
def units(monkeypatch):
    """All units of work that the engine gets, in a list."""
    seen, genuine = [], ProcessEngine.run

    def counted(self, task, units):
        seen.extend(units)
        return genuine(self, task, units)

    monkeypatch.setattr(ProcessEngine, "run", counted)
    return seen


def training(units):
    """How many of them are of candidates: those alone have a cap."""
    return sum(unit.max_steps is not None for unit in units)


def run(models, out, *, workers=1, mdnrnn="mdnrnn", start=None, tracker=None, **changes):
    parameters = PARAMETERS.model_copy(update=changes)
    folders = {"vae": models / "vae", "mdnrnn": models / mdnrnn}
    kinds = {kind: artifact.open_artifact(path, kind) for kind, path in folders.items()}
    inputs = {kind: Input(folders[kind], card) for kind, card in kinds.items()}
    if start is not None:
        inputs["start"] = Input(start, artifact.open_artifact(start, "controller"))
    outputs = Outputs(out / "controller", out / "evolve.json", out / "reports")
    settings = EngineSettings(workers, None, 300.0)
    with Scratch.open(out, "evolve", "takecover", "0" * 64) as scratch:
        context = Context("takecover", tracker or StopAt(), settings, scratch)
        evolve.run(parameters, inputs, outputs, context)
        scratch.remove(evolve.STAGE.keeps)


def digests(out):
    files = [p for p in sorted(out.rglob("*")) if p.is_file() and ".scratch" not in p.parts]
    return {str(p.relative_to(out)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def straight(models, tmp_path_factory):
    out = tmp_path_factory.mktemp("straight")
    run(models, out)
    return out


def test_writes_the_validated_mean_its_history_and_its_metrics(straight):
    metrics = json.loads((straight / "evolve.json").read_text())
    table = pd.read_csv(straight / "reports" / "history.csv")
    assert table["generation"].tolist() == [1, 2, 3, 4, 5]
    validated = table["validation"].dropna()
    assert validated.index.tolist() == [1, 3, 4]
    assert metrics["validation"] != pytest.approx(validated.max()), "the finalists played on"
    assert metrics["validation_episodes"] == 5
    assert metrics["steps"] == table["steps"].iloc[-1]
    controller = Controller.load(straight / "controller", "takecover")
    assert controller.theta.shape == (Z + 8 + 8,)
    assert controller.theta.any()
    card = artifact.open_artifact(straight / "controller", "controller")
    assert card.metrics == metrics
    assert set(card.lineage) == {"vae", "mdnrnn"}


@pytest.mark.parametrize("generation", [1, 4])
def test_interrupted_and_resumed_it_makes_the_same_bytes(
    models, straight, units, tmp_path, generation
):
    with pytest.raises(Interrupted):
        run(models, tmp_path, tracker=StopAt(generation))
    assert digests(tmp_path) == {}
    units.clear()
    run(models, tmp_path)
    assert training(units) == 3 * (5 - generation), "no generation is played again"
    assert digests(tmp_path) == digests(straight)


def test_more_generations_go_on_to_the_bytes_of_one_long_run(models, straight, units, tmp_path):
    run(models, tmp_path, generations=2)
    short = digests(tmp_path)
    with pytest.raises(Interrupted):
        run(models, tmp_path, tracker=StopAt(4))
    assert digests(tmp_path) == short, "an interrupted run leaves the finished one's outputs"
    run(models, tmp_path)
    assert training(units) == 3 * 5
    assert digests(tmp_path) == digests(straight)


@pytest.mark.parametrize(
    "change", [{"validate_every": 3}, {"validation_episodes": 4}, {"final_episodes": 4}]
)
def test_other_validations_play_no_training_episode_again(
    models, straight, units, tmp_path, change
):
    shutil.copytree(straight, tmp_path / "changed")
    run(models, tmp_path / "changed", **change)
    assert training(units) == 0
    assert 0 < len(units) <= 4
    run(models, tmp_path / "new", **change)
    assert digests(tmp_path / "changed") == digests(tmp_path / "new")


def test_a_finished_run_leaves_its_history_alone(models, straight):
    (folder,) = (path for path in (straight / ".scratch").iterdir() if path.is_dir())
    assert [path.name for path in folder.iterdir()] == ["history.safetensors"]


def test_each_generation_and_validation_is_logged_also_in_a_run_that_goes_on(models, tmp_path):
    run(models, tmp_path, generations=2)
    whole, rest = Log(), Log(continued=True)
    for tracker in (whole, rest):
        run(models, tmp_path, tracker=tracker)
    assert [step for step, names in whole.seen if "mean" in names] == [1, 2, 3, 4, 5]
    assert [step for step, names in whole.seen if "validation" in names] == [2, 4, 5]
    assert rest.seen == [], "the interrupted part stands in the run already"


def test_openai_es_evolves_it_too(models, tmp_path):
    change = {"optimiser": "openai-es", "variant": None, "learning_rate": 0.1}
    run(models, tmp_path / "straight", **change)
    with pytest.raises(Interrupted):
        run(models, tmp_path / "cut", tracker=StopAt(3), **change)
    run(models, tmp_path / "cut", **change)
    assert digests(tmp_path / "cut") == digests(tmp_path / "straight")
    assert Controller.load(tmp_path / "cut" / "controller", "takecover").theta.any()


def test_the_first_search_goes_on_from_a_given_c_and_restarts_begin_at_zeros(
    models, straight, units, tmp_path
):
    run(models, tmp_path, start=straight / "controller", restart_every=3)
    bouts = [unit.theta for unit in units if unit.max_steps is not None]
    generations = np.concatenate(bouts).reshape(5, 6, -1)
    theta = Controller.load(straight / "controller", "takecover").theta.astype(np.float64)
    given = {"sigma": 0.5, "population": 6, "variant": "separable"}
    first = CMAES(theta, random=stream(3, "evolution"), **given).ask()
    assert generations[0].tobytes() == first.astype(np.float32).tobytes()
    anew = CMAES(np.zeros_like(theta), random=stream(3, "evolution", 1), **given).ask()
    assert generations[3].tobytes() == anew.astype(np.float32).tobytes()
    history = pd.read_csv(tmp_path / "reports" / "history.csv")
    assert history["validation"].dropna().index.tolist() == [0, 2, 3, 4, 5]


def test_the_number_of_workers_changes_no_byte(models, straight, tmp_path):
    run(models, tmp_path, workers=2)
    assert digests(tmp_path) == digests(straight)


def test_another_seed_makes_another_controller(models, straight, tmp_path):
    run(models, tmp_path, seed=4)
    assert digests(tmp_path) != digests(straight)


def test_models_of_different_sizes_are_refused(models, tmp_path):
    with pytest.raises(InputError, match="M was trained on z of size 7"):
        run(models, tmp_path, mdnrnn="other")
    assert digests(tmp_path) == {}


AHEAD = {"lookahead_rounds": 2, "lookahead_moments": 64, "lookahead_steps": 6}


@pytest.fixture(scope="module")
def ahead(models, tmp_path_factory):
    out = tmp_path_factory.mktemp("ahead")
    run(models, out, **AHEAD)
    return out


def test_what_dreams_advise_is_where_evolution_begins(ahead, straight):
    rounds = pd.read_csv(ahead / "reports" / "lookahead.csv")
    assert rounds["round"].tolist() == [1, 2]
    history = pd.read_csv(ahead / "reports" / "history.csv")
    assert history["generation"].tolist() == [0, 1, 2, 3, 4, 5]
    assert history["validation"].notna().tolist() == [True, False, True, False, True, True]
    assert history["mean"].isna().tolist() == [True, *[False] * 5]
    paper = pd.read_csv(straight / "reports" / "lookahead.csv")
    assert paper.empty
    steps = json.loads((ahead / "evolve.json").read_text())["steps"]
    assert steps == history["steps"].iloc[-1]
    assert history["steps"].iloc[0] == rounds["steps"].sum(), "looking ahead costs steps too"


@pytest.mark.parametrize("round_", [1, 2])
def test_interrupted_while_it_looks_ahead_it_makes_the_same_bytes(
    models, ahead, units, tmp_path, round_
):
    class StopAhead(Tracker):
        def log_metrics(self, metrics, step=0):
            if "lookahead_visited" in metrics and step == round_:
                raise Interrupted

    with pytest.raises(Interrupted):
        run(models, tmp_path, tracker=StopAhead(), **AHEAD)
    units.clear()
    run(models, tmp_path, **AHEAD)
    assert sum(isinstance(unit, Visit) for unit in units) == 2 - round_
    assert digests(tmp_path) == digests(ahead)


def test_two_workers_look_ahead_to_the_same_bytes(models, ahead, tmp_path):
    run(models, tmp_path, workers=2, **AHEAD)
    assert digests(tmp_path) == digests(ahead)
