"""Tables and pictures of experiments, from metrics on disk."""

import json

import pandas as pd
import pytest

from world_models.errors import InputError, UserError
from world_models.reports.cells import load, published, table, write

AGENT = {"mean": 812.6, "se": 4.2, "sd": 59.0, "n": 200}


def store(experiment, cell, stage, content):
    folder = experiment / "metrics" / cell
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stage}.json").write_text(json.dumps(content))


def rows(text):
    header, _, *lines = (
        [x.strip() for x in line.strip("|").split("|")] for line in text.splitlines()
    )
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_an_experiment_has_a_row_for_each_cell_in_the_order_of_its_parameters(tmp_path):
    (tmp_path / "params.yaml").write_text("common: {}\nb-2: {}\na-2: {}\n")
    store(tmp_path, "a-2", "evaluate", {"agent": AGENT | {"lap_finished": 0.915}})
    store(tmp_path, "a-2", "collect", {"frames": 51_234})
    store(tmp_path, "a-2", "assess", {"nll": 0.9318, "reconstruction": 12.31, "life": 640.2})
    store(tmp_path, "b-2", "evaluate", {"agent": AGENT | {"n": 100}, "dream": AGENT})
    first, second = rows(table(load(tmp_path), {"b-2": {"agent": {"mean": 906, "sd": 21}}}))
    assert second == {
        "cell": "a-2",
        "mean ± SE": "813 ± 4",
        "SD": "59",
        "n": "200",
        "in the dream": "–",
        "published (± SD)": "–",
        "laps finished": "92%",
        "new frames": "51,234",
        "V: squared error": "12.3",
        "M: NLL": "0.932",
        "life": "640",
    }
    assert (first["cell"], first["n"], first["new frames"]) == ("b-2", "100", "–")
    assert (first["in the dream"], first["published (± SD)"]) == ("813 ± 4", "906 ± 21")


def test_a_share_of_another_cells_score_stands_beside_the_published_share(tmp_path):
    store(tmp_path, "plain", "evaluate", {"agent": AGENT | {"mean": 900.0}})
    store(tmp_path, "dark", "evaluate", {"agent": AGENT | {"mean": 450.0}})
    store(tmp_path, "foggy", "evaluate", {"agent": AGENT | {"mean": 90.0}})
    paper = {
        "plain": {"share_of": "plain", "agent": {"mean": 800, "sd": 37}},
        "dark": {"share_of": "plain", "agent": {"mean": 200, "sd": 9}},
        "foggy": {"share_of": "plain"},
    }
    shown = {row["cell"]: row for row in rows(table(load(tmp_path), paper))}
    assert {cell: row["share"] for cell, row in shown.items()} == {
        "plain": "100%",
        "dark": "50%",
        "foggy": "10%",
    }
    assert [shown[c]["published, share"] for c in ("plain", "dark", "foggy")] == [
        "100%",
        "25%",
        "–",
    ]


def test_the_picture_shows_every_mean_with_its_standard_error(tmp_path):
    store(tmp_path, "cold", "evaluate", {"agent": AGENT, "dream": AGENT | {"mean": 2000.0}})
    (tmp_path / "published.yaml").write_text("cells: {cold: {agent: {mean: 193, sd: 58, n: 100}}}")
    write(tmp_path, tmp_path / "scores")
    points = pd.read_csv(tmp_path / "scores/scores.csv").set_index("policy")
    assert points["mean"].to_dict() == {"agent": 812.6, "dream": 2000.0, "published": 193.0}
    assert points["se"].to_dict() == {"agent": 4.2, "dream": 4.2, "published": 5.8}
    assert (tmp_path / "scores/scores.png").read_bytes().startswith(b"\x89PNG")
    assert rows((tmp_path / "scores/scores.md").read_text()) == rows(
        table(load(tmp_path), published(tmp_path))
    )


