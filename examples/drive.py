"""The trained agent in a plain Gymnasium loop: ``python examples/drive.py [carracing]``."""

import sys

import gymnasium

import world_models

environment = sys.argv[1] if len(sys.argv) > 1 else "carracing"
agent = world_models.load(environment)
env = gymnasium.make(agent.specification.id)  # frames uint8 (64, 64, 3), as V was trained on

frame, _ = env.reset(seed=7)
state, total, done = None, 0.0, False  # no state: an episode begins
while not done:
    action, state = agent.act(frame, state)
    frame, reward, terminated, truncated, _ = env.step(action)
    total += float(reward)
    done = terminated or truncated
env.close()
print(f"{environment}: return {total:.1f}")
