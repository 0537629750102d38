"""The look at all parameters that comes before DVC's run."""

import shutil
from pathlib import Path

import pytest

from world_models import cli

ROOT = Path(__file__).resolve().parents[2]


def _run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", *words])
    return int(ended.value.code or 0)


@pytest.fixture
def project(tmp_path, monkeypatch):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_sweep_is_checked_value_by_value_and_changes_nothing(project, capsys):
    before = (project / "params.yaml").read_bytes()
    sweep = ("-S", "takecover.evolve.tau=0.5,1.0", "-S", "takecover.vae.z_size=16,32")
    assert _run(*sweep) == 0
    assert "4 with -S" in capsys.readouterr().out
    assert _run("-S", "takecover.evolve.tau=0.5,-1") == 2
    told = capsys.readouterr().err
    assert "With takecover.evolve.tau=-1" in told
    assert "world-models-" not in told  # no path of a temporary copy
    assert (project / "params.yaml").read_bytes() == before


@pytest.mark.parametrize("change", ["takecover.evolve.no=1", "takecover.evolve.tau"])
def test_what_is_no_parameter_is_told(project, capsys, change):
    assert _run("-S", change) == 2
    assert change in capsys.readouterr().err


def test_a_misspelt_parameter_is_told_with_the_nearest_one(project, capsys):
    assert _run("-S", "takecover.evolve.taus=1") == 2
    told = capsys.readouterr().err
    assert "params.yaml has no takecover.evolve.taus. Did you mean takecover.evolve.tau?" in told


def test_a_fault_in_the_file_is_told(project, capsys):
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("z_size: 32", "z_size: -32", 1))
    assert _run() == 2
    assert "carracing.vae.z_size" in capsys.readouterr().err


def test_cells_of_an_experiment_are_checked(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert _run("temperature") == 0
    assert "of temperature" in capsys.readouterr().out
