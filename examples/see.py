"""A frame encoded to z and decoded again: ``python examples/see.py [carracing] [out.png]``."""

import sys

import gymnasium
import numpy as np
from PIL import Image

import world_models

environment = sys.argv[1] if len(sys.argv) > 1 else "carracing"
out = sys.argv[2] if len(sys.argv) > 2 else "see.png"
agent = world_models.load(environment)
env = gymnasium.make(agent.specification.id)

frame, _ = env.reset(seed=7)
z = agent.encode(frame)  # float32 (Z,)
again = agent.decode(z)  # uint8 (64, 64, 3)
env.close()
Image.fromarray(np.concatenate([frame, again], axis=1)).resize((512, 256)).save(out)
print(f"z has {len(z)} numbers; mean error {np.abs(frame - again.astype(float)).mean():.1f}/255")
