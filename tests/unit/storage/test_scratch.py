"""What a stage resumes from is whole, its own, and nobody else's at the same time."""

import errno
import fcntl
import os
import re
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest

from world_models.cli import main
from world_models.errors import UserError
from world_models.storage.artifact import Card
from world_models.storage.scratch import Scratch, find_root, fingerprint, kept

A, B = "a" * 64, "b" * 64
CARD = Card(1, "vae", "carracing", "vae", {"x": 1}, {}, {}, {}, {"weights": "00"})


def open_scratch(root: Path, stage: str = "vae", print_: str = A) -> Scratch:
    return Scratch.open(root, stage, "carracing", print_)


def test_content_outlives_the_process_until_removed(tmp_path):
    with open_scratch(tmp_path) as scratch:
        assert scratch.folder == tmp_path / ".scratch" / "vae-carracing-aaaaaaaaaaaa"
        assert scratch.load("state") is None
        scratch.save("state", b"one")
        scratch.save("state", b"two")
        scratch.save("shard-00000.h5", b"")
    with open_scratch(tmp_path) as scratch:
        assert scratch.load("state") == b"two"
        assert scratch.load("shard-00000.h5") == b""
        scratch.remove()
    assert list((tmp_path / ".scratch").iterdir()) == []


def test_what_a_longer_run_goes_on_from_outlives_success(tmp_path):
    with open_scratch(tmp_path) as scratch:
        for _ in range(2):
            scratch.save("history", b"h")
            scratch.save("run", b"r")
        (scratch.folder / "checkpoints").mkdir()
        (scratch.folder / "checkpoints" / "last").touch()
        scratch.remove(keep=["history"])
    with open_scratch(tmp_path) as scratch:
        assert [path.name for path in scratch.folder.iterdir() if path.name != "holder"] == [
            "history"
        ]
        assert scratch.load("history") == b"h"


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b"x" + b[1:]])
def test_a_damaged_file_falls_back_to_the_state_before(tmp_path, capsys, damage):
    with open_scratch(tmp_path) as scratch:
        scratch.save("state", b"generation 1")
        scratch.save("state", b"generation 2")
        path = scratch.folder / "state"
        path.write_bytes(damage(path.read_bytes()))
        assert scratch.load("state") == b"generation 1"
        assert f"warning: {path} is damaged" in capsys.readouterr().err
        (scratch.folder / "state~").write_bytes(b"also damaged")
        assert scratch.load("state") is None


def test_a_second_process_is_turned_away_by_name(tmp_path):
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from world_models.storage.scratch import Scratch
        scratch = Scratch.open(Path(sys.argv[1]), "vae", "carracing", "a" * 64)
        print("open", flush=True)
        sys.stdin.read()
    """)
    command = [sys.executable, "-c", script, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as other:
        assert other.stdout.readline() == "open\n"
        reason = rf"vae-carracing is already running in process {other.pid}, .*\.scratch"
        with pytest.raises(UserError, match=reason):
            open_scratch(tmp_path)
        with open_scratch(tmp_path, print_=B):
            assert (tmp_path / ".scratch/vae-carracing-aaaaaaaaaaaa").exists(), "held: not stale"
        other.kill()
    with open_scratch(tmp_path):
        pass  # a killed process holds nothing


def test_state_of_other_code_is_kept_for_thirty_days_then_removed_with_a_line(tmp_path, capsys):
    for print_ in (A, B):
        with open_scratch(tmp_path, print_=print_) as scratch:
            scratch.save("state", b"x" * 1000)
    old = scratch.folder
    with open_scratch(tmp_path, "evolve"):
        pass
    assert {state.folder.name for state in kept(tmp_path)} == {
        f"vae-carracing-{A[:12]}",
        f"vae-carracing-{B[:12]}",
        f"evolve-carracing-{A[:12]}",
    }
    for days, left in ((29, 3), (31, 2)):
        used = time.time() - days * 86_400
        for path in (*old.iterdir(), old):
            os.utime(path, (used, used))
        (state,) = (state for state in kept(tmp_path) if state.folder == old)
        assert (state.size, state.days) == (1032, pytest.approx(days, abs=0.01))
        with open_scratch(tmp_path, "evolve"):
            pass
        assert len(kept(tmp_path)) == left
    assert "was not used for 31 days and is removed" in capsys.readouterr().err


def test_the_command_lists_and_removes(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with open_scratch(tmp_path) as scratch:
        scratch.save("state", b"x" * 2_000_000)
        name = scratch.folder.name
        _cli("scratch")
        assert re.search(rf"{name} +2\.0 MB   used 0\.0 days ago", capsys.readouterr().out)
        _cli("scratch", "--remove", name)
        assert "in use, kept" in capsys.readouterr().out
    _cli("scratch", "--older-than", "1")
    assert kept(tmp_path)
    _cli("scratch", "--remove", "nothing", code=2)
    assert name in capsys.readouterr().err
    _cli("scratch", "--remove", name)
    assert not kept(tmp_path)


def _cli(*arguments, code=0):
    with pytest.raises(SystemExit) as done:
        main(list(arguments))
    assert done.value.code == code


def test_a_fingerprint_changes_with_all_that_fixes_a_result():
    code = {"code": {"a.py": "00"}}
    base = fingerprint({"a": 1, "b": 0.1}, [CARD], code)
    assert fingerprint({"b": 0.1, "a": 1}, [CARD], code) == base
    retrained = replace(CARD, files={"weights": "01"})
    others = {
        fingerprint({"a": 1, "b": 0.2}, [CARD], code),
        fingerprint({"a": 1, "b": 0.1}, [retrained], code),
        fingerprint({"a": 1, "b": 0.1}, [], code),
        fingerprint({"a": 1, "b": 0.1}, [CARD], {"code": {"a.py": "01"}}),
        fingerprint({"a": 1, "b": 0.1}, [CARD], {}),
    }
    assert len(others - {base}) == 5


def test_the_root_is_dvc_s(tmp_path, monkeypatch):
    inner = tmp_path / "project" / "sub"
    inner.mkdir(parents=True)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(inner)
    assert find_root() == inner
    (tmp_path / "project" / ".dvc").mkdir()
    assert find_root() == tmp_path / "project"
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "real"))
    assert find_root() == tmp_path / "real"


def test_stages_that_begin_and_end_together_do_not_meet(tmp_path):
    """Each looks through the others' state for what is old, while they write and remove it."""
    script = textwrap.dedent("""
        import sys
        from pathlib import Path
        from world_models.storage.scratch import Scratch
        for print_ in "abc" * 60:
            with Scratch.open(Path(), sys.argv[1], "carracing", print_ * 64) as scratch:
                scratch.save("state", b"x")
                scratch.save("state", b"y")
                assert scratch.load("state") == b"y"
                scratch.remove()
    """)
    command = [sys.executable, "-c", script]
    stages = [subprocess.Popen([*command, f"stage{i}"], cwd=tmp_path) for i in range(6)]
    assert [stage.wait() for stage in stages] == [0] * 6
    assert list((tmp_path / ".scratch").iterdir()) == []


def test_without_locks_a_stage_is_refused_with_the_cure(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match=r"\.scratch cannot be locked \(No locks available\).*Move"):
        open_scratch(tmp_path)
