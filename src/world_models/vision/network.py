"""V, the paper's convolutional VAE (App. A.1), written as a textbook would.

Everything that runs faster (:mod:`world_models.fast`) computes the same function of the same
weights, and is tested against this module.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from world_models.seeding import torch_seed

FRAME = (64, 64, 3)
"""Height, width, channels of a frame: uint8, 0–255, NHWC everywhere outside the network."""
PAPER_CHANNELS = (32, 64, 128, 256)
"""Output channels of the paper's four convolutions."""
_PIXELS = {3: 6, 4: 2}
"""Pixels on a side that so many convolutions leave of 64."""


class Encoder(nn.Sequential):
    """Convolutions ``conv1`` … of kernel 4 and stride 2: 64 → 31 → 14 → 6 → 2 pixels."""

    def __init__(self, channels: Sequence[int]) -> None:
        pairs = zip((3, *channels), channels, strict=False)
        convs = (nn.Conv2d(before, after, 4, stride=2) for before, after in pairs)
        super().__init__(OrderedDict((f"conv{i}", conv) for i, conv in enumerate(convs, 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Map images float (n, 3, 64, 64) in 0–1 to features (n, F), in NHWC order."""
        for conv in self:
            x = functional.relu(conv(x))
        return x.permute(0, 2, 3, 1).flatten(1)


class Heads(nn.Module):
    """Two linear maps from the encoder's F features (the paper's 1024): mu and logvar of z."""

    def __init__(self, features: int, z_size: int) -> None:
        super().__init__()
        self.mu = nn.Linear(features, z_size)
        self.logvar = nn.Linear(features, z_size)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (n, F) to mu and logvar, each (n, Z)."""
        return self.mu(features), self.logvar(features)


class Decoder(nn.Module):
    """A linear map (no activation), four transposed convolutions: 1 → 5 → 13 → 30 → 64 pixels.

    The linear map gives 8 · channels[2] numbers, the paper's 1024; the transposed convolutions
    give channels[2], channels[1] and channels[0] channels, and the 3 colours.
    """

    def __init__(self, channels: Sequence[int], z_size: int) -> None:
        super().__init__()
        first, second, third = channels[:3]
        self.linear = nn.Linear(z_size, 8 * third)
        self.deconv1 = nn.ConvTranspose2d(8 * third, third, 5, stride=2)
        self.deconv2 = nn.ConvTranspose2d(third, second, 5, stride=2)
        self.deconv3 = nn.ConvTranspose2d(second, first, 6, stride=2)
        self.deconv4 = nn.ConvTranspose2d(first, 3, 6, stride=2)

    def forward(self, z: Tensor) -> Tensor:
        """Map z (n, Z) to images float (n, 3, 64, 64) in 0–1."""
        x = self.linear(z)[:, :, None, None]
        for deconv in (self.deconv1, self.deconv2, self.deconv3):
            x = functional.relu(deconv(x))
        return torch.sigmoid(self.deconv4(x))


class VAE(nn.Module):
    """V: one frame to a Gaussian over z, and z back to a frame.

    Args:
        z_size: latent dimensions, 32 for CarRacing and 64 for TakeCover in the paper.
        channels: output channels of the encoder's three or four convolutions.
        seed: of the initial weights (Glorot uniform, zero biases, as in the authors' code).
    """

    def __init__(self, z_size: int, channels: Sequence[int], seed: int = 0) -> None:
        super().__init__()
        self.z_size, self.channels = z_size, tuple(channels)
        self.encoder = Encoder(channels)
        self.heads = Heads(_features(channels), z_size)
        self.decoder = Decoder(channels, z_size)
        self._initialise(torch.Generator().manual_seed(torch_seed(seed, "vae weights")))

    def _initialise(self, generator: torch.Generator) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.xavier_uniform_(parameter, generator=generator)

    @property
    def shapes(self) -> dict[str, Any]:
        """What determines V's shape, by name; artifacts carry it in their card's details."""
        return {"z_size": self.z_size, "channels": self.channels}

    @property
    def weights(self) -> dict[str, Tensor]:
        """The parameters themselves, by name: what accelerated formulations compute with."""
        return dict(self.named_parameters())

    def channels_last(self) -> Self:
        """Bring the weights' memory into channels-last order, in place; no value changes."""
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Map images float (n, 3, 64, 64) in 0–1 to (mu, logvar), each (n, Z)."""
        mu, logvar = self.heads(self.encoder(images))
        return mu, logvar

    def decode(self, z: Tensor) -> Tensor:
        """Map z (n, Z) to images float (n, 3, 64, 64) in 0–1."""
        images: Tensor = self.decoder(z)
        return images

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruct ``images`` through z = mu + exp(logvar / 2) · noise, noise ~ N(0, 1) (n, Z).

        Returns:
            The reconstruction (n, 3, 64, 64), mu and logvar (n, Z).
        """
        mu, logvar = self.encode(images)
        return self.decode(mu + torch.exp(logvar / 2) * noise), mu, logvar


def as_images(frames: Tensor) -> Tensor:
    """Frames uint8 (n, 64, 64, 3), 0–255, as images float32 (n, 3, 64, 64) in 0–1.

    The result is a channels-last view of the same order in memory: no transposition is done.
    """
    return frames.to(torch.float32).div_(255).permute(0, 3, 1, 2)


def parts(z_size: int, channels: Sequence[int]) -> dict[str, int]:
    """Trainable parameters of V by part: ``encoder``, ``heads``, ``decoder``."""
    with torch.device("meta"):
        built = {
            "encoder": Encoder(channels),
            "heads": Heads(_features(channels), z_size),
            "decoder": Decoder(channels, z_size),
        }
    return {name: sum(p.numel() for p in part.parameters()) for name, part in built.items()}


def _features(channels: Sequence[int]) -> int:
    """F: numbers that the encoder makes of an image."""
    return int(_PIXELS[len(channels)] ** 2 * channels[-1])
