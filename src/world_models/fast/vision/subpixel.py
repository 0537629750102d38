"""V in plain torch operations that every device has fast kernels for, bfloat16 included.

The same function as the textbook's decoder: the first transposed convolution acts on one pixel and
is a linear layer; the others, of stride 2, are ordinary convolutions of kernel 3 whose output
channels are the four pixel phases, put in place by a pixel shuffle. Several transposed-convolution
kernels are pathologically slow in bfloat16 on a CPU; convolutions are not.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from world_models.vision.network import VAE, as_images


def phase_weights(weight: Tensor) -> Tensor:
    """Weights (C, O, k, k), k = 5 or 6, to a convolution's (4·O, C, 3, 3).

    Output 2i + p of phase p takes tap 2j + p from input i − j; kernel 5 has a sixth tap of zero.
    """
    inputs, outputs, k, _ = weight.shape
    padded = functional.pad(weight, (0, 6 - k, 0, 6 - k))
    taps = padded.view(inputs, outputs, 3, 2, 3, 2).flip(2, 4)
    return taps.permute(1, 3, 5, 0, 2, 4).reshape(4 * outputs, inputs, 3, 3)


def subpixel_deconv(x: Tensor, deconv: nn.ConvTranspose2d) -> Tensor:
    """Apply ``deconv`` (stride 2, kernel 5 or 6) to x (n, C, h, h) as a convolution."""
    assert deconv.bias is not None
    phases = functional.conv2d(
        x, phase_weights(deconv.weight), deconv.bias.repeat_interleave(4), 1, 2
    )
    y = functional.pixel_shuffle(phases, 2)
    return y[..., :-1, :-1] if deconv.kernel_size[0] == 5 else y


class SubpixelVAE:
    """The formulation over a textbook network, whose parameters it reads at every call.

    Runs in bfloat16 by autocast where ``autocast`` says so; sums, exponentials and the pixels
    at the end stay in float32.
    """

    def __init__(self, network: VAE, *, autocast: bool) -> None:
        self._network = network.channels_last()
        self._autocast = autocast

    def encode(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Frames uint8 (n, 64, 64, 3), 0–255, to (mu, logvar), float32 (n, Z); differentiable."""
        with torch.autocast(frames.device.type, torch.bfloat16, enabled=self._autocast):
            mu, logvar = self._network.encode(as_images(frames))
        return mu.float(), logvar.float()

    def decode(self, z: Tensor) -> Tensor:
        """Map z (n, Z) to images float32 (n, 3, 64, 64) in 0–1; differentiable."""
        decoder = self._network.decoder
        with torch.autocast(z.device.type, torch.bfloat16, enabled=self._autocast):
            y = first_deconv(decoder.linear(z), decoder.deconv1)
            for deconv in (decoder.deconv2, decoder.deconv3):
                y = functional.relu(subpixel_deconv(y, deconv))
            y = subpixel_deconv(y, decoder.deconv4)
        return torch.sigmoid(y.float())

    def __call__(self, frames: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction (n, 3, 64, 64), mu and logvar (n, Z), as the textbook's ``forward``."""
        mu, logvar = self.encode(frames)
        return self.decode(mu + torch.exp(logvar / 2) * noise), mu, logvar


def first_deconv(x: Tensor, deconv: nn.ConvTranspose2d) -> Tensor:
    """ReLU of ``deconv`` (kernel 5) on one pixel, x (n, 1024) → (n, O, 5, 5), as a linear layer."""
    assert deconv.bias is not None
    matrix = deconv.weight.permute(0, 2, 3, 1).flatten(1)
    y = functional.linear(x, matrix.t(), deconv.bias.repeat(25))
    return functional.relu(y).view(len(x), 5, 5, -1).permute(0, 3, 1, 2)
