"""What M dreams from some point in a real episode, with the episode's own actions."""

import numpy as np
from numpy.typing import NDArray

from world_models.memory.model import Memory
from world_models.memory.threads import one_thread
from world_models.seeding import stream

Array = NDArray[np.float32]


@one_thread()
def dream_on(
    memory: Memory, z: Array, actions: Array, *, warm: int, samples: int, tau: float, seed: int
) -> Array:
    """Let M see ``warm`` real steps, then dream the rest, also where M expects an end.

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
    shape = (samples, memory.z_size)
    noise, state = stream(seed, "dream on"), memory.start(samples)
    dreamed = np.empty((samples, len(z) - warm, memory.z_size), np.float32)
    now, rows = np.empty(shape, np.float32), np.arange(samples)
    for t in range(len(z) - 1):
        if t < warm:
            now[:] = z[t]
        done = np.tile(actions[t], (samples, 1))
        memory.step(state, now, done, np.full(samples, t == 0))
        if t + 1 >= warm:
            u, eps = noise.random(shape, np.float32), noise.standard_normal(shape, np.float32)
            memory.sample(memory.predict(state), u, eps, rows, tau, now)
            dreamed[:, t + 1 - warm] = now
    return dreamed
