"""World Models (Ha & Schmidhuber, 2018) as a pipeline.

    rollouts   act at random in the simulator, store the episodes
       ↓
      vae      V learns to see: a frame becomes z
       ↓
     encode    every frame as (mu, logvar)
       ↓
     mdnrnn    M learns to predict the next z from z, the action and its memory h
       ↓
     evolve    C learns to act, by CMA-ES, in reality or wholly inside M's dream
       ↓
    evaluate   scores in the genuine simulator, on seeds that nothing else used

Importing this package registers the environments by string entry points, and imports nothing heavy.
"""

import gymnasium

gymnasium.register(
    id="WorldModels/CarRacing-v3",
    entry_point="world_models.envs.carracing.simulator:CarRacing",
)
gymnasium.register(
    id="WorldModels/TakeCover-v1",
    entry_point="world_models.envs.takecover.simulator:TakeCover",
)
gymnasium.register(
    id="WorldModels/Dream-v0",
    entry_point="world_models.worlds.dream_env:DreamEnv",
    vector_entry_point="world_models.worlds.dream_env:DreamVectorEnv",
)
