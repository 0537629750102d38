"""The README's table of scores, from the metrics that ``evaluate`` wrote."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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
    head = "| | | mean ± SE | SD | n | steps | the paper (± SD) | command |"
    return "\n".join([head, "|---|---|---|---|---|---|---|---|", *rows])


def _rows(metrics: Path, environment: str) -> Iterator[str]:
    path = metrics / environment / "evaluate.json"
    if not path.exists():
        return
    scores: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    for policy, name in POLICIES.items():
        if policy in scores:
            yield _row(environment, policy, name, scores[policy])


def _row(environment: str, policy: str, name: str, score: Mapping[str, float]) -> str:
    about = catalogue.specification(environment)
    cells = [
        about.title,
        name,
        f"{score['mean']:.0f} ± {score['se']:.0f}",
        f"{score['sd']:.0f}",
        f"{score['n']}",
        f"{score['length']:.0f}",
        about.paper_scores.get(policy, "–"),
        f"`dvc repro evaluate@{environment}`",
    ]
    return f"| {' | '.join(cells)} |"


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
