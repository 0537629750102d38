"""Makes every environment known to Gymnasium; what it registers are names, not classes."""

import gymnasium

from world_models.envs import catalogue


def register() -> None:
    """Register all environments of the catalogue, and the dream."""
    for name in catalogue.names():
        found = catalogue.specification(name)
        wrapped = {"environment": name} if found.wraps else {}
        gymnasium.register(
            id=found.id,
            entry_point=found.entry_point,
            max_episode_steps=found.cap,
            kwargs=wrapped,
        )
    gymnasium.register(
        id="WorldModels/Dream-v0",
        entry_point="world_models.worlds.dream_env:DreamEnv",
        vector_entry_point="world_models.worlds.dream_env:DreamVectorEnv",
    )
