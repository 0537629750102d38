"""ViZDoom's TakeCover: fireballs fly, and who stays alive is paid 1 a step."""

from world_models.envs.doom.game import Scenario
from world_models.envs.doom.simulator import Doom
from world_models.envs.takecover.specification import SPECIFICATION

SCENARIO = Scenario("take_cover.cfg", skill=4, moves=([1.0, 0.0], [0.0, 0.0], [0.0, 1.0]))
"""The paper's difficulty. Moves: left, stay, right."""


class TakeCover(Doom):
    """``take_cover.cfg`` with actions float32 (1,) in [−1, 1]: left, stay, right by thresholds.

    Episodes begin at the scenario's tic 1. Arguments as for :class:`Doom`.
    """

    def __init__(self, renderer: str = "fast", render_mode: str | None = None) -> None:
        super().__init__(SCENARIO, SPECIFICATION, renderer, render_mode)
