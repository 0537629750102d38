"""Small V and M with random weights, for tests of what is built around them."""

import numpy as np
import torch

from world_models.memory.model import Initial, Memory
from world_models.memory.network import MDNRNN
from world_models.memory.sizes import Sizes
from world_models.vision.model import Vision
from world_models.vision.network import PAPER_CHANNELS, VAE

Z, H = 8, 16


def make_vae():
    torch.manual_seed(1)
    return VAE(Z, PAPER_CHANNELS)


def make_mdnrnn(restart=False, cell="lstm"):
    torch.manual_seed(2)
    return MDNRNN(Sizes(Z, 3, H, 5, restart, reward_head=False, end_head=False, cell=cell))


def make_codec():
    return Vision(make_vae())


def make_memory(restart=False, cell="lstm"):
    first = np.zeros((2, Z), np.float32)
    return Memory(make_mdnrnn(restart, cell), Initial(first, first))
