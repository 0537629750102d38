"""An experiment's scores: a row, and a point in the picture, for each of its cells.

A cell is the pipeline, or some of its stages, with other settings, such as a temperature.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from world_models.errors import UserError
from world_models.reports import costs
from world_models.reports.metrics import read, readable
from world_models.reports.style import plain_style, save
from world_models.schema import read_yaml
from world_models.storage import atomic

Cells = dict[str, dict[str, Any]]
"""By cell: the metrics of its stages, by stage."""
STAGES = ("collect", "rollouts", "joint", "assess", "evaluate")
PUBLISHED = "published.yaml"
"""In the experiment's folder: what the paper says of some cells, and ``share_of``, the cell whose
score a cell's is a share of. ``log`` has scores by cost, by environment: a label, and points."""
MARKS = {
    "agent": ("in reality", "o"),
    "dream": ("in the dream", "s"),
    "published": ("published", "D"),
    "attention": ("AttentionAgent, published", "^"),
}
OF_PAPERS = {
    "agent": "published (± SD)",
    "dream": "published, dream (± SD)",
    "attention": "AttentionAgent (± SD)",
}
"""Columns of published scores."""
FIGURES = {
    "laps finished": ("evaluate", "agent", "lap_finished", ".0%"),
    "accidents": ("evaluate", "agent", "accident", ".0%"),
    "new frames": ("data", "frames", ",.0f"),
    "frames so far": ("frames_so_far", ",.0f"),
    "C's steps so far": ("steps_so_far", ",.0f"),
    "core-hours": ("core_hours", ".1f"),
    "core-hours so far": ("core_hours_so_far", ".1f"),
    "V, held out: squared error": ("joint", "reconstruction", ".1f"),
    "V, held out: KL": ("joint", "kl", ".1f"),
    "M beside it: NLL": ("joint", "nll", ".3f"),
    "V: squared error": ("assess", "reconstruction", ".1f"),
    "M: NLL": ("assess", "nll", ".3f"),
    "M: recall of ends": ("assess", "end_recall", ".2f"),
    "life": ("assess", "life", ".0f"),
    "dreamed life": ("assess", "dreamed_life", ".0f"),
}
"""Columns beside the scores: where the number is found in a cell, and how it is written."""


def load(experiment: Path) -> Cells:
    """The metrics of all cells that were evaluated, in the order of the experiment's parameters.

    Args:
        experiment: its folder, which holds ``metrics/<cell>/<stage>.json``.

    Raises:
        UserError: nothing has been evaluated, or a file is damaged.
    """
    folders = [path.parent for path in (experiment / "metrics").glob("*/evaluate.json")]
    if not folders:
        raise UserError(f"{experiment}/metrics holds no <cell>/evaluate.json: run it first.")
    parameters = experiment / "params.yaml"
    order = list(read_yaml(parameters)) if parameters.exists() else []
    known = {name: place for place, name in enumerate(order)}
    folders.sort(key=lambda f: (known.get(f.name, len(known)), f.name))
    spent, before = costs.read(experiment), costs.chain(experiment)
    return {
        folder.name: _cell(folder)
        | spent.get(folder.name, {})
        | (_so_far(experiment, folder.name, before) if folder.name in before else {})
        for folder in folders
    }


def _cell(folder: Path) -> dict[str, Any]:
    found = _stages(folder, STAGES)
    with readable(folder / "evaluate.json", f"evaluate@{folder.name}"):
        _score(found["evaluate"]["agent"])
    return found | {"data": found["collect"] or found["rollouts"]}


