"""Stable-Baselines3's PPO learns in M's dream: ``python examples/ppo.py [takecover] [steps]``."""

import sys
from pathlib import Path

from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

import world_models
from world_models.agent import find
from world_models.worlds.stable_baselines import DreamVecEnv

environment = sys.argv[1] if len(sys.argv) > 1 else "takecover"
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
models = find(environment)  # V and M; a C beside them is not used
dreams = DreamVecEnv(64, checkpoint=models / "mdnrnn", tau=1.0, ends="drawn")
layers = {"net_arch": {"pi": [], "vf": [64]}, "log_std_init": -0.5}  # a linear policy, as C is
rates = {"learning_rate": 2e-3, "gamma": 0.99, "n_steps": 256, "batch_size": 2048, "n_epochs": 4}
ppo = PPO("MlpPolicy", VecMonitor(dreams), policy_kwargs=layers, device="cpu", verbose=1, **rates)
ppo.learn(steps)

last = ppo.policy.action_net
weights, biases = (tensor.detach().numpy() for tensor in (last.weight, last.bias))
out = Path("ppo") / environment / "controller"
world_models.save_controller(out, models, weights, biases, trained_by="PPO of Stable-Baselines3")
print(f"{out}: {ppo.num_timesteps} steps, all of them dreamed")
