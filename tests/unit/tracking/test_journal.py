"""The journal: lines of several processes do not mix, and what is kept stays as it was."""

import pickle
import subprocess
import sys

import pytest

from world_models.tracking.journal import Journal, Reader

WRITER = """
import sys
from pathlib import Path
from world_models.tracking.journal import Journal
journal = Journal(Path(sys.argv[1]))
for n in range(300):
    journal.append({"do": "metrics", "writer": sys.argv[2], "n": n, "text": "x" * 5000})
"""


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "vae-carracing-0123-99.jsonl")
    journal.create({"do": "open"})
    return journal


def test_lines_of_several_processes_do_not_mix(journal):
    command = [sys.executable, "-c", WRITER, str(journal.path)]
    writers = [subprocess.Popen([*command, name]) for name in "abc"]
    reader, found = Reader(journal), []
    while any(writer.poll() is None for writer in writers):
        found += reader.read()
    found += reader.read()
    reader.file.close()
    assert found.pop(0)["do"] == "open"
    for name in "abc":
        assert [line["n"] for line in found if line["writer"] == name] == list(range(300))
    assert {len(line["text"]) for line in found} == {5000}


def test_a_line_waits_until_it_is_complete_and_a_damaged_one_is_left_out(journal):
    reader = Reader(journal)
    reader.read()
    with journal.path.open("ab", buffering=0) as file:
        file.write(b'{"do": "me')
        assert reader.read() == []
        file.write(b'trics"}\n{"do": "ta')
        assert reader.read() == [{"do": "metrics"}]
        file.write(b'\n{"do": "tags"}\n')
        assert reader.read() == [{"do": "tags"}]
    reader.file.close()


def test_kept_files_stay_as_they_were_when_the_path_is_replaced(journal, tmp_path):
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "a.txt").write_text("first")
    (tmp_path / "m.json").write_text("first")
    kept, single = journal.keep(folder), journal.keep(tmp_path / "m.json")
    for path in (folder / "a.txt", tmp_path / "m.json"):
        (tmp_path / "new").write_text("second")
        (tmp_path / "new").replace(path)
    assert (kept / "a.txt").read_text() == single.read_text() == "first"
    assert (kept.name, single.name) == ("reports", "m.json")
    journal.log.touch()
    journal.remove()
    assert {path.name for path in tmp_path.iterdir()} == {"reports", "m.json"}


def test_a_journal_belongs_to_a_run_and_is_never_begun_twice_or_revived(journal):
    assert journal.run == "vae-carracing-0123"
    assert pickle.loads(pickle.dumps(journal)) == journal
    with pytest.raises(FileExistsError):
        journal.create({"do": "open"})
    journal.remove()
    assert journal.opening() is None
    with pytest.raises(FileNotFoundError):
        journal.append({"do": "metrics"})
