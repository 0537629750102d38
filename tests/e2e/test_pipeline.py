"""The smoke DAG in a temporary clone: what people run, and what they find afterwards."""

import json
import subprocess
import sys
from pathlib import Path

import grimp
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient

import dag
from world_models.experiment import Pipeline
from world_models.origin.lock import leaves
from world_models.schema import read_yaml
from world_models.stages import dependencies

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]
STAGES = tuple(Pipeline.model_fields)
ENVIRONMENTS = tuple(read_yaml(Path(__file__).parents[2] / "params.yaml"))
NODES = [f"{stage}@{environment}" for environment in ENVIRONMENTS for stage in STAGES]


def test_second_repro_runs_nothing_and_status_is_clean(pipeline):
    again = pipeline.dvc("status dvc.yaml", "repro")
    assert again.count("Data and pipelines are up to date.") == 2  # both commands say so
    assert "Running stage" not in again
    assert again.count("didn't change, skipping") == len(NODES)


@pytest.mark.parametrize("node", NODES)
def test_deps_equal_what_was_really_loaded(pipeline, node):
    stage, environment = node.split("@")
    loaded = set((pipeline.imports / node).read_text().split())
    loaded.add(f"world_models.stages.{stage}")  # run as __main__
    files = {
        str(dag.path_of(name))
        for name in loaded - only_beside(stage) - only_registers()
        if not dag.is_exempt(name, stage) and (pipeline.folder / dag.path_of(name)).exists()
    }
    listed = set(dependencies.code(stage, environment))
    assert files <= listed, f"loaded but not in deps: {files - listed}"


def only_registers() -> set[str]:
    """Modules that importing the package loads, to tell Gymnasium of all environments."""
    code = "import sys, world_models; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name for name in done.stdout.split() if name.startswith("world_models.")}


def only_beside(stage) -> set[str]:
    """Modules that cannot change a result: of the whole-file check, and of the run's pictures."""
    graph = dag.graph("report")  # the one stage whose graph holds what draws
    beside = {"world_models.experiment", *graph.find_descendants("world_models.reports")}
    beside |= {above for name in beside for above in graph.find_upstream_modules(name)}
    if stage == "evaluate":  # its run carries a page
        whole = grimp.build_graph("world_models", cache_dir=None)
        beside |= whole.find_upstream_modules("world_models.browser.page")
    return with_packages(beside) - with_packages(dag.closure(stage))


def with_packages(modules) -> set[str]:
    """The modules, and the packages that importing them loads."""
    parts = [name.split(".") for name in modules]
    return {".".join(words[:end]) for words in parts for end in range(1, len(words) + 1)}


