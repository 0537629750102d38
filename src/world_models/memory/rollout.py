"""Dream on from a point in a real episode, with the episode's own actions."""

import numpy as np
from numpy.typing import NDArray

from world_models.fast.memory import mixture_kernels as kernels
from world_models.memory.model import Memory, Workspace
from world_models.seeding import stream

Array = NDArray[np.float32]


def dream_on(
    memory: Memory, z: Array, actions: Array, *, warm: int, samples: int, tau: float, seed: int
) -> Array:
    """Let M see ``warm`` real steps, then dream the rest; ends are not heeded.

    Args:
        memory: M.
        z: (T, Z) the real episode, from its first frame.
        actions: (T, A) what was done in it.
        warm: steps in which M sees the real z; at least 1.
        samples: dreams, side by side.
        tau: temperature.
        seed: of the dreams' noise.

    Returns:
        float32 (samples, T - warm, Z): what M dreams in place of ``z[warm:]``.
    """
    sizes = memory.sizes
    work = Workspace.create(samples, sizes, memory.outputs)
    noise = stream(seed, "dream on")
    dreamed = np.empty((samples, len(z) - warm, sizes.z_size), np.float32)
    rows = np.arange(samples)
    for t in range(len(z) - 1):
        memory.mark_starts(work, np.full(samples, t == 0))
        if t < warm:
            work.x[:, : sizes.z_size] = z[t]
        work.x[:, sizes.z_size : sizes.z_size + sizes.action_size] = actions[t]
        memory.advance(work)
        if t + 1 >= warm:
            shape = (samples, sizes.z_size)
            u, eps = noise.random(shape, np.float32), noise.standard_normal(shape, np.float32)
            kernels.mixture_sample(memory.predict(work), u, eps, rows, tau, work.x)
            dreamed[:, t + 1 - warm] = work.x[:, : sizes.z_size]
    return dreamed
