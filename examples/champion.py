"""MLflow's champion in a Gymnasium loop: ``python examples/champion.py [carracing]``.

It needs MLflow, this package and the address of the store (MLFLOW_TRACKING_URI), no clone.
"""

import sys

import gymnasium
import mlflow

import world_models

environment = sys.argv[1] if len(sys.argv) > 1 else "carracing"
address = f"models:/{environment}@champion"
agent = world_models.load(address)  # V, M and C: act, encode, decode, dream
model = mlflow.pyfunc.load_model(address)  # the same behind MLflow's interface
env = gymnasium.make(agent.specification.id)  # frames uint8 (64, 64, 3)

frame, _ = env.reset(seed=7)
total, done, first = 0.0, False, True
while not done:
    action = model.predict(frame[None], params={"first": [first]})[0]  # it keeps the state
    frame, reward, terminated, truncated, _ = env.step(action)
    total, done, first = total + float(reward), terminated or truncated, False
env.close()
print(f"{environment}: return {total:.1f}")