def test_every_stage_is_one_finished_run_in_the_store_at_the_root(pipeline):
    client = MlflowClient(f"sqlite:///{pipeline.folder}/mlflow.db")
    experiments = [e.experiment_id for e in client.search_experiments()]
    runs = client.search_runs(experiments)
    assert {run.info.status for run in runs} == {"FINISHED"}
    rows = [run for run in runs if run.data.tags.get("kind") == "pipeline"]
    assert sorted(row.data.tags["environment"] for row in rows) == sorted(ENVIRONMENTS)
    stages = {
        f"{r.data.tags['stage']}@{r.data.tags['environment']}": r for r in runs if r not in rows
    }
    assert sorted(stages) == sorted(NODES)
    for row in rows:
        of = row.data.tags["environment"]
        below = {name: run for name, run in stages.items() if name.endswith(f"@{of}")}
        assert {run.data.tags["mlflow.parentRunId"] for run in below.values()} == {row.info.run_id}
        made = {f"stage.{name.partition('@')[0]}": run.info.run_id for name, run in below.items()}
        assert row.data.tags.items() >= made.items()
    evaluate = stages["evaluate@carracing"].data.tags
    makers = {"vae": "vae", "mdnrnn": "mdnrnn", "controller": "evolve"}
    for kind, stage in makers.items():
        assert evaluate[f"upstream.{kind}"] == stages[f"{stage}@carracing"].info.run_id
    assert not (pipeline.folder / "mlruns").exists()
    assert not (pipeline.folder / "lightning_logs").exists()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_one_row_of_the_ui_compares_whole_pipelines(pipeline, environment):
    client = MlflowClient(f"sqlite:///{pipeline.folder}/mlflow.db")
    ids = [e.experiment_id for e in client.search_experiments()]
    query = f"tags.kind = 'pipeline' and tags.environment = '{environment}'"
    (run,) = client.search_runs(ids, query)
    scores = json.loads((pipeline.folder / f"metrics/{environment}/evaluate.json").read_text())
    for name in ("mean", "se", "n"):
        assert run.data.metrics[f"agent/{name}"] == scores["agent"][name]
    parameters = read_yaml(pipeline.folder / "params.yaml")[environment]
    for key, value in leaves(parameters):
        if not key.startswith(("evaluate.", "report.")):  # its own slice; what comes after it
            assert run.data.params[key] == str(value), key


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_scores_come_with_n_sd_and_standard_error(pipeline, environment):
    metrics = json.loads((pipeline.folder / f"metrics/{environment}/evaluate.json").read_text())
    for who in ("agent", "random"):
        score = metrics[who]
        assert score["n"] >= 2
        assert score["se"] == pytest.approx(score["sd"] / score["n"] ** 0.5, rel=1e-6)


def test_every_random_stream_of_seeds_is_disjoint(pipeline):
    folder = pipeline.folder
    for environment in ENVIRONMENTS:
        index = pd.read_parquet(folder / f"data/{environment}/rollouts/index.parquet")
        tables = (folder / f"reports/{environment}/evaluate").glob("*.csv")
        tested = {seed for t in tables for seed in pd.read_csv(t).get("seed", pd.Series(dtype=int))}
        assert tested
        assert not tested & set(index["seed"])


def test_users_commands(pipeline):
    shown = pipeline.dvc(
        "stage list --name-only", "dag", "metrics show", "metrics diff", "plots show"
    )
    assert set(NODES) <= set(shown.split())
    assert "evolve@takecover" in shown
    assert "metrics/carracing/evaluate.json" in shown
    page = (pipeline.folder / "dvc_plots/index.html").read_text()
    charts = [c for c in read_yaml(pipeline.folder / "dvc.yaml")["plots"] if isinstance(c, dict)]
    for chart in (chart for named in charts for chart in named.values()):
        assert f'"text": "{chart["title"]}"' in page


def test_a_changed_parameter_makes_only_its_stage_and_those_below_stale(pipeline):
    params = pipeline.folder / "params.yaml"
    before = params.read_text()
    try:
        value = read_yaml(params)["carracing"]["mdnrnn"]["learning_rate"]
        head, below = before.split("mdnrnn:", 1)
        changed = below.replace(f"learning_rate: {value}", "learning_rate: 0.00077", 1)
        params.write_text(f"{head}mdnrnn:{changed}")
        said = pipeline.dvc("params diff", "status dvc.yaml")
        assert "carracing.mdnrnn.learning_rate" in said
        assert "mdnrnn@carracing" in said
        assert "vae@carracing" not in said
        assert "takecover" not in said
    finally:
        params.write_text(before)


def test_experiments_in_a_temporary_folder_land_in_the_same_store(pipeline):
    client = MlflowClient(f"sqlite:///{pipeline.folder}/mlflow.db")
    ids = [e.experiment_id for e in client.search_experiments()]
    before = len(client.search_runs(ids))
    change = "carracing.evaluate.random_episodes=3"
    pipeline.run(
        "dvc", "exp", "run", "--temp", "-S", change, "-n", "temporary", "evaluate@carracing"
    )
    runs = client.search_runs(ids)
    assert len(runs) == before + 2  # a stage, and the row of its pipeline
    newest = max((r for r in runs if "stage" in r.data.tags), key=lambda run: run.info.start_time)
    assert newest.info.status == "FINISHED"
    assert "temporary" in newest.data.tags.values()
    assert "temporary" in pipeline.run("dvc", "exp", "list", "--name-only")


