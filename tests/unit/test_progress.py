"""Progress as plain lines, as in a log file."""

import pytest

from world_models import progress
from world_models.progress import clock


@pytest.mark.parametrize(("seconds", "text"), [(0, "00:00"), (61.4, "01:01"), (3723, "1:02:03")])
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_plain_lines_off_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY", 0.0)
    with progress.progress(4, "work", done=2) as bar:
        bar.advance(1, "loss 3")
        bar.advance(1)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("work: 3/4, ")
    assert lines[0].endswith("left  loss 3")
    assert lines[1].startswith("work: 4/4, 00:00 left")


def test_last_line_is_always_shown(capsys):
    with progress.progress(1000, "work") as bar:
        for _ in range(1000):
            bar.advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("work: 1000/1000")
    assert len(lines) < 10
