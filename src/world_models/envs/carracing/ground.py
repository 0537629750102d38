"""What Gymnasium's CarRacing draws below the track, and circles around polygons."""

import numpy as np
from numpy.typing import NDArray

from world_models.envs.carracing.genuine import car_racing

Floats = NDArray[np.float64]


def _ground() -> Floats:
    """The field, then Gymnasium's grass patches, float64 (401, 4, 2)."""
    d = car_racing.GRASS_DIM
    field = np.array([[(1, 1), (1, -1), (-1, -1), (-1, 1)]]) * car_racing.PLAYFIELD
    patch = np.array([(1, 0), (0, 0), (0, 1), (1, 1)]) * d
    places = [(d * x, d * y) for x in range(-20, 20, 2) for y in range(-20, 20, 2)]
    return np.concatenate([field, np.array(places)[:, None, :] + patch])


GROUND = _ground()


def circles(polygons: Floats) -> Floats:
    """Circles around the polygons: x, y and radius, float64 (n, 3)."""
    centres = polygons.mean(axis=1)
    radii = np.linalg.norm(polygons - centres[:, None], axis=2).max(axis=1)
    return np.column_stack([centres, radii])
