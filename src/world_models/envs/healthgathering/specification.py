"""ViZDoom's health gathering: the floor is acid, and medikits keep one alive."""

from world_models.envs.actions import Argmax
from world_models.envs.specification import Key, Specification

SPECIFICATION = Specification(
    id="WorldModels/HealthGathering-v1",
    title="DoomHealthGathering",
    actions=Argmax(3),  # turn left, turn right, forward
    cap=2100,  # tics of 1/35 s, the scenario's own time-out
    fps=35,
    packages=("vizdoom",),
    install="pip install vizdoom; see https://vizdoom.farama.org",
    entry_point="world_models.envs.healthgathering.simulator:HealthGathering",
    renderers=("fast", "genuine"),
    dream_needs=frozenset({"end"}),
    keys=(Key("left", "left", 0), Key("right", "right", 1), Key("up", "forward", 2)),
)
