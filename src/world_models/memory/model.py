"""M for everyone else: inference on numpy arrays, for reality and for the dream.

What M remembers of an episode (an LSTM's h and c, a GRU's h) is known here alone. Others hold it as
an opaque :class:`State`, and name its parts only because C may ask to see them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.special import expit

from world_models.errors import InputError
from world_models.formulations import Choice, choose
from world_models.memory.inference import Rows, Work, inference
from world_models.memory.network import MDNRNN
from world_models.memory.sizes import Name, Sizes
from world_models.schema import Parameters
from world_models.storage import artifact, guard, tensors
from world_models.storage.model_details import ModelDetails, Size

WEIGHTS = "weights.safetensors"
INITIAL = "initial.safetensors"
"""Names of the files in the artifact's folder; the second holds first frames' (mu, logvar)."""

END_WEIGHT = "end_weight"
"""Name in a payload's details."""

Array = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
ALL = slice(None)


@dataclass(frozen=True)
class Initial:
    """Where dreams begin: V's (mu, logvar) of stored first frames, float32 (E, z_size) each."""

    mu: Array
    logvar: Array


@dataclass(frozen=True)
class State:
    """What M remembers of n episodes. Only the :class:`Memory` that made it can advance it."""

    work: Work
    """Of M's inference alone."""

    def read(self, part: str, rows: Rows = ALL) -> Array:
        """One of :attr:`Memory.parts` of some episodes, float32 (k, size); not to be changed."""
        return self.work.parts[part][rows]

    def write(self, rows: Rows, parts: Mapping[str, Array]) -> None:
        """Let some episodes remember this: for each part, float32 (k, size)."""
        for name, values in self.work.parts.items():
            values[rows] = parts[name]

    def forget(self, rows: Rows = ALL) -> None:
        """Empty the memory of some episodes, as at their first frame."""
        for values in self.work.parts.values():
            values[rows] = 0

    def move(self, holes: NDArray[np.intp], movers: NDArray[np.intp]) -> None:
        """Let episodes ``movers`` take the rows ``holes``, so that live ones stand in front."""
        for values in self.work.parts.values():
            values[holes] = values[movers]


class Expectation(NamedTuple):
    """What M expects of the next step of k episodes, float32; valid until the next call."""

    mixture: Array
    """(k, ≥3·K·Z) logits, mu, log σ of the next z, each (K, Z), then what others do not need."""
    end: Array | None
    """(k,) logit of "the episode ends with this step"; None if M has no such head."""
    reward: Array | None
    """(k,) mean reward of this step; None if M has no such head."""


class Details(ModelDetails):
    """What an M's card says: the fields of :class:`Sizes`."""

    z_size: Size
    action_size: Size
    hidden_size: Size
    mixtures: Size
    restart: bool
    reward_head: bool
    end_head: bool
    cell: Name = "lstm"

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if self.restart and self.end_head:
            raise ValueError("restart and end_head are both true")
        return self

    @property
    def sizes(self) -> Sizes:
        """What determines M's shape."""
        return Sizes(**{name: getattr(self, name) for name in Sizes._fields})


class _Payload(Details):
    wish: str | None = None
    end_weight: Annotated[float, Field(gt=0)] = 1.0


class _Taught(Parameters):
    restart_weight: Annotated[float, Field(gt=0)] = 1.0
    patience: Annotated[int, Field(ge=1)] | None = None


