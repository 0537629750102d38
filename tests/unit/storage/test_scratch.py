"""What a stage resumes from is whole, its own, and nobody else's at the same time."""

import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from world_models.errors import UserError
from world_models.storage.artifact import Card
from world_models.storage.scratch import Scratch, find_root, fingerprint

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
        assert scratch.names() == ["shard-00000.h5", "state"]
        assert scratch.load("state") == b"two"
        assert scratch.load("shard-00000.h5") == b""
        scratch.delete("state")
        assert scratch.load("state") is None
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
        assert scratch.names() == ["history"]
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


def test_stale_content_goes_and_other_stages_stay(tmp_path):
    for stage in ("vae", "evolve"):
        with open_scratch(tmp_path, stage) as scratch:
            scratch.save("state", b"x")
    with Scratch.open(tmp_path, "vae", "carracing-two", A):
        pass
    with open_scratch(tmp_path, "vae", B):
        pass
    left = sorted(path.name for path in (tmp_path / ".scratch").iterdir() if path.is_dir())
    expected = ["evolve-carracing-" + A[:12], "vae-carracing-" + B[:12]]
    assert left == sorted([*expected, "vae-carracing-two-" + A[:12]])


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
