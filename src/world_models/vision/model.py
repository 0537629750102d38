"""V for everyone else: frames to (mu, logvar) and z to frames, numpy in and numpy out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from world_models.devices import Device
from world_models.errors import InputError
from world_models.formulations import choose
from world_models.storage import artifact, guard, tensors
from world_models.storage.model_details import ModelDetails, Size
from world_models.vision.inference import open_inference
from world_models.vision.network import PAPER_CHANNELS, VAE

WEIGHTS = "weights.safetensors"
"""Name of the weights' file in the artifact's folder."""

Frames = NDArray[np.uint8]
Latent = NDArray[np.float32]


class Details(ModelDetails):
    """What a V's card says; an older one names no channels, and means the paper's."""

    z_size: Size
    channels: Annotated[tuple[Size, ...], Field(strict=False, min_length=3, max_length=4)] = (
        PAPER_CHANNELS
    )


class _Payload(Details):
    wish: str | None = None


class Vision:
    """A trained V, for inference: deterministic, and fast at 16 to 64 frames on one thread.

    Threads may share a vision. The formulation follows from what the machine can do
    (:mod:`world_models.formulations`), so (mu, logvar) are equal to the last bit on machines of one
    kind. Two machines of different kinds, or a GPU and a CPU, differ as
    :data:`world_models.vision.inference.DIFFERENCES` says.

    Attributes:
        z_size: latent dimensions.
        choice: the device and the formulation.
    """

    def __init__(self, network: VAE, device: Device = "cpu", wish: str | None = None) -> None:
        """Make ``network`` ready; it must not change from here on.

        Args:
            network: V.
            device: the kind of device to compute on.
            wish: a formulation, in place of what the environment or the machine says.

        Raises:
            UserError: the wish cannot be granted.
        """
        self.z_size = network.z_size
        self.choice = choose("V", network.shapes, device, wish)
        self._network = network
        self._inference = open_inference(network, self.choice)

    @classmethod
    def load(cls, folder: Path, environment: str, device: Device = "cpu") -> Self:
        """Open the artifact ``models/<environment>/vae``.

        Raises:
            InputError: it is missing, damaged, of another kind or of another environment.
        """
        card = artifact.open_artifact(folder, "vae", environment)
        place = f"{folder / artifact.CARD} does not describe a V: it"
        details = guard.fitting(Details, card.details, place, artifact.cure_for(folder, card))
        weights = artifact.listed(folder, card, WEIGHTS)
        shape = details.z_size, details.channels
        arrays = tensors.load(weights, _kinds(*shape), _described(*shape))
        return cls.from_arrays(arrays, card.details, device)

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], details: Mapping[str, Any], device: Device = "cpu"
    ) -> Self:
        """Build V from its weights, as :meth:`payload` gives them: no file is read.

        Args:
            arrays: the textbook network's state, float32.
            details: of the artifact's card, or of a payload: ``z_size``, ``channels`` (the paper's
                where an older card has none), and a payload's ``wish``.
            device: the kind of device to compute on; simulators' workers stay on the CPU.

        Raises:
            InputError: the details are no V's, or the arrays are not a V of these shapes.
        """
        said = guard.fitting(_Payload, details, "This is no V: it")
        _check(arrays, said.z_size, said.channels)  # before anything of these sizes is made
        network = VAE(said.z_size, said.channels)
        network.load_state_dict(_state(arrays))
        return cls(network, device, said.wish)

    def payload(self) -> tuple[dict[str, NDArray[np.float32]], dict[str, Any]]:
        """Give what :meth:`from_arrays` takes, for a worker that has no files.

        The formulation goes along as a wish: a worker computes as this process would.
        """
        details = self._network.shapes | {"wish": self.choice.formulation}
        return state_arrays(self._network), details

    @torch.inference_mode()
    def encode(self, frames: Frames) -> tuple[Latent, Latent]:
        """Encode frames uint8 (n, 64, 64, 3), 0–255, to (mu, logvar), float32 (n, Z) each."""
        mu, logvar = self._inference.encode(torch.from_numpy(frames).to(self.choice.device))
        return mu.cpu().numpy(), logvar.cpu().numpy()

    @torch.inference_mode()
    def decode(self, z: Latent) -> Frames:
        """Decode z float32 (n, Z) to frames uint8 (n, 64, 64, 3), 0–255."""
        images = self._inference.decode(torch.from_numpy(z).to(self.choice.device))
        frames = images.mul_(255).round_().to(torch.uint8).permute(0, 2, 3, 1)
        return frames.contiguous().cpu().numpy()


def state_arrays(network: VAE) -> dict[str, NDArray[np.float32]]:
    """The network's state as contiguous numpy arrays on the CPU, float32."""
    state = network.state_dict()
    return {k: np.ascontiguousarray(v.detach().cpu().numpy()) for k, v in state.items()}


def load_arrays(arrays: Mapping[str, NDArray[Any]], network: VAE) -> None:
    """Copy weights into ``network``; InputError unless they fit it by name and shape."""
    _check(arrays, network.z_size, network.channels)
    network.load_state_dict(_state(arrays))


def _check(arrays: Mapping[str, NDArray[Any]], z_size: int, channels: Sequence[int]) -> None:
    place = f"These are not {_described(z_size, channels)}"
    try:
        tensors.fit(arrays, _kinds(z_size, channels), place)
    except InputError as error:
        raise InputError(f"{error} Train V anew for these parameters (stage vae).") from None


def _described(z_size: int, channels: Sequence[int]) -> str:
    return f"the weights of a V with z_size {z_size} and channels {list(channels)}"


def _kinds(z_size: int, channels: Sequence[int]) -> dict[str, tensors.Kind]:
    """What the weights of such a V are; no memory is taken for them."""
    with torch.device("meta"):
        state = VAE(z_size, channels).state_dict()
    return {name: tensors.Kind(np.float32, tuple(value.shape)) for name, value in state.items()}


def _state(arrays: Mapping[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}
