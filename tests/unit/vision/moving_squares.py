"""Episodes whose frames can be told apart."""

import numpy as np

from world_models.storage.episodes import Episode


def moving_square(number: int, length: int) -> Episode:
    """An episode whose frames tell its number (red) and their step (green, blue)."""
    frames = np.zeros((length, 64, 64, 3), np.uint8)
    frames[..., 0] = number % 256
    frames[..., 1] = (np.arange(length) % 256)[:, None, None]
    frames[..., 2] = (np.arange(length) // 256)[:, None, None]
    for t in range(length):
        row, column = (3 * t + 7 * number) % 56, (5 * t + 11 * number) % 56
        frames[t, row : row + 8, column : column + 8] = 255
        frames[t, 0, 0] = number % 256, t % 256, t // 256
    generator = np.random.default_rng(number)
    return Episode(
        seed=number,
        frames=frames,
        actions=generator.standard_normal((length, 3)).astype(np.float32),
        rewards=generator.standard_normal(length).astype(np.float32),
        terminated=number % 2 == 0,
        truncated=number % 2 == 1,
    )
