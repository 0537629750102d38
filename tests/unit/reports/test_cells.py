"""Tables of scores, from metrics on disk."""

import json

import pytest

from world_models.errors import UserError
from world_models.reports.results import cells


def write(folder, stage, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stage}.json").write_text(json.dumps(content))


def test_an_experiment_has_a_row_for_each_cell(tmp_path):
    agent = {"mean": 812.6, "se": 4.2, "sd": 59.0, "n": 200}
    write(tmp_path / "a-2", "evaluate", {"agent": agent})
    write(tmp_path / "a-2", "collect", {"frames": 51_234})
    write(tmp_path / "a-2", "assess", {"nll": 0.9318, "reconstruction": 12.31, "life": 640.2})
    write(tmp_path / "b-2", "evaluate", {"agent": agent | {"n": 100}})
    header, _, *rows = cells(tmp_path).splitlines()
    names = [name.strip() for name in header.strip("|").split("|")]
    first, second = (
        dict(zip(names, (x.strip() for x in row.strip("|").split("|")), strict=True))
        for row in rows
    )
    assert first == {
        "cell": "a-2",
        "mean ± SE": "813 ± 4",
        "SD": "59",
        "n": "200",
        "new frames": "51,234",
        "V: squared error": "12.3",
        "M: NLL": "0.932",
        "life": "640",
    }
    assert (second["cell"], second["n"], second["new frames"]) == ("b-2", "100", "–")


def test_without_metrics_there_is_no_table(tmp_path):
    with pytest.raises(UserError, match="run the experiment first"):
        cells(tmp_path)
