"""Agents as versions of a registered model, and which of them is the champion.

Each environment has a registered model of its name. A new agent takes the alias ``champion`` from
the one that has it only if it scores higher beyond chance. Only the recorder's process loads this.
"""

import csv
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING

import mlflow
from filelock import FileLock
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from world_models.storage import temporary
from world_models.tracking.fetching import DATA
from world_models.tracking.models import DIGEST, EPISODES
from world_models.tracking.pipelines import link

if TYPE_CHECKING:
    from world_models.evaluation.differences import Difference

ALIAS = "champion"
ALPHA = 0.05
"""Two-sided level of the test: a champion falls to what is better with a p below it."""
ABOUT = """Agents of {name}: V, M and C together. Frames in, actions out, state kept between calls.

    agent = world_models.load("models:/{name}@champion")
    model = mlflow.pyfunc.load_model("models:/{name}@champion")

Every run of stage evaluate makes a version. `champion` moves only to an agent that scores higher \
beyond chance: p < {alpha}, two-sided, by a paired t test where both played the same test seeds, \
else by Welch's t test."""
Returns = Mapping[int, float]
"""The return of each episode, by its seed."""


def compare(challenger: Returns, champion: Returns) -> "Difference | None":
    """Challenger minus champion, by :func:`world_models.evaluation.differences.difference`."""
    # The recorder keeps MLflow from loading these at its start: see SPARED there.
    for name in [name for name, module in sys.modules.items() if module is None]:
        del sys.modules[name]
    import pandas as pd

    from world_models.evaluation.differences import difference

    return difference(pd.Series(champion), pd.Series(challenger))


def wins(found: "Difference | None") -> bool:
    """Whether the challenger is better beyond chance."""
    return found is not None and found.mean > 0 and found.p < ALPHA


def returns(episodes: Path) -> dict[int, float]:
    """The agent's return of each episode in the table of an evaluation, by its seed."""
    with episodes.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["policy"] == "agent"]
    return {int(row["seed"]): float(row["return"]) for row in rows}


class Registry:
    """The registered models of a store.

    Args:
        client: of the store.
        uri: of the store.
        lock: a file, so that stages of one machine that end together follow each other.
    """

    def __init__(self, client: MlflowClient, uri: str, lock: Path) -> None:
        self._client, self._uri, self._lock = client, uri, lock

    def register(self, name: str, agent: LoggedModel, played: Returns, variant: str) -> str:
        """Make an agent a version, and the champion if it is better; an agent is one version.

        Args:
            name: of the registered model: the environment.
            agent: its logged model.
            played: its returns.
            variant: of its pipeline, for people.

        Returns:
            A line for people: the version, and whether it is the champion.
        """
        with FileLock(self._lock):
            self._create(name)
            digest = agent.tags[DIGEST]
            versions = self._client.search_model_versions(f"name = '{name}'")
            known = next((v for v in versions if v.tags.get(DIGEST) == digest), None)
            if known is not None:
                return f"{name} version {known.version}, as before"
            return self._add(name, agent, played, variant)

    def _create(self, name: str) -> None:
        try:
            text = ABOUT.format(name=name, alpha=ALPHA)
            self._client.create_registered_model(name, description=text)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _add(self, name: str, agent: LoggedModel, played: Returns, variant: str) -> str:
        champion = self._champion(name)
        found = compare(played, self._returns(champion)) if champion else None
        best = champion is None or wins(found)
        mlflow.set_tracking_uri(self._uri)  # by which MLflow resolves the source, whatever client
        made = self._client.create_model_version(
            name,
            f"models:/{agent.model_id}",
            agent.source_run_id,
            tags=_tags(agent, played, variant, found),
            description=_describe(agent, played, champion, found),
            model_id=agent.model_id,
        )
        if best:
            self._client.set_registered_model_alias(name, ALIAS, made.version)
        said = f" ({_say(found)}, against version {champion.version})" if champion else ""
        return f"{name} version {made.version}{', the champion' if best else ''}{said}"

    def _champion(self, name: str) -> ModelVersion | None:
        try:
            return self._client.get_model_version_by_alias(name, ALIAS)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def _returns(self, version: ModelVersion) -> dict[int, float]:
        model = self._client.get_logged_model(version.tags["model"])
        with temporary.folder() as folder:
            found = download_artifacts(
                artifact_uri=f"{model.artifact_location}/{DATA}/{EPISODES}",
                dst_path=str(folder),
                tracking_uri=self._uri,
            )
            return returns(Path(found))


def _score(played: Returns) -> tuple[float, float, int]:
    values = list(played.values())
    return fmean(values), stdev(values) / math.sqrt(len(values)), len(values)


def _say(found: "Difference | None") -> str:
    return f"{found}, {found.test}" if found else "too few episodes to compare"


def _tags(
    agent: LoggedModel, played: Returns, variant: str, found: "Difference | None"
) -> dict[str, str]:
    mean, se, n = _score(played)
    tags = {DIGEST: agent.tags[DIGEST], "model": agent.model_id, "variant": variant}
    tags |= {"mean": f"{mean:.2f}", "se": f"{se:.2f}", "n": str(n)}
    if found is not None:
        tags |= {"test": found.test, "p": f"{found.p:.3g}", "difference": f"{found.mean:+.2f}"}
    return tags


def _describe(
    agent: LoggedModel,
    played: Returns,
    champion: ModelVersion | None,
    found: "Difference | None",
) -> str:
    mean, se, n = _score(played)
    run = link(agent.experiment_id, str(agent.source_run_id))
    text = f"**{mean:.1f} ± {se:.1f}** (mean ± SE of {n} test episodes), from [this run]({run})."
    if champion is None:
        return f"{text}\n\nThe first version, so the champion."
    verdict = "better beyond chance, so the new champion" if wins(found) else "not beyond chance"
    against = f"Against version {champion.version}, then the champion: {_say(found)}"
    return f"{text}\n\n{against}: {verdict}."