class Memory:
    """A trained M, for inference: deterministic, made for 16 to 1024 episodes on one thread.

    Equal calls on an equal number of torch's threads give equal bits. The last bits of an episode
    may depend on how many others are in the same call.

    Attributes:
        sizes: M's shape.
        initial: where dreams begin.
        parts: names and sizes of what M remembers, such as ``{"h": 256, "c": 256}``.
        predicts: which of ``reward`` and ``end`` M predicts beside z.
        choice: the formulation.
        end_weight: how many times the training counted a step that ended an episode.
        patience: the training's: how many steps without a positive reward were an episode's end.
    """

    patience: int | None = None

    def __init__(
        self,
        network: MDNRNN,
        initial: Initial,
        choice: Choice | None = None,
        *,
        end_weight: float = 1.0,
    ) -> None:
        """Prepare a network for inference.

        Args:
            network: M, on the CPU.
            initial: first frames.
            choice: formulation and precision; None for what suits this machine.
            end_weight: how many times the training counted a step that ended an episode.
        """
        self.end_weight = end_weight
        self.sizes, self.initial, self.parts = network.sizes, initial, network.sizes.parts
        self._network = network.eval().requires_grad_(requires_grad=False)
        self.choice = choice or choose("M", self.sizes._asdict())
        self._inference = inference(network, self.choice)
        # Where the scalar heads stand, behind the mixture.
        heads = [{"restart": "end"}.get(name, name) for name in network.scalar_heads()]
        columns = {name: self.sizes.mixture_size + i for i, name in enumerate(heads)}
        self._columns, self.predicts = columns, frozenset(columns)

    @property
    def z_size(self) -> int:
        """Z."""
        return self.sizes.z_size

    @property
    def action_size(self) -> int:
        """A."""
        return self.sizes.action_size

    @property
    def paper_features(self) -> str:
        """What C sees of this M in the paper: z and h, in Doom z, c and h (if M has a c)."""
        return "zch" if self.sizes.restart and "c" in self.parts else "zh"

    def seen(self, features: str) -> tuple[str, ...]:
        """Which parts C sees beside z, and in which order; see :meth:`Sizes.seen`."""
        return self.sizes.seen(features)

    def feature_size(self, features: str) -> int:
        """How many numbers C sees; see :meth:`Sizes.feature_size`."""
        return self.sizes.feature_size(features)

    @classmethod
    def load(cls, folder: Path, environment: str | None = None) -> Self:
        """Open the artifact ``models/<environment>/mdnrnn``.

        Args:
            folder: the artifact.
            environment: what M must have been trained for; None accepts any.

        Raises:
            InputError: it is missing, damaged, of another kind or of another environment.
        """
        card = artifact.open_artifact(folder, "mdnrnn", environment)
        place, cure = folder / artifact.CARD, artifact.cure_for(folder, card)
        described = f"{place} does not describe an M: it"
        sizes = guard.fitting(Details, card.details, described, cure).sizes
        given = {k: v for k, v in card.parameters.items() if k in _Taught.model_fields}
        taught = guard.fitting(_Taught, given, place, cure)
        arrays = tensors.load(
            artifact.listed(folder, card, WEIGHTS), _kinds(sizes), _described(sizes)
        )
        first = tensors.load(artifact.listed(folder, card, INITIAL), _first_kinds(sizes))
        if first["logvar"].max() > tensors.LOGVAR:
            raise InputError(f"{folder / INITIAL}: logvar is above {tensors.LOGVAR:g}. {_CURE}")
        initial = {f"initial.{name}": array for name, array in first.items()}
        details = card.details | {END_WEIGHT: taught.restart_weight}
        memory = cls.from_arrays(arrays | initial, details)
        memory.patience = taught.patience
        return memory

    @classmethod
    def from_arrays(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        details: Mapping[str, Any],
        choice: Choice | None = None,
    ) -> Self:
        """Build M from its weights, as :meth:`payload` gives them: no file is read.

        Args:
            arrays: the network's state, and ``initial.mu``, ``initial.logvar``, float32.
            details: of the artifact's card, or of a payload: the fields of :class:`Sizes`, and a
                payload's ``wish`` and ``end_weight``.
            choice: formulation and precision; None for the wish, or what suits this machine.

        Raises:
            InputError: the arrays are no M of these sizes.
        """
        said = guard.fitting(_Payload, details, "This card does not describe an M: it")
        first = {f"initial.{name}": kind for name, kind in _first_kinds(said.sizes).items()}
        _check(arrays, said.sizes, first)  # before anything of these sizes is made
        network = MDNRNN(said.sizes)
        network.load_state_dict(_state(arrays, network))
        initial = Initial(*(np.array(arrays[f"initial.{k}"]) for k in ("mu", "logvar")))
        choice = choice or choose("M", said.sizes._asdict(), wish=said.wish)
        return cls(network, initial, choice, end_weight=float(said.end_weight))

    def payload(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Give what :meth:`from_arrays` takes: all that a worker without files needs.

        The formulation goes along as a wish: a worker computes as this process would.
        """
        initial = {"initial.mu": self.initial.mu, "initial.logvar": self.initial.logvar}
        details = self.sizes._asdict() | {"wish": self.choice.formulation}
        details |= {END_WEIGHT: self.end_weight}
        return state_arrays(self._network) | initial, details

    def check(self, z_size: int) -> None:
        """Make sure that M fits a V.

        Raises:
            InputError: M was trained on another size of z.
        """
        if z_size != self.z_size:
            raise InputError(
                f"M was trained on z of size {self.z_size}, V gives size {z_size}: they are of "
                f"different runs. {_CURE}"
            )

    def start(self, members: int) -> State:
        """The state of ``members`` episodes at their first frames: nothing is remembered."""
        return State(self._inference.start(members))

    def step(
        self, state: State, z: Array, actions: Array, starts: BoolArray, rows: Rows = ALL
    ) -> None:
        """Remember one step of some episodes: what was seen and what was done.

        Args:
            state: of n episodes; changes.
            z: float32 (k, z_size).
            actions: float32 (k, action_size), as the simulator takes them.
            starts: bool (k,), True on an episode's first frame, where its memory is emptied. In
                Doom M sees the flag too.
            rows: which k episodes; a slice costs less than indices.
        """
        inputs = [z, actions]
        if self.sizes.restart:
            inputs.append(starts[:, None].astype(np.float32))
        self._inference.step(state.work, inputs, starts, rows)

    def predict(self, state: State, rows: Rows = ALL, mask: Array | None = None) -> Expectation:
        """What M expects of the next step of some episodes, after :meth:`step`.

        Args:
            state: of n episodes.
            rows: k of them.
            mask: float32 (k, H) factors of h before the heads (dropout); None for 1.
        """
        out = self._inference.predict(state.work, rows, mask)
        scalars = (self._columns.get(name) for name in ("end", "reward"))
        return Expectation(out, *(None if at is None else out[:, at] for at in scalars))

    def risk(self, end: Array) -> Array:
        """The probability that an episode ends with this step, float32 (k,).

        Training counts ends :attr:`end_weight` times, which multiplies the odds by that number.

        Args:
            end: the logits of an expectation, float32 (k,).
        """
        risk: Array = expit(end - np.float32(np.log(self.end_weight)))
        return risk

    def sample(
        self,
        expected: Expectation,
        u: Array,
        eps: Array,
        row: NDArray[np.int64],
        tau: float,
        z: Array,
    ) -> None:
        """Draw the next z at temperature τ: mixture logits / τ, noise × √τ (App. A.2, D.2).

        Args:
            expected: of k episodes.
            u: float32 (S, Z) uniform in [0, 1): each dimension draws its own component.
            eps: float32 (S, Z) standard normal.
            row: int64 (k,) which row of ``u`` and ``eps`` an episode uses.
            tau: temperature > 0.
            z: float32 (k, Z), written.
        """
        self._inference.sample(expected.mixture, u, eps, row, tau, z)


_CURE = "Make M anew for this V and these latents (the stage mdnrnn)."


def state_arrays(network: MDNRNN) -> dict[str, Array]:
    """The network's state as contiguous numpy arrays on the CPU, float32."""
    state = network.state_dict()
    return {k: np.ascontiguousarray(v.detach().cpu().numpy()) for k, v in state.items()}


def load_weights(arrays: Mapping[str, NDArray[Any]], network: MDNRNN) -> None:
    """Copy weights into ``network``.

    Raises:
        InputError: ``arrays`` are not its weights.
    """
    _check(arrays, network.sizes, {})
    network.load_state_dict(_state(arrays, network))


def _check(
    arrays: Mapping[str, NDArray[Any]], sizes: Sizes, more: Mapping[str, tensors.Kind]
) -> None:
    place = f"These are not {_described(sizes)}"
    try:
        tensors.fit(arrays, {**_kinds(sizes), **more}, place)
    except InputError as error:
        raise InputError(f"{error} {_CURE}") from None


def _described(sizes: Sizes) -> str:
    return f"the weights of an M with {sizes}"


def _kinds(sizes: Sizes) -> dict[str, tensors.Kind]:
    """What the weights of such an M are; no memory is taken for them."""
    with torch.device("meta"):
        state = MDNRNN(sizes).state_dict()
    return {name: tensors.Kind(np.float32, tuple(value.shape)) for name, value in state.items()}


def _first_kinds(sizes: Sizes) -> dict[str, tensors.Kind]:
    return dict.fromkeys(("mu", "logvar"), tensors.Kind(np.float32, ("E", sizes.z_size)))


def _state(arrays: Mapping[str, NDArray[Any]], network: MDNRNN) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(arrays[name])) for name in network.state_dict()}
