"""The agent of the smoke pipeline, released and verified as people do it."""

import re

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]


def test_pipelines_agent_is_released_and_verified(pipeline, tmp_path):
    cli = "world_models.cli"
    pipeline.run(cli, "release", "takecover", "--to", str(tmp_path))
    folder = tmp_path / "takecover"
    page = (folder / "README.md").read_text()
    assert "not recorded" not in page  # the cards of all stages say what the page asks
    assert re.search(r"\| 1 +\| evolve +\| C: ", page)
    words = ("--models", str(folder), "--episodes", "2")
    said = pipeline.run(cli, "verify", "takecover", *words, check=False)
    row = re.search(r"\| played now \| (\S+) ± (\S+) +\| (\S+) +\| 2 ", said)
    mean, se, sd = (float(number) for number in row.groups())
    assert mean > 0
    assert se == pytest.approx(sd / 2**0.5, abs=0.1)
    assert re.search(r"difference \S+ ± \S+, \d+\.\d times its standard error", said)
