"""``world_models.load``: an agent from this project's folders, or from MLflow's store."""

from pathlib import Path

from world_models.agent import PARTS, Agent
from world_models.tracking.store import SCHEME


def load(agent: str | Path) -> Agent:
    """Open a trained agent.

    Args:
        agent: the name of an environment, ``"carracing"``; a folder that holds ``vae``, ``mdnrnn``
            and ``controller``; or an agent in MLflow's store, ``"models:/carracing@champion"``,
            ``"models:/carracing/3"``. The store is that of ``MLFLOW_TRACKING_URI`` or
            ``mlflow.set_tracking_uri``, else the project's own.

    Raises:
        InputError: there is none, or a part is missing, damaged, or does not fit.
    """
    if isinstance(agent, str) and agent.startswith(SCHEME):
        from world_models.tracking import fetching  # it loads MLflow, which takes seconds

        with fetching.agent(agent) as found:
            return Agent.open(*(found[part] for part in PARTS))
    return Agent.load(agent)
