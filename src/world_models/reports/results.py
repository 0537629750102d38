"""Tables of scores, from the metrics that stages wrote."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from world_models.envs import catalogue
from world_models.errors import UserError
from world_models.reports.metrics import read, readable
from world_models.storage import atomic

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


def _rows(metrics: Path, environment: str) -> Iterator[dict[str, str]]:
    path = metrics / environment / "evaluate.json"
    with readable(path, f"evaluate@{environment}"):
        scores = read(path)
        rows = [row(environment, name, scores[name]) for name in POLICIES if name in scores]
    yield from rows


def row(environment: str, policy: str, score: Mapping[str, Any]) -> dict[str, str]:
    """One policy's score for people, beside the paper's."""
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


def markers(experiment: str | None = None) -> tuple[str, str]:
    """The lines between which a document has a table: the pipelines', or an experiment's."""
    name = f"results of {experiment}" if experiment else "results"
    return f"<!-- {name} -->", f"<!-- end of {name} -->"


def block(text: str, experiment: str | None = None) -> str:
    """What stands between the markers of a document, stripped.

    Raises:
        UserError: the markers are missing.
    """
    begin, end = markers(experiment)
    _, found, rest = text.partition(begin)
    inside, ended, _ = rest.partition(end)
    if not (found and ended):
        raise UserError(f"The file needs the lines {begin} and {end}, where the table belongs.")
    return inside.strip()


def write(document: Path, content: str, experiment: str | None = None) -> None:
    """Replace what stands between the markers.

    Raises:
        UserError: the markers are missing, or the document cannot be read or written.
    """
    try:
        text = document.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{document} cannot be read: {error}.") from error
    block(text, experiment)
    begin, end = markers(experiment)
    before, after = text.split(begin)[0], text.split(end)[1]
    atomic.write(document, f"{before}{begin}\n{content}\n{end}{after}".encode())
