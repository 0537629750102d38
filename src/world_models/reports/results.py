"""The README's table of scores, from the metrics that ``evaluate`` wrote."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from world_models.envs import catalogue
from world_models.errors import UserError

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
POLICIES = {"agent": "trained agent", "random": "random policy", "dream": "agent, in the dream"}


def table(metrics: Path) -> str:
    """The table in Markdown, "" if nothing has been evaluated.

    Args:
        metrics: the folder that holds ``<environment>/evaluate.json``.
    """
    rows = [row for environment in catalogue.names() for row in _rows(metrics, environment)]
    if not rows:
        return ""
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def _rows(metrics: Path, environment: str) -> Iterator[dict[str, str]]:
    path = metrics / environment / "evaluate.json"
    if not path.exists():
        return
    scores: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    about = catalogue.specification(environment)
    for policy, name in POLICIES.items():
        if policy in scores:
            score = scores[policy]
            yield {
                "environment": about.title,
                "policy": name,
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
        UserError: the markers are missing.
    """
    text = document.read_text(encoding="utf-8")
    block(text)
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    document.write_text(f"{before}{BEGIN}\n{content}\n{END}{after}", encoding="utf-8")
