"""V, M, C and agents as logged models of a run. Only the recorder's process loads it.

Each weight is stored once: V, M and C are models of the runs that made them, found again by the
digest of their card; an agent's model names its parts and holds the episodes that it was scored on.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import LoggedModel, LoggedModelInput, LoggedModelStatus
from mlflow.tracking import MlflowClient

from world_models.storage import temporary
from world_models.storage.artifact import Card, file_digest, open_artifact
from world_models.tracking import mlmodel
from world_models.tracking.fetching import AGENT, DATA
from world_models.tracking.pipelines import log_output

DIGEST = "card"
"""Tag of a logged model: the digest of what it is made of, by which later runs find it."""
EPISODES = "episodes.csv"
"""The file of an agent's model that holds the return of every episode that it was scored on."""


class Models:
    """The logged models of one run.

    Attributes:
        code: the run's tags of its commit; known before the first model comes.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self.code: dict[str, str] = {}
        self._client, self._run_id = client, run_id
        self._experiment = client.get_run(run_id).info.experiment_id
        self._begun: dict[str, LoggedModel] = {}

    def find(self, digest: str) -> LoggedModel | None:
        """The logged model of what has this digest; None if it is not in this store."""
        ids = [e.experiment_id for e in self._client.search_experiments()]
        found = self._client.search_logged_models(ids, f"tags.{DIGEST} = '{digest}'")
        return next((one for one in found if one.status == LoggedModelStatus.READY), None)

    def use(self, digest: str) -> None:
        """Record that the run reads a model, if the store has it."""
        model = self.find(digest)
        if model is not None:
            self._client.log_inputs(self._run_id, models=[LoggedModelInput(model.model_id)])

    def log_part(self, folder: Path, kind: str, frames: Path | None) -> str:
        """Log V, M or C as a model that this run has made.

        Args:
            folder: the artifact, which is not changed.
            kind: of it.
            frames: as for :meth:`world_models.tracking.mlmodel.Signature.example`.

        Returns:
            The model's id.
        """
        model_id = self._part(folder, kind, frames)
        log_output(self._client, self._run_id, model_id)
        return model_id

    def log_agent(
        self, folders: Mapping[str, Path], episodes: Path, frames: Path | None
    ) -> LoggedModel:
        """Log an agent as a model that this run has made; parts that the store lacks come along.

        Args:
            folders: of V, M and C, by kind.
            episodes: the table of every episode of its evaluation.
            frames: as for :meth:`log_part`.
        """
        cards = {kind: open_artifact(path, kind) for kind, path in folders.items()}
        parts = {
            kind: {"model": self._part(path, kind, frames), "card": cards[kind].digest()}
            for kind, path in folders.items()
        }
        inputs = [LoggedModelInput(part["model"]) for part in parts.values()]
        self._client.log_inputs(self._run_id, models=inputs)
        controller = cards["controller"]
        made_of = [*(part["card"] for part in parts.values()), file_digest(episodes)]
        digest = hashlib.sha256(" ".join(made_of).encode()).hexdigest()
        with temporary.folder() as data:
            text = json.dumps({"environment": controller.environment, "parts": parts}, indent=2)
            (data / AGENT).write_text(f"{text}\n", encoding="utf-8")
            shutil.copy(episodes, data / EPISODES)
            signature = mlmodel.of_agent(controller)
            model = self._log("agent", digest, controller, signature, data, frames)
        log_output(self._client, self._run_id, model.model_id)
        return model

    def _part(self, folder: Path, kind: str, frames: Path | None) -> str:
        card = open_artifact(folder, kind)
        signature = mlmodel.of_part(card)
        return self._log(kind, card.digest(), card, signature, folder, frames).model_id

    def _log(
        self,
        name: str,
        digest: str,
        card: Card,
        signature: mlmodel.Signature,
        data: Path,
        frames: Path | None,
    ) -> LoggedModel:
        known = self.find(digest)
        if known is not None:
            return known
        model = self._begun.get(digest) or self._client.create_logged_model(
            self._experiment,
            name,
            self._run_id,
            tags={DIGEST: digest, "environment": card.environment},
            params={f"{card.stage}.{key}": str(value) for key, value in card.parameters.items()},
            model_type=name,
        )
        self._begun[digest] = model  # another try goes on with it
        with temporary.folder() as folder:
            own = model.model_id, self._run_id, signature, frames, self.code
            mlmodel.write(folder, *own)
            self._client.log_model_artifacts(model.model_id, str(folder))
        self._client.log_model_artifacts(model.model_id, str(data), DATA)
        return self._client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
