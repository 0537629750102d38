"""Speed, measured side by side against what people use today: ``make bench``."""

import os

# As the stages do. Otherwise the idle threads of the side whose turn is over go on spinning for a
# while, on the cores of the side whose turn it is. Must stand before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
