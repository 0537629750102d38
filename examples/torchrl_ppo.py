"""TorchRL's PPO learns in M's dream: ``python examples/torchrl_ppo.py [takecover] [steps]``."""

import sys
from pathlib import Path

import gymnasium
import torch
from gymnasium.vector import AutoresetMode
from tensordict.nn import AddStateIndependentNormalScale, TensorDictModule
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import GymWrapper
from torchrl.modules import ProbabilisticActor, TanhNormal, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE

import world_models
from world_models.agent import find

environment = sys.argv[1] if len(sys.argv) > 1 else "takecover"
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
models = find(environment)  # V and M; a C beside them is not used
dreams = GymWrapper(
    gymnasium.make_vec(
        "world_models:WorldModels/Dream-v0",
        num_envs=64,
        autoreset_mode=AutoresetMode.SAME_STEP,  # TorchRL takes this one, or DISABLED
        checkpoint=models / "mdnrnn",
        tau=1.0,
        ends="drawn",
    )
)
inputs, outputs = dreams.observation_spec["observation"].shape[-1], dreams.action_spec.shape[-1]
box = {"low": dreams.action_spec.space.low[0], "high": dreams.action_spec.space.high[0]}

linear = nn.Linear(inputs, outputs)  # the mean before tanh, as C's output is
for numbers in linear.parameters():
    nn.init.zeros_(numbers)
scaled = nn.Sequential(linear, AddStateIndependentNormalScale(outputs, init_value=-0.5))
actor = ProbabilisticActor(
    TensorDictModule(scaled, ["observation"], ["loc", "scale"]),
    in_keys=["loc", "scale"],
    distribution_class=TanhNormal,
    distribution_kwargs=box,
    return_log_prob=True,
)
critic = ValueOperator(nn.Sequential(nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 1)))
advantage = GAE(gamma=0.99, lmbda=0.95, value_network=critic, average_gae=True)
loss = ClipPPOLoss(actor, critic, entropy_coeff=0.0)
adam = torch.optim.Adam(loss.parameters(), lr=2e-3)

done, frames = 0, 64 * 256  # a batch: of 64 dreams 256 steps each
played = Collector(
    dreams,
    actor,
    frames_per_batch=frames,
    total_frames=-(-steps // frames) * frames,
    auto_register_policy_transforms=True,
)
for batch in played:
    for _ in range(4):
        with torch.no_grad():
            advantage(batch)
        for part in batch.reshape(-1)[torch.randperm(frames)].split(2048):
            found = loss(part)
            adam.zero_grad()
            (found["loss_objective"] + found["loss_critic"]).backward()
            nn.utils.clip_grad_norm_(loss.parameters(), 0.5)
            adam.step()
    done += frames
    ended = batch["next", "done"].sum().item()
    print(f"{done} steps; a dream lasts {frames / max(ended, 1):.0f}", flush=True)

out = Path("ppo-torchrl") / environment / "controller"
weights, biases = (tensor.detach().numpy() for tensor in (linear.weight, linear.bias))
world_models.save_controller(out, models, weights, biases, trained_by="PPO of TorchRL")
print(f"{out}: {done} steps, all of them dreamed")