def test_core_hours_of_cells_that_follow_each_other_add_up(tmp_path):
    """A cell goes on from one of another experiment, which goes on from the pipeline's agent."""
    rounds, best = tmp_path / "rounds", tmp_path / "best"
    for cell in ("a", "b"):
        store(best, cell, "evaluate", {"agent": AGENT})
    rounds.mkdir()
    (rounds / "cells.yaml").write_text("cells: {a-r2: {before: models/carracing}}")
    (best / "cells.yaml").write_text("cells: {a: {before: experiments/rounds/models/a-r2}}")
    assert "core-hours" not in table(load(best), {})
    lines = ["carracing,vae,0.5", "carracing,evolve,1.0", "a-r2,vae,0.25", "a,evolve,2.0"]
    lines += ["a,evaluate,9.0", "b,vae,0.5"]
    (best / "costs.csv").write_text("\n".join(["cell,stage,core_hours", *lines]))
    shown = {row["cell"]: row for row in rows(table(load(best), {}))}
    hours = {cell: (r["core-hours"], r["core-hours so far"]) for cell, r in shown.items()}
    assert hours == {"a": ("2.0", "3.8"), "b": ("0.5", "–")}
    (best / "published.yaml").write_text(
        "cells: {}\nlog: {carracing: {label: theirs, points: [{core_hours: 1000, mean: 823}]}}"
    )
    write(best, best / "scores")
    assert (best / "scores/costs.png").read_bytes().startswith(b"\x89PNG")
    (best / "costs.csv").write_text("cell,stage,core_hours\na,evolve,2.0\n")
    (row,) = (row for row in rows(table(load(best), {})) if row["cell"] == "a")
    assert (row["core-hours"], row.get("core-hours so far")) == ("2.0", None)  # of a-r2 unknown
    (best / "costs.csv").write_text("cell,hours\n")
    with pytest.raises(InputError, match=r"costs\.csv holds no costs.*results best --costs"):
        load(best)


def test_frames_and_steps_of_cells_that_follow_each_other_add_up(tmp_path):
    """One arm collects, the other trains on with what there is."""
    root, rounds = tmp_path / "metrics/carracing", tmp_path / "experiments/rounds"
    root.mkdir(parents=True)
    (root / "rollouts.json").write_text('{"frames": 66000}')
    cells = ["r2: {before: models/carracing}", "r3: {before: experiments/rounds/models/r2}"]
    cells += ["t2: {before: models/carracing}"]
    for cell in ("r2", "r3", "t2"):
        store(rounds, cell, "evaluate", {"agent": AGENT})
        store(rounds, cell, "evolve", {"steps": 1000})
    for cell in ("r2", "r3"):
        store(rounds, cell, "collect", {"frames": 500})
    (rounds / "cells.yaml").write_text(f"cells: {{{', '.join(cells)}}}")
    shown = {row["cell"]: row for row in rows(table(load(rounds), {}))}
    assert {cell: row["frames so far"] for cell, row in shown.items()} == {
        "r2": "66,500",
        "r3": "67,000",
        "t2": "66,000",
    }
    assert "C's steps so far" not in shown["r2"], "those of the first round are unknown"
    (root / "evolve.json").write_text('{"steps": 9000}')
    shown = {row["cell"]: row for row in rows(table(load(rounds), {}))}
    steps = {cell: row["C's steps so far"] for cell, row in shown.items()}
    assert steps == {"r2": "10,000", "r3": "11,000", "t2": "10,000"}


def test_without_metrics_there_is_no_table(tmp_path):
    with pytest.raises(UserError, match="run it first"):
        load(tmp_path)


@pytest.mark.parametrize("stage", ["evaluate", "assess"])
def test_a_damaged_file_is_named(tmp_path, stage):
    store(tmp_path, "a", "evaluate", {"agent": AGENT})
    (tmp_path / f"metrics/a/{stage}.json").write_text("{")
    with pytest.raises(InputError, match=f"{stage}.json holds no scores.*{stage}@a"):
        load(tmp_path)
