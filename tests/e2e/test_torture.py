"""A few of the kills, faults and damaged files of ``make torture``, by another seed.

In the spare clone, as the tutorial: another worker looks at the first one meanwhile.
"""

import pytest

from torture import faults, files, kills
from torture.lane import Lane

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("spare")]
SEED = 20261130


@pytest.fixture(scope="module")
def lane(spare, tmp_path_factory):
    return Lane.copy(spare.folder, tmp_path_factory.mktemp("lane"))


def test_whatever_is_killed_the_outputs_are_the_same_bytes(lane):
    rows = kills.run(lane, 6, SEED, print, stages=["evolve@takecover"])
    assert sum(row.tried for row in rows.values()) >= 6
    assert not [why for row in rows.values() for why in row.why]


def test_whatever_the_world_does_the_outputs_are_the_same_bytes(lane):
    """Those faults that nothing has to wait for."""
    kinds = ("disk full at a file operation", "files limited in size", "two at once")
    rows = faults.run(
        lane, 5, SEED, print, ["encode@takecover"], (*kinds, "state damaged", "clock jumps")
    )
    assert [row.equal for row in rows.values()] == [1] * 5
    assert not [why for row in rows.values() for why in row.why]


def test_damaged_files_are_refused_or_harmless(spare):
    rows = files.run(files.artifacts(spare.folder), 150, SEED, print)
    assert sum(row.survived for row in rows.values()) == 150
