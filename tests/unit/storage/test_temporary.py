"""Folders of killed processes are swept by the next start, and never anybody else's."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from world_models.storage import owned, temporary

HOLDS = """
import sys, time
from pathlib import Path
from world_models.storage import atomic, temporary
with temporary.folder() as folder, atomic.atomic_folder(Path(sys.argv[1])) as draft:
    (folder / "a").write_text("half")
    draft.joinpath("a").write_text("half")
    print("holds", flush=True)
    sys.stdin.read()
"""
STARTS = """
import sys
from pathlib import Path
from world_models.storage import atomic, temporary
with temporary.folder() as folder:
    assert not list(folder.iterdir())
    atomic.write(Path(sys.argv[1]), b"other")
"""
ELSEWHERE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
"""Another namespace of process numbers, as another container has; its host has the same name."""


LIBRARY = """
import sys, tempfile
from world_models.storage import temporary
with temporary.for_libraries():
    print(tempfile.mkdtemp(), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty system's folder of temporary files; where this user's folder in it will be."""
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    temporary._sweep.cache_clear()
    yield tmp_path / "tmp" / f"world-models-{os.geteuid()}"
    temporary._sweep.cache_clear()


def holder(out: Path) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(out)], stdin=pipe, stdout=pipe, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "holds\n"
    return process


def start(out: Path, *where: str) -> None:
    subprocess.run([*where, sys.executable, "-c", STARTS, str(out)], check=True)


def kept(home: Path, out: Path) -> list[Path]:
    return [*home.glob("files-*/files/a"), *out.parent.glob(f".{out.name}.*/{out.name}/a")]


@pytest.mark.parametrize("where", [(), ELSEWHERE], ids=["here", "elsewhere"])
def test_what_a_live_process_owns_stays_and_what_a_killed_one_left_goes(home, tmp_path, where):
    if where and subprocess.run([*where, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no private namespaces here")
    out = tmp_path / "out"
    process = holder(out)
    start(out, *where)
    assert len(kept(home, out)) == 2
    process.kill()
    process.communicate()
    assert len(kept(home, out)) == 2
    start(out, *where)
    assert not kept(home, out)
    assert not list(home.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "tmp"]


def test_what_a_library_of_a_killed_process_left_goes_too(home, tmp_path):
    pipe = subprocess.PIPE
    code = [sys.executable, "-c", LIBRARY]
    with subprocess.Popen(code, stdin=pipe, stdout=pipe, text=True) as process:
        made = Path(process.stdout.readline().strip())
        process.kill()
    assert made.is_dir()
    start(tmp_path / "out")
    assert not made.exists()
    assert not list(home.iterdir())


def test_libraries_find_their_folder_again_after_the_block(home):
    before = tempfile.gettempdir()
    with temporary.for_libraries():
        assert Path(tempfile.gettempdir()).parent.parent == home
        with temporary.folder() as inner:
            assert inner.is_dir()
    assert tempfile.gettempdir() == before
    assert not list(home.iterdir())


def test_a_forked_process_leaves_the_folder_to_its_maker(home):
    made = temporary.make("test")
    pid = os.fork()
    if not pid:
        made.remove()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert made.path.is_dir()
    made.remove()
    assert not list(home.iterdir())


def test_a_fork_that_outlives_the_maker_still_owns_the_folder(home, tmp_path):
    code = (
        "import os, signal, sys, time\n"
        "from world_models.storage import temporary\n"
        "made = temporary.make('files')\n"
        "if pid := os.fork():\n"
        "    print(pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "time.sleep(60)\n"
    )
    maker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    fork = int(maker.stdout.readline())
    maker.wait()
    start(tmp_path / "out")
    assert len(list(home.iterdir())) == 1
    os.kill(fork, signal.SIGKILL)
    maker.communicate()  # ends with the fork, which holds the other end
    start(tmp_path / "out")
    assert not list(home.iterdir())


def test_another_user_s_folder_stays(home, monkeypatch):
    with temporary.folder() as folder:
        lock = folder.parent / owned.LOCK
        lock.unlink()  # as of a dead process
        monkeypatch.setattr(owned, "is_own", lambda _: False)
        owned.sweep(home, "files-*")
        assert folder.is_dir()
        monkeypatch.undo()
        owned.sweep(home, "files-*")
        assert not folder.exists()


@pytest.mark.parametrize("plant", ["link", "file", "open to all"])
def test_a_planted_home_is_neither_used_nor_swept(home, tmp_path, plant):
    victim = tmp_path / "victim"
    (victim / "files-dead").mkdir(parents=True)
    victim.chmod(0o700)
    if plant == "link":
        home.symlink_to(victim)
    elif plant == "file":
        home.touch(mode=0o600)
    else:
        shutil.copytree(victim, home)
        home.chmod(0o777)
    with temporary.folder() as folder:
        assert home not in folder.parents
        assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert not folder.parent.exists()
    assert (victim / "files-dead").is_dir()
    if plant == "open to all":
        assert (home / "files-dead").is_dir()


@pytest.mark.parametrize("plant", ["link", "pipe", "long", "folder", "nothing"])
def test_only_a_small_regular_file_is_a_note(tmp_path, plant):
    note = tmp_path / "note"
    (tmp_path / "text").write_text("text")
    if plant == "link":
        note.symlink_to(tmp_path / "text")
    elif plant == "pipe":
        os.mkfifo(note)
    elif plant == "long":
        note.write_text("x" * 70_000)
    elif plant == "folder":
        note.mkdir()
    with pytest.raises(OSError):  # noqa: PT011
        owned.read_note(note)
    assert owned.read_note(tmp_path / "text") == "text"
