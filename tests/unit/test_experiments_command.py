"""The table of DVC's experiments, on a repository with references as DVC writes them."""

import json
import subprocess
from pathlib import Path

import pytest

from world_models import cli


def _git(*words: str) -> str:
    who = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    done = subprocess.run(["git", *who, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _version(tau: float, mean: float, **others: float) -> None:
    evolve = {"tau": tau, "population": 16} | others
    Path("params.yaml").write_text(json.dumps({"takecover": {"evolve": evolve}}))
    folder = Path("metrics/takecover")
    folder.mkdir(parents=True, exist_ok=True)
    scores = {"agent": {"mean": mean, "se": 40.4, "sd": 404.0, "n": 100}}
    (folder / "evaluate.json").write_text(json.dumps(scores))


def _experiment(name: str, head: str, *values: float, **others: float) -> None:
    _version(*values, **others)
    _git("commit", "--quiet", "--all", "-m", name)
    _git("update-ref", f"refs/exps/{head[:2]}/{head[2:]}/{name}", "HEAD")
    _git("update-ref", "refs/exps/exec/EXEC_HEAD", "HEAD")  # DVC's own, no experiment
    _git("reset", "--quiet", "--hard", head)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _git("init", "--quiet", "-b", "main")
    _version(1.15, 757)
    Path("dvc.yaml").write_text("stages: {}\n")
    _git("add", "-A")
    _git("commit", "--quiet", "-m", "first")
    head = _git("rev-parse", "HEAD")
    _experiment("hot-poem", head, 1.3, 812.4)
    _experiment("cold-poem", head, 0.5, 190.2)
    return head


@pytest.mark.parametrize("below", ["", "inner"])
def test_a_project_below_another_repository_has_its_own_files(tmp_path, monkeypatch, capsys, below):
    """git names files from the repository's top, where another project may lie."""
    _git_project(tmp_path, monkeypatch, below)
    assert _run() == 0
    assert "757 ± 40" in capsys.readouterr().out


def _git_project(folder: Path, monkeypatch, below: str) -> None:
    monkeypatch.chdir(folder)
    _git("init", "--quiet", "-b", "main")
    _version(1.15, 111)
    inner = folder / below
    (inner / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(inner)
    _version(1.15, 757)
    _git("add", "-A")
    _git("commit", "--quiet", "-m", "first")


def test_without_a_repository_it_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert _run() == 2
    assert "is in no git repository" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        '{"agent":',
        "[1]",
        "[" * 10_000,
        '{"agent": {"mean": NaN, "se": 1}}',
        '{"agent": 5}',
        '{"agent": {"mean": "high", "se": 1}}',
    ],
)
def test_damaged_scores_are_one_line(project, capsys, text):
    Path("metrics/takecover/evaluate.json").write_text(text)
    assert _run() == 2
    said = capsys.readouterr().err
    assert "evaluate.json holds no scores" in said
    assert "dvc repro --force evaluate@takecover" in said
    assert len(said.splitlines()) == 1


def _run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["experiments", *words])
    return int(ended.value.code or 0)


def test_scores_and_only_the_parameters_that_differ(project, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert _run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    shown = [line.split() for line in lines]
    assert shown[:2] == [
        ["takecover", "takecover"],
        ["experiment", "created", "agent", "evolve.tau"],
    ]
    assert shown[2] == ["workspace", "757", "±", "40", "1.15"]
    assert {line[0]: line[-4:] for line in shown[3:6]} == {
        "HEAD": ["757", "±", "40", "1.15"],
        "hot-poem": ["812", "±", "40", "1.3"],
        "cold-poem": ["190", "±", "40", "0.5"],
    }


def test_parameters_without_a_column_are_named(project, capsys):
    many = {f"x{i}": i for i in range(5)}
    _experiment("wide", project, 1.0, 700, **many)
    assert _run() == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "2 more parameters differ (dvc params diff A B): " in told
    assert "takecover.evolve.x3, takecover.evolve.x4" in told


def test_experiments_of_other_commits_are_shown_on_request(project, capsys):
    _version(1.0, 500)
    _git("commit", "--quiet", "--all", "-m", "second")
    for words, names in (
        ((), ["workspace", "HEAD"]),
        (("main~1",), ["workspace", "HEAD", "main~1"]),
        (("--all",), ["workspace", "HEAD", "cold-poem", "hot-poem"]),
    ):
        assert _run("--json", *words) == 0
        rows = json.loads(capsys.readouterr().out)
        assert [row["name"] for row in rows[:2]] == ["workspace", "HEAD"]
        assert sorted(row["name"] for row in rows) == sorted(names)


def test_a_revision_that_is_none_is_named(project, capsys):
    assert _run("v9") == 2
    assert "no revision 'v9'" in capsys.readouterr().err


LOCKED = """\
schema: '2.0'
stages:
  evolve@takecover:
    cmd: evolve
    params:
      params.yaml:
        takecover.evolve: {tau: 1.15, population: 16}
    outs:
    - {path: models/takecover/controller, md5: aa}
  evaluate@takecover:
    cmd: evaluate
    deps:
    - {path: models/takecover/controller, md5: aa}
    outs:
    - {path: metrics/takecover/evaluate.json, md5: bb}
"""


def test_a_parameter_that_was_edited_and_not_run_stands_beside_no_old_score(project, capsys):
    Path("dvc.lock").write_text(LOCKED)
    _git("add", "dvc.lock")
    _git("commit", "--quiet", "-m", "ran")
    file = Path("params.yaml")
    file.write_text(file.read_text().replace("1.15", "1.3"))
    assert _run("--json") == 0
    workspace, head = json.loads(capsys.readouterr().out)
    assert workspace["parameters"] == head["parameters"]
    assert head["later"] == []
    assert _run() == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "workspace: its scores were made with takecover.evolve.tau = 1.15 (1.3 in" in told
