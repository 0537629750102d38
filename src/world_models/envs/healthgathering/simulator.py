"""ViZDoom's health gathering: 1 a step for being alive, and 100 less for dying."""

from world_models.envs.doom.game import Scenario
from world_models.envs.doom.simulator import Doom
from world_models.envs.healthgathering.specification import SPECIFICATION

SCENARIO = Scenario(
    "health_gathering.cfg", skill=3, moves=([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0])
)
"""ViZDoom's default skill. Moves: turn left, turn right, forward."""


class HealthGathering(Doom):
    """``health_gathering.cfg`` with actions one-hot float32 (3,): turn left, turn right, forward.

    Arguments as for :class:`Doom`.
    """

    def __init__(self, renderer: str = "fast", render_mode: str | None = None) -> None:
        super().__init__(SCENARIO, SPECIFICATION, renderer, render_mode)
