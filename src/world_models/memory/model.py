"""M for everyone else: inference on numpy arrays, for reality (h and c) and for the dream."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from world_models.errors import InputError
from world_models.fast.memory import cell_kernels
from world_models.memory.network import MDNRNN, Sizes
from world_models.memory.precision import as_dtype, choose_precision
from world_models.storage import artifact, tensors

WEIGHTS = "weights.safetensors"
INITIAL = "initial.safetensors"
"""Names of the files in the artifact's folder; the second holds first frames' (mu, logvar)."""

Array = NDArray[np.float32]


class MemoryState(NamedTuple):
    """M's memory of n episodes: h and c, float32 (n, hidden_size) each."""

    h: Array
    c: Array


@dataclass(frozen=True)
class Initial:
    """Where dreams begin: V's (mu, logvar) of stored first frames, float32 (E, z_size) each."""

    mu: Array
    logvar: Array


@dataclass(frozen=True)
class Workspace:
    """Arrays that a batch of n episodes works in, step after step; views share their memory."""

    x: Array
    """(n, I + 1 + H): inputs z, action, restart flag; the constant 1 (bias); h."""
    c: Array
    """(n, H)."""
    keep: Array
    """(n,) 0 where an episode starts, else 1."""
    gates: Array
    """(n, 4H)."""
    out: Array
    """(n, outputs): the heads' results."""

    @classmethod
    def create(cls, members: int, sizes: Sizes, outputs: int) -> Self:
        """Zeros, for ``members`` episodes."""

        def zeros(*shape: int) -> Array:
            return np.zeros((members, *shape), np.float32)

        hidden = sizes.hidden_size
        x = zeros(sizes.input_size + 1 + hidden)
        x[:, sizes.input_size] = 1
        keep = np.ones(members, np.float32)
        return cls(x, zeros(hidden), keep, zeros(4 * hidden), zeros(outputs))


