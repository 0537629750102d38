"""Tables of scores, from the metrics that stages wrote."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from world_models.envs import catalogue
from world_models.errors import InputError, UserError
from world_models.storage import atomic

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
POLICIES = {"agent": "trained agent", "random": "random policy", "dream": "agent, in the dream"}


def table(metrics: Path) -> str:
    """The table in Markdown.

    Args:
        metrics: the folder that holds ``<environment>/evaluate.json``.

    Raises:
        UserError: nothing has been evaluated, or a file is damaged.
    """
    rows = [row for environment in catalogue.names() for row in _rows(metrics, environment)]
    if not rows:
        raise UserError(
            f"{metrics} holds no <environment>/evaluate.json: evaluate something first "
            "(dvc repro evaluate), or name another folder with --metrics."
        )
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def cells(metrics: Path) -> str:
    """The table of an experiment in Markdown: a row for each of its cells.

    A cell is a run of the pipeline under other settings, such as a round.

    Args:
        metrics: the folder that holds ``<cell>/<stage>.json``.

    Raises:
        UserError: nothing has been evaluated, or a file is damaged.
    """
    folders = sorted(path.parent for path in metrics.glob("*/evaluate.json"))
    if not folders:
        raise UserError(f"{metrics} holds no <cell>/evaluate.json: run the experiment first.")
    rows = [_cell(folder) for folder in folders]
    return pd.DataFrame(rows).fillna("–").to_markdown(index=False, disable_numparse=True)


def _cell(folder: Path) -> dict[str, str]:
    with _readable(folder / "evaluate.json", f"evaluate@{folder.name}"):
        return _cell_row(folder)


def _cell_row(folder: Path) -> dict[str, str]:
    agent = _read(folder / "evaluate.json")["agent"]
    new = _read(folder / "collect.json") or _read(folder / "rollouts.json")
    known = _read(folder / "assess.json")
    said = {
        "new frames": (new.get("frames"), ",.0f"),
        "V: squared error": (known.get("reconstruction"), ".1f"),
        "M: NLL": (known.get("nll"), ".3f"),
        "M: recall of ends": (known.get("end_recall"), ".2f"),
        "life": (known.get("life"), ".0f"),
        "dreamed life": (known.get("dreamed_life"), ".0f"),
    }
    row = {
        "cell": folder.name,
        "mean ± SE": f"{agent['mean']:.0f} ± {agent['se']:.0f}",
        "SD": f"{agent['sd']:.0f}",
        "n": f"{agent['n']}",
    }
    return row | {name: format(x, form) for name, (x, form) in said.items() if x is not None}


def _read(path: Path) -> Mapping[str, Any]:
    """A stage's metrics; empty if it has none."""
    if not path.exists():
        return {}
    found: Mapping[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    return found


def _rows(metrics: Path, environment: str) -> Iterator[dict[str, str]]:
    path = metrics / environment / "evaluate.json"
    with _readable(path, f"evaluate@{environment}"):
        scores = _read(path)
        rows = [_row(environment, name, scores[name]) for name in POLICIES if name in scores]
    yield from rows


@contextmanager
def _readable(path: Path, stage: str) -> Iterator[None]:
    """Turn a fault in a metrics file into one line."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} holds no scores ({type(error).__name__}: {error}). Write it again with "
            f"`dvc repro --force {stage}`."
        ) from error


def _row(environment: str, policy: str, score: Mapping[str, Any]) -> dict[str, str]:
    about = catalogue.specification(environment)
    return {
        "environment": about.title,
        "policy": POLICIES[policy],
        "mean ± SE": f"{score['mean']:.0f} ± {score['se']:.0f}",
        "SD": f"{score['sd']:.0f}",
        "n": f"{score['n']}",
        "steps": f"{score['length']:.0f}",
        "the paper (± SD)": about.paper_scores.get(policy, "–"),
        "command": f"`dvc repro evaluate@{environment}`",
    }


def block(text: str) -> str:
    """What stands between the markers of a document, stripped.

    Raises:
        UserError: the markers are missing.
    """
    _, found, rest = text.partition(BEGIN)
    inside, end, _ = rest.partition(END)
    if not (found and end):
        raise UserError(f"The file needs the lines {BEGIN} and {END}, where the table belongs.")
    return inside.strip()


def write(document: Path, content: str) -> None:
    """Replace what stands between the markers.

    Raises:
        UserError: the markers are missing, or the document cannot be read or written.
    """
    try:
        text = document.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{document} cannot be read: {error}.") from error
    block(text)
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    atomic.write(document, f"{before}{BEGIN}\n{content}\n{END}{after}".encode())
