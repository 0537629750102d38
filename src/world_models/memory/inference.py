"""How M's inference is computed: as the textbook has it, or accelerated behind the same calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from world_models.formulations import TEXTBOOK, Choice
from world_models.memory.mixture import sample
from world_models.memory.network import MDNRNN

Array = NDArray[np.float32]
Rows = slice | NDArray[np.intp]
"""Which episodes: a slice, or indices."""


class Work(Protocol):
    """Arrays of n episodes."""

    @property
    def parts(self) -> Mapping[str, Array]:
        """What M remembers of each episode, (n, H) for each name; to be read and changed."""


class Inference(Protocol):
    """What computes M's steps on arrays, float32 if nothing else is said."""

    def start(self, members: int) -> Any:
        """Make the :class:`Work` of n episodes with an empty memory."""

    def step(
        self, work: Any, inputs: Sequence[Array], starts: NDArray[np.bool_], rows: Rows
    ) -> None:
        """Remember one step of the k episodes in ``rows``.

        ``inputs`` are the parts of what enters the cell, each (k, ·); ``starts`` (k,) is True where
        an episode starts, whose memory is 0 before the step.
        """

    def predict(self, work: Any, rows: Rows, mask: Array | None) -> Array:
        """The heads' outputs of the k episodes, (k, outputs), valid until the next call.

        ``mask`` (k, H) are factors of h before the heads; None for 1.
        """

    def sample(
        self, out: Array, u: Array, eps: Array, row: NDArray[np.int64], tau: float, z: Array
    ) -> None:
        """Write to z (k, Z) a draw from the mixtures that begin the rows of ``out``.

        Member i uses row ``row[i]`` of ``u``, uniform in [0, 1), and of ``eps``, standard normal,
        both (S, Z).
        """


def inference(network: MDNRNN, choice: Choice) -> Inference:
    """The steps of ``network``, computed as ``choice`` says. Weights are read once, here."""
    assert choice.device == "cpu", choice
    if choice.formulation == TEXTBOOK:
        return Textbook(network)
    from world_models.fast.memory.inference import Packed

    low = choice.precision == "bfloat16"
    return Packed(network.flat(), torch.bfloat16 if low else torch.float32)


@dataclass(frozen=True)
class TextbookWork:
    """The parts of the state, and nothing else."""

    parts: dict[str, Array]


class Textbook:
    """The network itself, step by step; see :class:`Inference`."""

    def __init__(self, network: MDNRNN) -> None:
        self._network = network.eval()

    def start(self, members: int) -> TextbookWork:
        """Zeros."""
        sizes = self._network.sizes.parts.items()
        return TextbookWork({k: np.zeros((members, size), np.float32) for k, size in sizes})

    @torch.inference_mode()
    def step(
        self, work: TextbookWork, inputs: Sequence[Array], starts: NDArray[np.bool_], rows: Rows
    ) -> None:
        """One step of the cell."""
        network = self._network
        x = torch.cat([torch.from_numpy(part) for part in inputs], dim=1)
        keep = torch.from_numpy((~starts).astype(np.float32))[:, None]
        state = tuple(torch.from_numpy(part[rows]) * keep for part in work.parts.values())
        after = network.cell.step(x, state, network.w_x, network.w_h, network.bias)
        for part, new in zip(work.parts.values(), after, strict=True):
            part[rows] = new.numpy()

    @torch.inference_mode()
    def predict(self, work: TextbookWork, rows: Rows, mask: Array | None) -> Array:
        """All heads."""
        h = work.parts["h"][rows]
        shown = torch.from_numpy(h if mask is None else h * mask)
        mixture, *scalars = self._network.predict(shown)
        columns = [mixture, *(x[:, None] for x in scalars if x is not None)]
        out: Array = torch.cat(columns, dim=1).numpy()
        return out

    @torch.inference_mode()
    def sample(
        self, out: Array, u: Array, eps: Array, row: NDArray[np.int64], tau: float, z: Array
    ) -> None:
        """:func:`~world_models.memory.mixture.sample`."""
        mixture = torch.from_numpy(out[:, : self._network.sizes.mixture_size])
        z[:] = sample(mixture, torch.from_numpy(u[row]), torch.from_numpy(eps[row]), tau).numpy()