class Memory:
    """A trained M, for inference: deterministic, made for 16 to 1024 episodes on one thread."""

    def __init__(self, network: MDNRNN, initial: Initial) -> None:
        self.sizes = network.sizes
        self.initial = initial
        self._network = network.eval().requires_grad_(requires_grad=False)
        self._dtype = network.dtype
        # One product for inputs, bias and recurrence; another for all heads and their biases.
        self._core = self._pack([network.w_x, network.bias[:, None], network.w_h])
        scalars = network.scalar_heads()
        heads = [network.mixture, *scalars.values()]
        biases = torch.cat([head.bias for head in heads])[:, None]
        self._heads = self._pack([biases, torch.cat([head.weight for head in heads])])
        self.outputs = int(self._heads.shape[1])
        self.columns = {name: self.sizes.mixture_size + i for i, name in enumerate(scalars)}
        """Where in :meth:`predict`'s result "restart", "reward" and "end" stand, those M has."""

    def _pack(self, parts: list[torch.Tensor]) -> torch.Tensor:
        return torch.cat(parts, dim=1).t().contiguous().to(self._dtype)

    @property
    def z_size(self) -> int:
        """Z."""
        return self.sizes.z_size

    @property
    def hidden_size(self) -> int:
        """H, the size of h and of c."""
        return self.sizes.hidden_size

    @property
    def action_size(self) -> int:
        """A."""
        return self.sizes.action_size

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
        initial = {f"initial.{k}": v for k, v in tensors.load(folder / INITIAL).items()}
        return cls.from_arrays(tensors.load(folder / WEIGHTS) | initial, card.details)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], details: Mapping[str, Any]) -> Self:
        """Build M from its weights, as :meth:`payload` gives them: no file is read.

        Args:
            arrays: the network's state, and ``initial.mu``, ``initial.logvar``, float32.
            details: of the artifact's card, the fields of :class:`Sizes`.

        Raises:
            InputError: the arrays are no M of these sizes.
        """
        try:
            sizes = Sizes(**{name: details[name] for name in Sizes._fields})
            network = MDNRNN(sizes, as_dtype(choose_precision(torch.device("cpu"))))
        except (KeyError, TypeError, RuntimeError) as error:
            raise InputError(f"This card does not describe an M ({error}). {_CURE}") from None
        check_arrays(arrays, network)
        weights = {k: torch.from_numpy(np.array(arrays[k])) for k in network.state_dict()}
        network.load_state_dict(weights)
        initial = Initial(*(np.array(arrays[f"initial.{k}"]) for k in ("mu", "logvar")))
        return cls(network, initial)

    def payload(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Give what :meth:`from_arrays` takes: all that a worker without files needs."""
        initial = {"initial.mu": self.initial.mu, "initial.logvar": self.initial.logvar}
        return state_arrays(self._network) | initial, self.sizes._asdict()

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

    def initial_state(self, members: int) -> MemoryState:
        """(h, c) = 0, the memory at an episode's first frame."""
        shape = (members, self.hidden_size)
        return MemoryState(np.zeros(shape, np.float32), np.zeros(shape, np.float32))

    def step(
        self, z: Array, actions: Array, state: MemoryState, restart: NDArray[np.bool_] | None = None
    ) -> MemoryState:
        """Remember one step: (h, c) after seeing z and acting.

        Args:
            z: float32 (n, z_size).
            actions: float32 (n, action_size), as the simulator takes them.
            state: memory before; not changed.
            restart: bool (n,), True on an episode's first frame, where memory is reset to 0 and,
                in Doom, M is told so. None: nowhere.

        Returns:
            The memory after, new arrays.
        """
        sizes = self.sizes
        work = Workspace.create(len(z), sizes, 0)
        work.x[:, : sizes.z_size] = z
        work.x[:, sizes.z_size : sizes.z_size + sizes.action_size] = actions
        work.x[:, sizes.input_size + 1 :] = state.h
        work.c[:] = state.c
        if restart is not None:
            self.mark_starts(work, restart)
        self.advance(work)
        return MemoryState(work.x[:, sizes.input_size + 1 :].copy(), work.c)

    def mark_starts(self, work: Workspace, starts: NDArray[np.bool_]) -> None:
        """Reset the memory where an episode starts, bool (n,), and set or clear Doom's flag."""
        work.keep[:] = ~starts
        work.x[starts, self.sizes.input_size + 1 :] = 0
        if self.sizes.restart:
            work.x[:, self.sizes.input_size - 1] = starts

    @torch.inference_mode()
    def advance(self, work: Workspace, live: int | None = None) -> None:
        """Run the LSTM on the first ``live`` rows (default: all): h in ``x`` and ``c`` change."""
        rows = slice(live)
        x, gates = work.x[rows], work.gates[rows]
        self._product(x, self._core, gates)
        cell_kernels.cell_step(gates, work.keep[rows], work.c[rows], x, self.sizes.input_size + 1)

    @torch.inference_mode()
    def predict(self, work: Workspace, live: int | None = None) -> Array:
        """Run the heads on h of the first ``live`` rows.

        Returns:
            A view, float32 (live, outputs): the mixture's logits, mu and log σ, each (K, Z), then
            what :attr:`columns` names.
        """
        rows = slice(live)
        out = work.out[rows]
        self._product(work.x[rows, self.sizes.input_size :], self._heads, out)
        return out

    def _product(self, a: Array, weights: torch.Tensor, out: Array) -> None:
        left, result = torch.from_numpy(a), torch.from_numpy(out)
        if self._dtype == torch.float32:
            torch.mm(left, weights, out=result)
        else:
            result.copy_(left.to(self._dtype) @ weights)


_CURE = "Make M anew for this V and these latents (the stage mdnrnn)."


def state_arrays(network: MDNRNN) -> dict[str, Array]:
    """The network's state as contiguous numpy arrays on the CPU, float32."""
    state = network.state_dict()
    return {k: np.ascontiguousarray(v.detach().cpu().numpy()) for k, v in state.items()}


def check_arrays(arrays: Mapping[str, NDArray[Any]], network: MDNRNN) -> None:
    """Raise InputError unless ``arrays`` are the weights of ``network`` and first frames."""
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in arrays.items()}
    frames = (len(arrays.get("initial.mu", ())), network.sizes.z_size)
    expected |= {"initial.mu": frames, "initial.logvar": frames}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name) or not all(found[name]):
            raise InputError(
                f"These are not the weights of an M with {network.sizes}: {name} should be "
                f"{expected.get(name, 'absent')}, is {found.get(name, 'absent')}. {_CURE}"
            )
