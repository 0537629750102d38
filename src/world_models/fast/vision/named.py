"""What V's formulations call by name: the layers of each, and the textbook network's parameters."""

from world_models.fast.vision import columns, winograd
from world_models.fast.vision.layers import Layers

CONVS = ("encoder.conv1", "encoder.conv2", "encoder.conv3", "encoder.conv4")
DECONVS = ("decoder.deconv2", "decoder.deconv3", "decoder.deconv4")
"""Names of the modules whose ``weight`` and ``bias`` the layers take, in the layers' order."""


def layers_of(formulation: str) -> Layers:
    """The layers of a formulation that :mod:`world_models.fast.door` lists for V."""
    return {"winograd-float32": winograd.LAYERS, "columns-bfloat16": columns.LAYERS}[formulation]
