"""One page that compares pipelines: scores, parameters, metrics, curves, videos; nothing else."""

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from world_models.evaluation.differences import Difference, difference
from world_models.evaluation.statistics import Score, score
from world_models.origin.lock import leaves
from world_models.origin.sides import Side
from world_models.reports.style import plain_style

STAGES = ("rollouts", "vae", "encode", "mdnrnn", "evolve")
EPISODES = {"agent": "episodes", "random": "episodes", "dream": "dreams"}
"""Policies, and the table of evaluate that has their episodes."""
VIDEOS = ("agent-1.mp4", "dream.mp4")
CURVES = {
    "V: squared error a frame, held out": ("vae/curves", "step", "validation_reconstruction"),
    "M: NLL a dimension, held out": ("mdnrnn/curves", "step", "validation_nll"),
    "C: mean return of the candidates": ("evolve/history", "steps", "mean"),
    "C: the mean, validated": ("evolve/history", "steps", "validation"),
}
"""By title: the table, its column for x, its column for y."""
LINES = ("-", "--", ":", "-.")
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em }
table { border-collapse: collapse; margin: 1em 0 }
th, td { border-bottom: 1px solid #8884; padding: .3em .8em; text-align: left }
th { background: #8882 } svg, video { max-width: 100% } video { width: 30em; margin: .5em }
figure { display: inline-block; margin: 0 }
"""


@dataclass(frozen=True)
class Row:
    """One policy's scores: of each side, and of each side but the first its difference from it."""

    policy: str
    scores: list[Score | None]
    differences: list[Difference | None]


def rows(sides: Sequence[Side]) -> list[Row]:
    """A row for each policy that any side has episodes of."""
    found = []
    for policy in EPISODES:
        played = [_returns(side, policy) for side in sides]
        if any(table is not None for table in played):
            scores = [None if table is None else _score(table) for table in played]
            returns = [None if table is None else _by_seed(table) for table in played]
            against = [_against(returns[0], other) for other in returns[1:]]
            found.append(Row(policy, scores, against))
    return found


def differing(sides: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The keys whose values are not the same on all sides, with each side's; None: it has none."""
    keys = dict.fromkeys(key for side in sides for key in side)
    values = {key: [side.get(key) for side in sides] for key in keys}
    return {key: found for key, found in values.items() if any(v != found[0] for v in found)}


def code(sides: Sequence[Side]) -> list[str]:
    """Files and folders of code that differ, of sides whose code is known."""
    known = [side.code for side in sides if side.code]
    return sorted(differing(known)) if len(known) > 1 else []


def metrics(sides: Sequence[Side]) -> dict[str, list[Any]]:
    """All stages' metrics that differ, by ``<stage>.<name>``."""
    return differing(
        [
            {f"{stage}.{k}": v for stage in STAGES for k, v in leaves(side.metrics(stage))}
            for side in sides
        ]
    )


def page(environment: str, sides: Sequence[Side]) -> str:
    """The whole page as HTML, with pictures and videos in it: it needs no other file."""
    names = [side.label for side in sides]
    title = f"{environment}: {', '.join(names)}"
    about = [[escape(side.label), escape(_about(side))] for side in sides]
    with plain_style():
        parts = [
            _table(["", "what it is"], about),
            "<h2>Scores</h2>",
            _scores(names, rows(sides)),
            _svg(returns(sides)),
            "<h2>Parameters that differ</h2>",
            _values(names, differing([side.parameters for side in sides])),
            _code(code(sides)),
            "<h2>Metrics that differ</h2>",
            _values(names, metrics(sides)),
            "<h2>Curves</h2>",
            _svg(curves(sides)),
            "<h2>Videos</h2>",
            *_videos(sides),
        ]
    head = f"<meta charset='utf-8'><title>{escape(title)}</title><style>{STYLE}</style>"
    body = f"<h1>{escape(title)}</h1>{''.join(parts)}"
    return f"<!doctype html><html lang='en'><head>{head}</head><body>{body}</body></html>\n"


def _about(side: Side) -> str:
    made = f". Its score was made with {', '.join(side.later)}" if side.later else ""
    return f"{side.about}{made}"


def returns(sides: Sequence[Side]) -> Figure:
    """For each side the share of the agent's episodes that reach a return; a line each."""
    picture = Figure(figsize=(9, 3.2), layout="constrained")
    axes = picture.subplots()
    for side in sides:
        table = _returns(side, "agent")
        if table is not None:
            values = np.sort(table["return"].to_numpy())
            reached = 1 - np.arange(len(values)) / len(values)
            axes.step(values, reached, where="post", label=side.label)
    axes.set_xlabel("return")
    axes.set_ylabel("share of episodes that reach it")
    if axes.lines:
        axes.legend()
    return picture


def curves(sides: Sequence[Side]) -> Figure:
    """The curves of V, M and C, a line for each side."""
    picture = Figure(figsize=(11, 7), layout="constrained")
    for axes, (title, (table, x, y)) in zip(
        picture.subplots(2, 2).flat, CURVES.items(), strict=True
    ):
        axes.set_title(title)
        axes.set_xlabel(x)
        for number, side in enumerate(sides):
            found = _csv(side, f"reports/{table}.csv")
            if found is not None and {x, y} <= set(found):
                known = found[found[y].notna()]
                dashes = LINES[number % len(LINES)]  # so that equal curves are both seen
                axes.plot(known[x], known[y], dashes, label=side.label)
        if axes.lines:
            axes.legend()
    return picture


def _returns(side: Side, policy: str) -> pd.DataFrame | None:
    table = _csv(side, f"reports/evaluate/{EPISODES[policy]}.csv")
    if table is None or "return" not in table:
        return None
    played = table[table["policy"] == policy]
    return played if len(played) > 1 else None


def _score(table: pd.DataFrame) -> Score:
    return score(table["return"].to_numpy(np.float64), table["length"].to_numpy(np.int64))


def _by_seed(table: pd.DataFrame) -> pd.Series:
    return table.drop_duplicates("seed").set_index("seed")["return"]


def _against(first: pd.Series | None, other: pd.Series | None) -> Difference | None:
    return None if first is None or other is None else difference(first, other)


def _csv(side: Side, name: str) -> pd.DataFrame | None:
    content = side.read(name)
    return None if content is None else pd.read_csv(io.BytesIO(content))


def _scores(names: Sequence[str], found: Sequence[Row]) -> str:
    if not found:
        return "<p>No side has episodes: none was evaluated.</p>"
    first = escape(names[0])
    head = ["", *map(escape, names), *(f"{escape(name)} − {first}" for name in names[1:])]
    lines = [
        [row.policy, *(_text(s) for s in row.scores), *(_test(d) for d in row.differences)]
        for row in found
    ]
    return _table(head, lines)


def _test(found: Difference | None) -> str:
    return "–" if found is None else f"{escape(str(found))}<br><small>{escape(found.test)}</small>"


def _code(paths: Sequence[str]) -> str:
    if not paths:
        return ""
    listed = ", ".join(f"<code>{escape(path)}</code>" for path in paths)
    return f"<p>Code that differs ({len(paths)}): {listed}</p>"


def _values(names: Sequence[str], values: Mapping[str, Sequence[Any]]) -> str:
    if not values:
        return "<p>None.</p>"
    head = ["", *map(escape, names)]
    return _table(head, [[escape(key), *map(_text, row)] for key, row in values.items()])


def _text(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.5g}" if isinstance(value, float) else escape(str(value))


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in line)}</tr>" for line in lines)
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"


def _svg(picture: Figure) -> str:
    file = io.StringIO()
    picture.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue().partition("<!DOCTYPE")[2].partition(">")[2]


def _videos(sides: Sequence[Side]) -> Iterator[str]:
    for name in VIDEOS:
        films = ((side.label, side.read(f"reports/report/evaluate/{name}")) for side in sides)
        yield f"<div>{''.join(_video(f'{a}: {name}', film) for a, film in films if film)}</div>"


def _video(caption: str, content: bytes) -> str:
    source = f"data:video/mp4;base64,{base64.b64encode(content).decode()}"
    film = f"<video src='{source}' controls loop muted></video>"
    return f"<figure><figcaption>{escape(caption)}</figcaption>{film}</figure>"
