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

In Python: ``agent = world_models.load("carracing")``, see :func:`world_models.loading.load`, and
``world_models.read(folder)`` for one data set or model.

Importing this package registers the environments with Gymnasium, and imports nothing heavy: the
public names are loaded when they are asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from world_models.agent import Agent
    from world_models.exchange.linear import save_controller
    from world_models.folders import read
    from world_models.loading import load

__all__ = ["Agent", "load", "read", "save_controller"]
_MODULES = {
    "Agent": "agent",
    "load": "loading",
    "read": "folders",
    "save_controller": "exchange.linear",
}

# By name, as no result depends on it; first, as torch may bind this thread to one core.
import_module("world_models.engine.cores")
# By name: which environments there are changes no result, so that no stage depends on it.
import_module("world_models.envs.registration").register()


def __getattr__(name: str) -> Any:
    """Load a public name. By name too: no stage depends on what people use."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"world_models.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """The public names, loaded or not."""
    return sorted({*globals(), *__all__})
