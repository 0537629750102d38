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

Importing this package registers the environments with Gymnasium, and imports nothing heavy.
"""

from importlib import import_module

# By name: which environments there are changes no result, so that no stage depends on it.
import_module("world_models.envs.registration").register()
