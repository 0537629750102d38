"""A linear policy that another library has trained in the dream, as a C of this project."""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from world_models.controller.model import Controller
from world_models.controller.policy import ControllerSpec
from world_models.errors import InputError, UserError
from world_models.memory.model import Memory
from world_models.storage import artifact


def save_controller(
    out: str | Path,
    models: str | Path,
    weights: ArrayLike,
    biases: ArrayLike | None = None,
    *,
    trained_by: str,
) -> Path:
    """Write C as an artifact that ``evaluate``, ``watch`` and ``world_models.load`` take.

    The dream's observations are C's inputs. C's output is squashed as the environment's actions
    need it, by tanh at first: so give the weights of what stands before a squashing.

    Args:
        out: the folder to write; it must not exist.
        models: the folder that holds the ``vae`` and ``mdnrnn`` it was trained with.
        weights: (A, F): actions, observations.
        biases: (A,), or None.
        trained_by: by what, for its card, such as "PPO of Stable-Baselines3".

    Returns:
        ``out``.

    Raises:
        UserError: ``out`` exists, or its disk is full.
        InputError: V or M is missing or damaged, or the weights have another shape or are not
            finite.
    """
    out, models = Path(out), Path(models)
    if out.exists():  # no stage made this: it may be anything
        raise UserError(f"{out} exists. Name another folder, or remove it.")
    vision = artifact.open_artifact(models / "vae", "vae", None)
    dreamt = artifact.open_artifact(models / "mdnrnn", "mdnrnn", vision.environment)
    memory = Memory.load(models / "mdnrnn")
    features = memory.paper_features
    inputs, outputs = memory.feature_size(features), memory.action_size
    spec = ControllerSpec(features, inputs, 0, outputs, bias=biases is not None)
    parts = [_checked("weights", weights, outputs, inputs)]
    if biases is not None:
        parts.append(_checked("biases", biases, outputs))
    controller = Controller(spec, np.concatenate([part.ravel() for part in parts]))
    with artifact.create(
        out,
        kind="controller",
        environment=vision.environment,
        stage="evolve",
        parameters={"trained_by": trained_by, "features": features, "world": "dream"},
        metrics={},
        details=controller.payload()[1],
        upstream=[vision, dreamt],
    ) as folder:
        controller.save(folder)
    return out


def _checked(name: str, values: ArrayLike, *shape: int) -> NDArray[np.float32]:
    array = np.asarray(values, np.float32)
    if array.shape != shape:
        raise InputError(f"The {name} are {array.shape}: with this V and M C has {shape}.")
    if not np.isfinite(array).all():
        raise InputError(f"The {name} are not all finite: the training has diverged.")
    return array
