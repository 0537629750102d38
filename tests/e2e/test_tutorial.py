"""The tutorial does what it says: every command of it, in order, in a clone."""

import shutil

import pytest

import servers
import tour

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("spare")]


def test_the_tutorial_does_what_it_says(spare, tmp_path):
    folder = tmp_path / "world-models"
    shutil.copytree(spare.folder, folder, symlinks=True)  # its stages have run
    found = list(tour.steps(tour.TUTORIAL.read_text(encoding="utf-8")))
    assert len(found) > 8
    assert sum(len(step.expected) for step in found) > 8
    with servers.s3() as bucket:
        for step in found:
            tour.follow(step, folder, tour.shell(**bucket))


def test_a_step_that_does_not_hold_is_noticed(tmp_path):
    (step,) = tour.steps("```bash\necho one\n```\n<!-- expect: two -->\n")
    with pytest.raises(AssertionError, match="lacks 'two'"):
        tour.follow(step, tmp_path, tour.shell())
    (step,) = tour.steps("```bash\nfalse\n```\n")
    with pytest.raises(AssertionError, match="ended with 1"):
        tour.follow(step, tmp_path, tour.shell())
