"""ViZDoom's TakeCover as the paper's agent saw it; what it is and what the paper reached."""

from world_models.envs.actions import Thresholds
from world_models.envs.specification import Key, PaperSizes, Specification
from world_models.envs.takecover.looks import looks

SPECIFICATION = Specification(
    id="WorldModels/TakeCover-v1",
    title="DoomTakeCover",
    actions=Thresholds((-1 / 3, 1 / 3)),  # left, stay, right (App. A.4)
    cap=2100,  # tics of 1/35 s: one minute (App. A.3)
    fps=35,
    packages=("vizdoom",),
    install="pip install vizdoom; see https://vizdoom.farama.org",
    entry_point="world_models.envs.takecover.simulator:TakeCover",
    renderers=("fast", "genuine"),
    bias=False,
    looks=looks,
    dream_needs=frozenset({"end"}),
    keys=(Key("left", "left", 0), Key("right", "right", 2)),
    paper_scores={"agent": "1092 ± 556", "random": "210 ± 108", "dream": "918 ± 546"},  # τ = 1.15
    paper_sizes=PaperSizes(z=64, hidden=512, mixtures=5, restart=True, features="zch"),
)
