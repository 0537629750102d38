"""Pictures by step and tables, where MLflow's UI looks for them. Only the recorder loads it."""

import csv
import json
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient
from PIL import Image

TABLES = "mlflow.loggedArtifacts"
"""Tag that lists what is a table."""
LONGEST = 2000
"""Rows of a table that the UI's page bears; a longer one stands among the artifacts alone."""


def log_slides(client: MlflowClient, run_id: str, folder: Path) -> None:
    """Log ``folder/<slider>/<step>.png``."""
    for path in sorted(folder.glob("*/*.png")):
        with Image.open(path) as picture:
            client.log_image(run_id, picture, key=path.parent.name, step=int(path.stem))


def log_tables(client: MlflowClient, run_id: str, folder: Path) -> None:
    """Log every CSV of a folder as a table too, ``tables/<name>.json``.

    MLflow's own ``log_table`` needs pandas, and adds rows when it is called again.
    """
    names = []
    for path in sorted(folder.glob("*.csv")):
        table = _read(path)
        if len(table["data"]) <= LONGEST:
            names.append(f"tables/{path.stem}.json")
            client.log_dict(run_id, table, names[-1])
    if names:
        listed = [{"path": name, "type": "table"} for name in names]
        client.set_tag(run_id, TABLES, json.dumps(listed))


def _read(path: Path) -> dict[str, list[Any]]:
    with path.open(encoding="utf-8", newline="") as file:
        columns, *rows = csv.reader(file)
    return {"columns": list(columns), "data": [[_value(cell) for cell in row] for row in rows]}


def _value(cell: str) -> float | str | None:
    try:
        return float(cell) if cell else None
    except ValueError:
        return cell
