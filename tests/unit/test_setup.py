"""What `make setup` finds: an environment that works, or why it does not."""

import json
import shutil
import subprocess
import sys

import pytest

import environment


@pytest.fixture
def venv(tmp_path):
    """An environment with a pip that does nothing."""
    folder = tmp_path / "clone/.venv"
    command = [sys.executable, "-m", "venv", "--without-pip", str(folder)]
    subprocess.run(command, check=True)
    packages = next(folder.glob("lib/python3*/site-packages"))
    (packages / "pip.py").touch()
    (folder / environment.STAMP).write_text(json.dumps(environment.wanted(folder)))
    return folder


def test_one_that_was_built_whole_is_kept(venv):
    assert environment.fault(venv, exactly=True) is None
    assert environment.stamp(venv) == environment.wanted(venv)


def test_one_whose_pip_was_not_installed_to_its_end_is_made_anew(venv):
    next(venv.glob("lib/python3*/site-packages/pip.py")).unlink()
    assert "not whole" in environment.fault(venv, exactly=False)


def test_none_is_made(tmp_path):
    assert "none yet" in environment.fault(tmp_path / ".venv", exactly=False)


def test_one_of_a_clone_that_was_renamed_is_made_anew(venv):
    moved = venv.parent.with_name("renamed")
    shutil.move(venv.parent, moved)
    assert str(venv) in environment.fault(moved / ".venv", exactly=False)


def test_another_python_is_taken_when_it_is_named(venv, monkeypatch):
    monkeypatch.setattr(environment.sys, "version_info", (3, 99))
    assert environment.fault(venv, exactly=False) is None
    assert "3.99 was asked for" in environment.fault(venv, exactly=True)


@pytest.mark.parametrize("text", ["", "not json", "[]", '{"folder": "/elsewhere"}'])
def test_a_stamp_that_says_something_else_is_no_stamp(venv, text):
    (venv / environment.STAMP).write_text(text)
    assert environment.stamp(venv) != environment.wanted(venv)


def test_files_that_changed_are_installed_again(venv, monkeypatch, tmp_path):
    for name in environment.FILES:
        (tmp_path / name).write_text("changed")
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    assert environment.stamp(venv) != environment.wanted(venv)


@pytest.mark.parametrize(("version", "system"), [((3, 10), "linux"), ((3, 12), "win32")])
def test_what_cannot_run_the_project_is_told_in_a_line(monkeypatch, version, system):
    monkeypatch.setattr(environment.sys, "version_info", version)
    monkeypatch.setattr(environment.sys, "platform", system)
    with pytest.raises(SystemExit, match="world-models"):
        environment.check_python()


class Pip:
    """Takes the place of pip: says ``refusal`` when it is to install from the lock."""

    def __init__(self, refusal: str = "") -> None:
        self.refusal, self.asked = refusal, []

    def __call__(self, command, **_):
        self.asked.append(command[command.index("install") + 1 :])
        refused = self.refusal if "requirements.lock" in command else ""
        return subprocess.CompletedProcess(command, bool(refused), stderr=refused.encode())


def test_what_is_locked_is_installed_by_checksum_and_builds_the_rest(monkeypatch):
    monkeypatch.setattr(environment.subprocess, "run", pip := Pip())
    environment.install("python")
    wheels, sources, rest = pip.asked
    assert {"--require-hashes", "--no-deps"} <= {*wheels} & {*sources}
    assert "--no-build-isolation" in sources
    assert "--no-build-isolation" in rest


NO_WHEEL = "ERROR: No matching distribution found for vizdoom==1.3.2 (from -r requirements.lock)"
OTHER_BYTES = "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE."


def test_a_platform_without_a_wheel_is_told_and_gets_what_the_constraints_say(monkeypatch, capsys):
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(environment.subprocess, "run", pip := Pip(NO_WHEEL))
    environment.install("python")
    assert "no wheel of vizdoom==1.3.2" in capsys.readouterr().out
    assert "--constraint" in pip.asked[-1]
    assert "--no-build-isolation" not in pip.asked[-1]


@pytest.mark.parametrize(
    ("refusal", "variables", "why"),
    [
        (OTHER_BYTES, {}, "other checksums"),
        (NO_WHEEL, {"CI": "true"}, "could not be built"),
        ("ERROR: anything else", {}, "could not be built"),
    ],
)
def test_nothing_unchecked_comes_in_place_of_what_is_refused(monkeypatch, refusal, variables, why):
    monkeypatch.delenv("CI", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(environment.subprocess, "run", pip := Pip(refusal))
    with pytest.raises(SystemExit, match=why):
        environment.install("python")
    assert len(pip.asked) == 1
