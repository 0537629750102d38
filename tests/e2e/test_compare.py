"""Two pipelines side by side: a revision of DVC, an MLflow run, and the working folder."""

import subprocess

import pytest
from mlflow.tracking import MlflowClient

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]


def test_a_run_and_a_changed_score_are_compared_by_seed(pipeline):
    client = MlflowClient(f"sqlite:///{pipeline.folder / 'mlflow.db'}")
    ids = [e.experiment_id for e in client.search_experiments()]
    found = "tags.`dvc.stage` = 'evaluate@carracing' and tags.variant = 'workspace'"
    (run,) = client.search_runs(ids, found, max_results=1)
    table = pipeline.folder / "reports/carracing/evaluate/episodes.csv"
    whole = table.read_text()
    rows = whole.splitlines()
    other = [rows[0]]
    for row in rows[1:]:
        policy, seed, value, *rest = row.split(",")
        other.append(",".join((policy, seed, str(float(value) + (policy == "agent")), *rest)))
    table.unlink()  # a link into DVC's cache, perhaps
    table.write_text("\n".join(other) + "\n")
    try:
        given = ("compare", run.info.run_id, "workspace", "--environment", "carracing")
        said = pipeline.run("world_models.cli", *given, "--out", "reports/page.html")
    finally:
        table.write_text(whole)
    assert "No parameter differs." in said
    assert "+1.0 [+1.0, +1.0]" in said
    page = (pipeline.folder / "reports/page.html").read_text()
    assert page.count("<svg") == 2
    assert page.count("data:video/mp4;base64,") == 4  # two films of each
    assert "src='http" not in page
    logged = client.list_artifacts(run.info.run_id, "comparisons")
    assert [file.path for file in logged] == ["comparisons/page.html"]


def test_a_revision_without_its_data_shows_what_git_has(pipeline):
    head = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD~1"],
        cwd=pipeline.folder,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    given = ("compare", head, "--environment", "takecover", "--out", "reports/other.html")
    said = pipeline.run("world_models.cli", *given)
    assert "evolve.population" in said
    assert "–" in said  # its episodes are neither in DVC's cache nor in a remote


def test_a_parameter_that_was_edited_and_not_run_is_told(pipeline):
    file = pipeline.folder / "params.yaml"
    whole = file.read_text()
    carracing, name, takecover = whole.partition("\ntakecover:\n")
    file.write_text(carracing + name + takecover.replace("tau: 1.0", "tau: 1.3"))
    given = ("compare", "HEAD", "workspace", "--environment", "takecover")
    try:
        said = pipeline.run("world_models.cli", *given, "--out", "reports/edited.html")
    finally:
        file.write_text(whole)
    told = " ".join(said.split())
    assert "workspace: its score was made with takecover.evaluate.tau = 1.0 (1.3 in" in told
    page = (pipeline.folder / "reports/edited.html").read_text()
    assert "takecover.evolve.tau = 1.0 (1.3 in params.yaml)" in page


def test_an_unknown_name_is_told_in_words(pipeline):
    said = pipeline.run("world_models.cli", "compare", "nothing", "workspace", check=False)
    assert said.startswith("world-models compare: nothing is no MLflow run, no revision of git")
    assert said.count("\n") == 1
