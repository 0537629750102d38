"""V, the paper's convolutional VAE (App. A.1), written as a textbook would.

Everything that runs faster (:mod:`world_models.fast`)
computes the same function of the same parameters and is tested against this module.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from world_models.seeding import torch_seed

FRAME = (64, 64, 3)
"""Height, width, channels of a frame: uint8, 0–255, NHWC everywhere outside the network."""


class Encoder(nn.Module):
    """Four convolutions of kernel 4 and stride 2: 64 → 31 → 14 → 6 → 2 pixels, 1024 features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 4, stride=2)
        self.conv2 = nn.Conv2d(32, 64, 4, stride=2)
        self.conv3 = nn.Conv2d(64, 128, 4, stride=2)
        self.conv4 = nn.Conv2d(128, 256, 4, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Map images float (n, 3, 64, 64) in 0–1 to features (n, 1024), in NHWC order."""
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = functional.relu(conv(x))
        return x.permute(0, 2, 3, 1).flatten(1)


class Heads(nn.Module):
    """Two linear maps from the encoder's 1024 features: mu and logvar of z."""

    def __init__(self, z_size: int) -> None:
        super().__init__()
        self.mu = nn.Linear(1024, z_size)
        self.logvar = nn.Linear(1024, z_size)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Map features (n, 1024) to mu and logvar, each (n, Z)."""
        return self.mu(features), self.logvar(features)


class Decoder(nn.Module):
    """Linear to 1024 (no activation), four transposed convolutions: 1 → 5 → 13 → 30 → 64 pixels."""

    def __init__(self, z_size: int) -> None:
        super().__init__()
        self.linear = nn.Linear(z_size, 1024)
        self.deconv1 = nn.ConvTranspose2d(1024, 128, 5, stride=2)
        self.deconv2 = nn.ConvTranspose2d(128, 64, 5, stride=2)
        self.deconv3 = nn.ConvTranspose2d(64, 32, 6, stride=2)
        self.deconv4 = nn.ConvTranspose2d(32, 3, 6, stride=2)

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
        seed: of the initial weights (Glorot uniform, zero biases, as in the authors' code).
    """

    def __init__(self, z_size: int, seed: int = 0) -> None:
        super().__init__()
        self.z_size = z_size
        self.encoder = Encoder()
        self.heads = Heads(z_size)
        self.decoder = Decoder(z_size)
        self._initialise(torch.Generator().manual_seed(torch_seed(seed, "vae weights")))

    def _initialise(self, generator: torch.Generator) -> None:
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.xavier_uniform_(parameter, generator=generator)

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


def parts(z_size: int) -> dict[str, int]:
    """Trainable parameters of V by part: ``encoder``, ``heads``, ``decoder``."""
    with torch.device("meta"):
        built = {"encoder": Encoder(), "heads": Heads(z_size), "decoder": Decoder(z_size)}
    return {name: sum(p.numel() for p in part.parameters()) for name, part in built.items()}
