"""V, M, C and whole agents as MLflow loads them: ``mlflow.pyfunc.load_model``.

An MLflow model of ours names this module as its loader; its weights are safetensors, so that
nothing of a stranger runs when it is loaded. In an agent and in M, state is kept between calls:

    model = mlflow.pyfunc.load_model("models:/carracing@champion")
    action = model.predict(frame[None])[0]                              # an episode's first frame
    action = model.predict(next_frame[None])[0]                         # and so on
    action = model.predict(frame[None], params={"first": [True]})[0]    # another episode begins
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from world_models.agent import PARTS, Agent, State
from world_models.controller.model import Controller
from world_models.envs import catalogue
from world_models.errors import InputError
from world_models.memory.model import Memory
from world_models.memory.model import State as Remembered
from world_models.storage import cards
from world_models.storage.artifact import CARD
from world_models.vision.model import Vision

Array = NDArray[np.float32]
Given = Mapping[str, Any] | None
"""MLflow's ``params`` of a call."""
FIRST = "first"
"""Their key: bools, one for each row, True where an episode begins; one alone is for all rows."""


class Acting:
    """An agent at work: frames in, actions out."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self._state: State | None = None

    def predict(self, model_input: NDArray[np.uint8], params: Given = None) -> Array:
        """Act on the next frame of each of n episodes that run side by side.

        Args:
            model_input: frames, uint8 (n, 64, 64, 3).
            params: ``first``: where an episode begins. After loading all begin, whatever it says.

        Returns:
            Actions, float32 (n, A), within the environment's action space.

        Raises:
            InputError: no frames, or another number of them than in the last call, and not all
                begin.
        """
        rows = len(model_input)
        known = None if self._state is None else len(self._state.begins)
        first = _first(params, rows, known)
        state = self._state if rows == known else self.agent.start(rows)
        actions, self._state = self.agent.act(model_input, state, first)
        return actions


class Seeing:
    """V: frames in, mu and logvar of z out."""

    def __init__(self, vision: Vision) -> None:
        self._vision = vision

    def predict(self, model_input: NDArray[np.uint8]) -> dict[str, Array]:
        """Encode frames, uint8 (n, 64, 64, 3): ``mu`` and ``logvar``, float32 (n, Z) each."""
        mu, logvar = self._vision.encode(np.ascontiguousarray(model_input))
        return {"mu": mu, "logvar": logvar}


class Expecting:
    """M: z and actions in, what it expects of the next z and what it remembers out."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._rows: int | None = None
        self._state: Remembered | None = None

    def predict(self, model_input: Mapping[str, Array], params: Given = None) -> dict[str, Array]:
        """Remember one step of each of n episodes.

        Args:
            model_input: ``z``, float32 (n, Z), and ``action``, float32 (n, A).
            params: as for :meth:`Acting.predict`.

        Returns:
            ``next_z``, float32 (n, Z), the mean of the mixture; ``h``, float32 (n, H).

        Raises:
            InputError: as for :meth:`Acting.predict`, or z and actions are not as many.
        """
        z, action = (np.ascontiguousarray(model_input[k], np.float32) for k in ("z", "action"))
        if len(z) != len(action):
            raise InputError(f"'z' has {len(z)} rows, 'action' {len(action)}: give one for each.")
        first = _first(params, len(z), self._rows)
        state = self._state if len(z) == self._rows else None
        self._rows, self._state = len(z), state or self._memory.start(len(z))
        self._memory.step(self._state, z, action, first)
        mixture = self._memory.predict(self._state).mixture
        return {"next_z": self._mean(mixture), "h": self._state.read("h").copy()}

    def _mean(self, mixture: Array) -> Array:
        sizes = self._memory.sizes
        shape = (len(mixture), 3, sizes.mixtures, sizes.z_size)
        logits, mu, _ = np.moveaxis(mixture[:, : sizes.mixture_size].reshape(shape), 1, 0)
        mean: Array = (softmax(logits, axis=1) * mu).sum(axis=1)
        return mean


class Choosing:
    """C: what it sees of V and M in, actions out."""

    def __init__(self, controller: Controller, environment: str) -> None:
        squash = catalogue.specification(environment).actions.squash
        self._policy = controller.policy(squash)

    def predict(self, model_input: Array) -> Array:
        """Actions, float32 (n, A), for features, float32 (n, F)."""
        return self._policy(np.ascontiguousarray(model_input, np.float32))


def _first(params: Given, rows: int, known: int | None) -> NDArray[np.bool_]:
    """Where an episode begins, bool (rows,), after a call with ``known`` rows if there was one."""
    said = np.asarray((params or {}).get(FIRST, ()), np.bool_)
    if len(said) not in (0, 1, rows):
        raise InputError(
            f"{FIRST!r} has {len(said)} values for {rows} rows: give one for each, or one for all."
        )
    if not rows:
        raise InputError("There are no rows: give at least one.")
    first = np.broadcast_to(said if len(said) else np.False_, rows).copy()
    if known is None:
        first[:] = True
    elif rows != known and not first.all():
        raise InputError(
            f"The last call had {known} rows, this one has {rows}. Where other episodes begin, say "
            f"so: predict(..., params={{{FIRST!r}: [True]}})."
        )
    return first


def _load_pyfunc(path: str) -> Acting | Seeing | Expecting | Choosing:
    """Open the folder ``data`` of a model; MLflow calls it."""
    folder = Path(path)
    if not (folder / CARD).exists():
        from world_models.tracking import fetching

        with fetching.parts(folder) as found:
            return Acting(Agent.open(*(found[part] for part in PARTS)))
    card = cards.read(folder)
    return _open_part(folder, card.kind, card.environment)


def _open_part(folder: Path, kind: str, environment: str) -> Acting | Seeing | Expecting | Choosing:
    if kind == "vae":
        return Seeing(Vision.load(folder, environment))
    if kind == "mdnrnn":
        return Expecting(Memory.load(folder, environment))
    if kind == "controller":
        return Choosing(Controller.load(folder, environment), environment)
    raise InputError(f"{folder} holds {kind}, and MLflow loads models alone.")