SPREAD = {
    "rollouts": ["takecover"],
    "evolve": ENVIRONMENTS,
    "evaluate": ["takecover"],
    "report": ["carracing"],
}
"""Stages that spread work over workers, and environments in which each is run again."""


def test_any_number_of_workers_gives_the_same_bytes(pipeline):
    lock = pipeline.folder / "dvc.lock"
    before = outputs(lock)
    again = [f"{stage}@{name}" for stage, names in SPREAD.items() for name in names]
    settings = {"WORLD_MODELS_WORKERS": "1", "WORLD_MODELS_TRACKING": "off"}
    said = pipeline.run(
        "dvc", "repro", "--force", "--no-run-cache", "--single-item", *again, **settings
    )
    assert said.count("Running stage") == len(again)
    assert outputs(lock) == before


def test_any_number_of_threads_gives_the_same_bytes(pipeline):
    lock = pipeline.folder / "dvc.lock"
    before, again = outputs(lock), []
    for name in ENVIRONMENTS:
        card = json.loads((pipeline.folder / f"models/{name}/mdnrnn/card.json").read_text())
        # M in float32 adds in another order: docs/architecture.md.
        learned = ["mdnrnn"] if card["details"]["precision"] == "bfloat16" else []
        again += [f"{stage}@{name}" for stage in ("vae", "encode", *learned)]
    settings = {"OMP_NUM_THREADS": "3", "WORLD_MODELS_TRACKING": "off"}
    said = pipeline.run(
        "dvc", "repro", "--force", "--no-run-cache", "--single-item", *again, **settings
    )
    assert said.count("Running stage") == len(again)
    assert outputs(lock) == before


def test_no_other_stage_spreads_work():
    folder = Path(__file__).parents[2] / "src/world_models/stages"
    opens = {path.stem for path in folder.glob("*.py") if "open_engine(" in path.read_text()}
    assert {"dataset" if name == "rollouts" else name for name in SPREAD} <= opens
    assert opens - {"dataset", *SPREAD} == {"assess"}  # of experiments


def outputs(lock) -> dict[str, dict[str, str]]:
    stages = read_yaml(lock)["stages"]
    return {n: {out["path"]: out["md5"] for out in s["outs"]} for n, s in stages.items()}


def test_workspace_of_the_clone_holds_no_stray_files(pipeline):
    listing = ["git", "status", "--porcelain", "--untracked-files=all"]
    done = subprocess.run(
        listing, cwd=pipeline.folder, capture_output=True, text=True, check=True
    ).stdout
    strays = [line[3:] for line in done.splitlines()]
    expected = ("metrics/", "dvc.lock", "dvc_plots/", "data/", "models/", "reports/")
    assert not [name for name in strays if not name.startswith(expected)]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_each_environment_has_a_champion_made_of_logged_models(pipeline, environment):
    client = MlflowClient(f"sqlite:///{pipeline.folder}/mlflow.db")
    version = client.get_model_version_by_alias(environment, "champion")
    scores = json.loads((pipeline.folder / f"metrics/{environment}/evaluate.json").read_text())
    assert version.tags["n"] == str(scores["agent"]["n"])
    run = client.get_run(version.run_id)
    assert run.data.tags["stage"] == "evaluate"
    agent = client.get_logged_model(version.tags["model"])
    (mean,) = [metric for metric in agent.metrics if metric.key == "agent/mean"]
    assert mean.value == scores["agent"]["mean"]
    assert mean.dataset_name == f"{environment} test seeds"
    parts = [client.get_logged_model(part.model_id) for part in run.inputs.model_inputs]
    makers = {part.name: client.get_run(part.source_run_id).data.tags["stage"] for part in parts}
    assert makers == {"vae": "vae", "mdnrnn": "mdnrnn", "controller": "evolve"}