def _stages(folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """The metrics of these stages of a cell; empty where it has none."""
    found: dict[str, Any] = {}
    for stage in names:
        with readable(folder / f"{stage}.json", f"{stage}@{folder.name}"):
            found[stage] = read(folder / f"{stage}.json")
    return found


def _so_far(experiment: Path, cell: str, before: Mapping[str, Path | None]) -> dict[str, float]:
    """Frames of data and steps of C, of a cell and of all before it.

    A sum is left out if nothing is known of the pipeline at the root, with which it begins.

    Args:
        experiment: its folder is ``experiments/<name>`` under the root.
        cell: its name.
        before: of :func:`costs.chain`.
    """
    total = {"frames_so_far": 0.0, "steps_so_far": 0.0}
    for models in costs.back(experiment, cell, before):
        parts = ("metrics" if part == "models" else part for part in models.parts)
        folder = experiment.parents[1].joinpath(*parts)
        found = _stages(folder, ("collect", "rollouts", "evolve"))
        frames = (found["collect"] or found["rollouts"]).get("frames")
        own = {"frames_so_far": frames, "steps_so_far": found["evolve"].get("steps")}
        total = {key: value + (own[key] or 0) for key, value in total.items()}
    return {key: value for key, value in total.items() if own[key] is not None}


def published(experiment: Path) -> Mapping[str, Any]:
    """By cell and policy: mean, sd and n that were published."""
    return dict(_published(experiment).get("cells", {}))


def _published(experiment: Path) -> Mapping[str, Any]:
    path = experiment / PUBLISHED
    return read_yaml(path) if path.exists() else {}


def table(cells: Cells, paper: Mapping[str, Any]) -> str:
    """The table in Markdown: mean ± standard error, SD and n of each cell, and what else it has."""
    rows = [_row(name, cells, paper) for name in cells]
    return pd.DataFrame(rows).fillna("–").to_markdown(index=False, disable_numparse=True)


def _row(name: str, cells: Cells, papers: Mapping[str, Any]) -> dict[str, str]:
    cell, paper = cells[name], papers.get(name, {})
    scores = cell["evaluate"]
    agent = scores["agent"]
    whole = paper.get("share_of")
    row = {"cell": name, "mean ± SE": _score(agent), "SD": f"{agent['sd']:.0f}"}
    row["n"] = f"{agent['n']}"
    if whole in cells:
        row["share"] = f"{agent['mean'] / cells[whole]['evaluate']['agent']['mean']:.0%}"
    if "dream" in scores:
        row["in the dream"] = _score(scores["dream"])
    for policy, label in OF_PAPERS.items():
        if policy in paper:
            row[label] = f"{paper[policy]['mean']:.0f} ± {paper[policy]['sd']:.0f}"
    if whole in papers and "agent" in paper:
        row["published, share"] = f"{paper['agent']['mean'] / papers[whole]['agent']['mean']:.0%}"
    for label, (*place, form) in FIGURES.items():
        value: Any = cell
        for key in place:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            row[label] = format(value, form)
    return row


def _score(score: Mapping[str, Any]) -> str:
    return f"{score['mean']:.0f} ± {score['se']:.0f}"


def write(experiment: Path, out: Path) -> None:
    """Write ``scores.csv``, ``scores.md`` and ``scores.png``, all or none.

    Where cells follow each other and their costs are known, ``costs.png`` too.

    Args:
        experiment: its folder.
        out: the folder to write.

    Raises:
        UserError: as :func:`load`.
    """
    cells, paper = load(experiment), published(experiment)
    points = pd.DataFrame(_points(cells, paper))
    with atomic.atomic_folder(out) as folder, plain_style():
        points.to_csv(folder / "scores.csv", index=False)
        (folder / "scores.md").write_text(table(cells, paper) + "\n", encoding="utf-8")
        save(figure(points), folder / "scores.png")
        spent = pd.DataFrame(_spent(experiment, cells))
        if len(spent):
            log = _published(experiment).get("log", {})
            save(costs.figure(spent, log), folder / "costs.png")


def _spent(experiment: Path, cells: Cells) -> Iterator[dict[str, Any]]:
    """Every cell's score and what it took, where that is known."""
    before = costs.chain(experiment)
    for name, cell in cells.items():
        if hours := cell.get("core_hours_so_far"):
            *_, first = costs.back(experiment, name, before)
            at = {"environment": first.name, "cell": name, "core_hours": hours}
            yield at | cell["evaluate"]["agent"]


def _points(cells: Cells, paper: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every mean with its standard error, long format."""
    for name, cell in cells.items():
        for policy in ("agent", "dream"):
            if policy in cell["evaluate"]:
                score = cell["evaluate"][policy]
                yield {"cell": name, "policy": policy} | {
                    key: score[key] for key in ("mean", "se", "sd", "n")
                }
        for policy, shown in (("agent", "published"), ("attention", "attention")):
            if policy in paper.get(name, {}):
                score = paper[name][policy]
                se = score["sd"] / math.sqrt(score["n"])
                yield {"cell": name, "policy": shown, "se": se} | dict(score)


def figure(points: pd.DataFrame) -> Figure:
    """Mean and standard error of every cell, one below the other."""
    names = list(dict.fromkeys(points["cell"]))
    drawn = Figure(figsize=(7, 1.2 + 0.45 * len(names)), layout="constrained")
    axes = drawn.subplots()
    shown = [policy for policy in MARKS if policy in set(points["policy"])]
    for place, policy in enumerate(shown):
        part = points[points["policy"] == policy]
        rows = [names.index(cell) + 0.16 * (place - (len(shown) - 1) / 2) for cell in part["cell"]]
        label, mark = MARKS[policy]
        axes.errorbar(part["mean"], rows, xerr=part["se"], fmt=mark, capsize=3, label=label)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlabel("return of an episode: mean ± standard error")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="best", fontsize="small")
    return drawn
