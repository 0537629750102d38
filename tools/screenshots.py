"""Pictures of MLflow's pages for the documentation, taken by Chromium without a window."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from mlflow.tracking import MlflowClient
from PIL import Image

from chromium import NAMES, browser
from world_models.tracking.experiments import VIEW
from world_models.tracking.pipelines import KIND, PIPELINE
from world_models.tracking.store import TRAINING

WIDTH = 1800
PAGE_ENDS = 1334
"""Where MLflow's page ends and its assistant, which it opens for new visitors, begins."""
COLOURS = 128
PIPELINES = f"tags.{KIND} = '{PIPELINE}'"
"""MLflow's query for the rows of pipelines."""


def take(program: str, address: str, folder: Path) -> list[Path]:
    """Take the pictures of `pages`, as PNG.

    Args:
        program: the browser.
        address: of MLflow's server; the newest pipelines there are two of one environment.
        folder: an existing one.
    """
    made = []
    for name, height, page in pages(MlflowClient(address)):
        path = folder / f"mlflow-{name}.png"
        with tempfile.TemporaryDirectory() as profile:
            options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
            options += [f"--user-data-dir={profile}", f"--window-size={WIDTH},{height}"]
            options += ["--virtual-time-budget=200000", f"--screenshot={path}"]
            command = [program, *options, f"{address}/#/{page}"]
            subprocess.run(command, check=True, capture_output=True, timeout=180)
        with Image.open(path) as picture:
            page_only = picture.convert("RGB").crop((0, 0, PAGE_ENDS, height))
        page_only.quantize(COLOURS).save(path, optimize=True)
        made.append(path)
    return made


def pages(client: MlflowClient) -> Iterator[tuple[str, int, str]]:
    """Name, height and address of each page: of the newest runs in the store."""
    order = ["attributes.start_time DESC"]
    everywhere = [found.experiment_id for found in client.search_experiments()]
    (row,) = client.search_runs(everywhere, PIPELINES, max_results=1, order_by=order)
    experiment, environment = row.info.experiment_id, row.data.tags["environment"]
    at = f"experiments/{experiment}"

    def newest(query: str, count: int) -> list[str]:
        runs = client.search_runs([experiment], query, max_results=count, order_by=order)
        return [run.info.run_id for run in runs]

    rows = newest(PIPELINES, 2)
    yield "pipelines", 500, f"{at}/runs?{TRAINING}&viewStateShareKey={VIEW}"
    (run,) = newest("tags.stage = 'evaluate'", 1)
    yield "run", 950, f"{at}/runs/{run}?{TRAINING}"
    (run,) = newest("tags.stage = 'evolve'", 1)
    yield "curves", 1250, f"{at}/runs/{run}/model-metrics?{TRAINING}"
    both = quote(json.dumps(rows)), quote(json.dumps([experiment]))
    yield "compare", 1250, f"compare-runs?runs={both[0]}&experiments={both[1]}&{TRAINING}"
    (latest, *_) = client.search_model_versions(
        f"name = '{environment}'", 1, ["version_number DESC"]
    )
    yield "version", 950, f"models/{environment}/versions/{latest.version}?{TRAINING}"


def main() -> None:
    """Take the pictures of a server's pages: ``screenshots.py ADDRESS FOLDER``."""
    address, folder = sys.argv[1:]
    program = browser()
    if program is None:
        sys.exit(f"None of {', '.join(NAMES)} is installed.")
    for path in take(program, address, Path(folder)):
        print(path)


if __name__ == "__main__":
    main()
