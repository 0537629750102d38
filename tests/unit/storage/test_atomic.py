"""Outputs appear whole or not at all, on disks that are full and in processes that are killed."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from world_models.errors import UserError
from world_models.storage import atomic


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_with_its_content(tmp_path):
    with atomic.atomic_folder(tmp_path / "deep" / "out") as draft:
        (draft / "a").write_text("1")
        assert not (tmp_path / "deep" / "out").exists()
    assert (tmp_path / "deep/out/a").read_text() == "1"
    assert names(tmp_path / "deep") == ["out"]


def test_a_folder_replaces_the_one_from_before(tmp_path):
    for text in ("old", "new"):
        with atomic.atomic_folder(tmp_path / "out") as draft:
            (draft / text).write_text(text)
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["new"]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("old")

    def stop_in_folder():
        with atomic.atomic_folder(tmp_path / "out") as draft:
            (draft / "a").write_text("half")
            raise KeyboardInterrupt

    def stop_in_file():
        with atomic.atomic_file(tmp_path / "out" / "a") as draft:
            draft.write_text("half")
            raise KeyboardInterrupt

    for stop in (stop_in_folder, stop_in_file):
        with pytest.raises(KeyboardInterrupt):
            stop()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["a"]
    assert (tmp_path / "out" / "a").read_text() == "old"


def test_a_link_is_replaced_not_written_through(tmp_path):
    (tmp_path / "cache").write_text("in DVC's cache")
    (tmp_path / "out").symlink_to(tmp_path / "cache")
    atomic.write(tmp_path / "out", b"new")
    assert (tmp_path / "cache").read_text() == "in DVC's cache"
    assert (tmp_path / "out").read_text() == "new"
    assert not (tmp_path / "out").is_symlink()


def test_what_a_killed_process_left_is_swept_and_a_live_one_s_work_is_not(tmp_path):
    script = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from world_models.storage import atomic
        with atomic.atomic_folder(Path(sys.argv[1])) as draft:
            (draft / "a").write_text("half")
            os.kill(os.getpid(), signal.SIGKILL)
    """)
    out = tmp_path / "out"
    killed = subprocess.run([sys.executable, "-c", script, str(out)], check=False)
    assert killed.returncode == -9
    assert len(names(tmp_path)) == 1, "the killed process's draft"
    with atomic.atomic_folder(out) as draft:
        (draft / "a").write_text("whole")
    assert names(tmp_path) == ["out"]


def test_numbered_drafts_of_earlier_versions_are_swept_when_old_and_of_no_process(tmp_path):
    absent = 2**22 + 1  # Linux's numbers are lower
    for name in (f".out.{absent}.partial", f".out.{absent}.partial.old", ".out.1.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text("half")
    for name in (f".out.{10**30}.partial", f".other.{absent}.partial"):
        (tmp_path / name).write_text("")
    before = names(tmp_path)
    atomic.write(tmp_path / "out", b"1")
    assert names(tmp_path) == [*before, "out"], "a process of another container may write them"
    for path in tmp_path.rglob("*"):
        os.utime(path, (0, 0))
    (tmp_path / f".out.{absent}.partial.old" / "a").touch()
    atomic.write(tmp_path / "out", b"2")
    assert set(before) - set(names(tmp_path)) == {f".out.{absent}.partial"}


def test_a_write_does_not_disturb_another_of_the_same_name(tmp_path):
    with atomic.atomic_folder(tmp_path / "out") as draft:
        atomic.write(tmp_path / "out", b"in between")
        (draft / "a").write_text("last")
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == ["a"]


def test_a_full_disk_is_told_with_the_cure(tmp_path):
    out = tmp_path / "out"

    def fill():
        with atomic.atomic_folder(out) as draft:
            (draft / "a").write_text("half")
            Path("/dev/full").write_bytes(b"x")

    with pytest.raises(UserError, match=rf"No space to write {out}: .*`dvc gc --workspace`"):
        fill()
    assert names(tmp_path) == []


@pytest.mark.parametrize("out", ["/sys/out", "/sys/deep/out"])
def test_a_place_that_may_not_be_written_is_told(out):
    def write():
        with atomic.atomic_folder(Path(out)):
            pass

    with pytest.raises(UserError, match=rf"{out} may not be written \(.*Change the owner"):
        write()


def test_other_faults_of_the_disk_are_not_taken_for_a_full_one(tmp_path):
    with pytest.raises(FileNotFoundError), atomic.atomic_folder(tmp_path / "out"):
        (tmp_path / "input").read_bytes()


def test_a_folder_that_came_to_be_there_meanwhile_stays(tmp_path):
    out = tmp_path / "out"

    def write() -> None:
        with atomic.atomic_folder(out, replaces=False) as draft:
            (draft / "mine").touch()
            out.mkdir()
            (out / "theirs").touch()

    with pytest.raises(UserError, match="another process made it meanwhile"):
        write()
    assert [path.name for path in out.iterdir()] == ["theirs"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
