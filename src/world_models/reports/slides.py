"""Frames by step, for MLflow's slider: what V keeps of frames, what C saw, what M dreamt."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from world_models.evaluation import recordings
from world_models.storage import tensors

STEPS = 40
"""Slides of an episode, spread over its steps."""
SCALE = 4
"""A frame's pixel becomes so many, each way."""
KEYS = {"agent": "agent-sees", "dream": "dream"}
"""What an evaluation records, and the slider's name of it."""

Frames = NDArray[np.uint8]


def draw(stage: str, numbers: Path, environment: str, vae: Path | None, out: Path) -> None:
    """Write ``out/<slider>/<step>.png``; of a stage without frames, nothing.

    Args:
        stage: ``vae`` or ``evaluate``, or another.
        numbers: the folder that the stage wrote, ``reports/<environment>/<stage>``.
        environment: its name.
        vae: V's folder, which decodes what an evaluation recorded.
        out: an existing folder.
    """
    if stage == "vae":
        stored = tensors.load(numbers / "frames.safetensors")
        pairs = np.concatenate([stored["originals"], stored["reconstructions"]], axis=2)
        _save(out / "reconstruction", enumerate(pairs))
        _save(out / "sample", enumerate(stored["samples"]))
    if stage == "evaluate" and vae is not None:
        from world_models.vision.model import Vision  # it loads torch, which other stages may lack

        vision = Vision.load(vae, environment)
        for name, key in KEYS.items():
            z = recordings.load(numbers / f"{name}.safetensors")[0].z
            steps = np.unique(np.linspace(0, len(z) - 1, STEPS).astype(int))
            frames = vision.decode(np.ascontiguousarray(z[steps]))
            _save(out / key, zip(steps.tolist(), frames, strict=True))


def _save(folder: Path, slides: Iterable[tuple[int, Frames]]) -> None:
    folder.mkdir()
    for step, frame in slides:
        height, width, _ = frame.shape
        size = (SCALE * width, SCALE * height)
        picture = Image.fromarray(frame).resize(size, Image.Resampling.NEAREST)
        picture.save(folder / f"{step}.png")
