"""``world-models release``: V, M and C in half precision, with a model card, for git to carry."""

import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from world_models.agent import PARTS, RELEASED, TRAINED, Agent
from world_models.envs.disturbance import NONE
from world_models.errors import InputError, ParameterError
from world_models.evaluation.parameters import EvaluateParameters
from world_models.evaluation.published import Published
from world_models.origin import digests
from world_models.origin.lock import Lock, within
from world_models.reports import model_card
from world_models.schema import Overlay, load
from world_models.storage import atomic, guard, half
from world_models.storage.artifact import Card, open_artifact
from world_models.storage.scratch import find_root


def run(arguments: Namespace) -> int:
    """Write the release, whole or not at all."""
    root, name = find_root(), arguments.environment
    models = arguments.models or root / TRAINED / name
    cards = _open(models, name)
    parameters = _parameters(arguments.params or root / "params.yaml", arguments)
    metrics = arguments.metrics or root / "metrics" / name / "evaluate.json"
    _check_made(root, metrics, models)
    scores = _scores(metrics, parameters)
    out = (arguments.to or root / RELEASED) / name
    with atomic.atomic_folder(out) as draft:
        halves = {part: half.write(models / part, cards[part], draft / part) for part in PARTS}
        Published(
            format=1,
            environment=name,
            latent=parameters.latent,
            batch=parameters.batch,
            tau=parameters.tau,
            ends=parameters.ends,
            scores=scores,
            cards={part: card.digest() for part, card in halves.items()},
            cost=arguments.cost,
            notes=arguments.note,
        ).write(draft)
        (draft / model_card.README).write_text(model_card.text(draft, name), encoding="utf-8")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:.1f} MB. Next: world-models verify {name} --models {out}")
    return 0


def _check_made(root: Path, metrics: Path, models: Path) -> None:
    """See that the scores are of these models, as far as DVC's lock files know.

    Raises:
        InputError: they have been changed since, or are of others.
    """
    root = root.resolve()
    found = Lock.read(root).maker(within(root, metrics))
    if found is None:
        trust = "that its scores are of these models is taken on trust"
        print(
            f"world-models release: no stage in dvc.lock made {metrics}: {trust}", file=sys.stderr
        )
        return
    entry, out = found
    if digests.of_disk(metrics) != entry.outs[out]:
        raise InputError(f"{metrics} has been changed since {entry.target} wrote it. dvc checkout.")
    for part in PARTS:
        # By content: the parts of an experiment's agent may lie in different folders.
        if digests.of_disk(models / part) not in entry.deps.values():
            raise InputError(
                f"{models / part} is not what {metrics} has the scores of. Name models and metrics "
                f"of one run, or make them anew: dvc repro {entry.target}."
            )


def _open(models: Path, environment: str) -> dict[str, Card]:
    """The cards of V, M and C.

    Raises:
        InputError: one is missing or damaged, or they are of different runs.
    """
    Agent.load(models, environment=environment)  # verifies the files, and that they fit
    return {part: open_artifact(models / part, part, environment, verify=False) for part in PARTS}


def _parameters(params: Path, arguments: Namespace) -> EvaluateParameters:
    """What the agent was scored with.

    Raises:
        ParameterError: they are missing, or of a simulator that was disturbed.
    """
    overlay = Overlay.parse(arguments.overlay) if arguments.overlay else None
    found = load(params, arguments.environment, "evaluate", EvaluateParameters, overlay=overlay)
    if found.changed != NONE:
        raise ParameterError(
            f"evaluate.disturbance = {found.disturbance!r}: a release has the scores of the "
            "simulator as it is. Name metrics and parameters of none."
        )
    return found


def _scores(metrics: Path, parameters: EvaluateParameters) -> dict[str, Any]:
    """The content of ``evaluate.json``.

    Raises:
        InputError: it is missing or damaged, or was not made with these parameters.
    """
    try:
        scores = guard.json_of(metrics)
        played = {policy: scores[policy]["n"] for policy in ("agent", "random")}
    except (OSError, InputError, KeyError, TypeError) as error:
        raise InputError(
            f"{metrics} holds no scores of agent and random policy ({type(error).__name__}: "
            f"{error}). Score the agent first (dvc repro evaluate), or name another --metrics."
        ) from None
    wanted = {"agent": parameters.episodes, "random": parameters.random_episodes}
    if played != wanted:
        raise InputError(
            f"{metrics} is of {played['agent']} and {played['random']} episodes, the parameters "
            f"say {wanted['agent']} and {wanted['random']}: it was made with others. Score the "
            "agent anew (dvc repro evaluate), or name its parameters with --params."
        )
    return scores
