"""Draws a stage's pictures from the numbers that it stored."""

from pathlib import Path

from world_models.reports import evaluate, evolve, mdnrnn, rollouts, vae
from world_models.reports.style import plain_style

DRAW = {
    "rollouts": rollouts.draw,
    "collect": rollouts.draw,
    "vae": vae.draw,
    "joint": vae.draw,
    "mdnrnn": mdnrnn.draw,
    "evolve": evolve.draw,
    "evaluate": evaluate.draw,
}
"""By the stages that have pictures."""


def draw(stage: str, numbers: Path, out: Path) -> None:
    """Draw all pictures of one stage; of a stage without pictures, none.

    Args:
        stage: such as ``vae``.
        numbers: the folder that the stage wrote, ``reports/<environment>/<stage>``.
        out: an existing folder for the pictures.
    """
    if stage in DRAW:
        with plain_style():
            DRAW[stage](numbers, out)
