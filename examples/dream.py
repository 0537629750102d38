"""M's dream stepped by hand, C acting in it: ``python examples/dream.py [takecover] [out.gif]``."""

import sys

from PIL import Image

import world_models

environment = sys.argv[1] if len(sys.argv) > 1 else "takecover"
out = sys.argv[2] if len(sys.argv) > 2 else "dream.gif"
agent = world_models.load(environment)

dream = agent.dream(tau=1.15)
features = dream.reset(seeds=[7])  # what C sees of one dream: z and parts of M's memory
frames, done, steps = [], False, 0
while not done and steps < 300:
    actions = agent.policy(features)
    features, reward, terminated, truncated = dream.step(actions)
    frames.append(Image.fromarray(agent.decode(features[0, : agent.vision.z_size])))
    done, steps = bool(terminated[0] or truncated[0]), steps + 1
frames[0].save(out, save_all=True, append_images=frames[1:], duration=30, loop=0)
print(f"{environment}: dreamed {steps} steps")
