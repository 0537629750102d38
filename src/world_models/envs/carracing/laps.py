"""What became of a lap: finished or not, tiles missed, tiles never reached, accidents.

Gymnasium means to end a lap when the car crosses tile 0 with more than 95 % of the tiles visited.
That rule cannot fire: it is asked only when a tile is visited for the first time, and tile 0 is
visited at the reset, where the car stands. So an episode ends when all tiles are visited, after
1,000 steps, or off the field.
"""

from typing import Any

SECOND = 50
"""Steps."""
_NEAR = 12
"""Tiles looked at before all ahead are: a car visits them in order, but for short cuts."""


class Lap:
    """Follows one episode of Gymnasium's game or ours.

    Args:
        game: after its reset.
        backwards: whether the car drives the track the other way round.
    """

    def __init__(self, game: Any, *, backwards: bool = False) -> None:
        self._game, road = game, game.road
        self._road = [road[0], *road[:0:-1]] if backwards else road
        self._front = 0
        self._count = 1
        self._away = self._longest = 0

    def step(self) -> None:
        """Look at the game after a step."""
        if self._game.tile_visited_count != self._count:
            self._count = self._game.tile_visited_count
            self._advance()
        on_road = any(wheel.tiles for wheel in self._game.car.wheels)
        self._away = 0 if on_road else self._away + 1
        self._longest = max(self._longest, self._away)

    def figures(self, *, finished: bool, left_field: bool) -> dict[str, float]:
        """The episode in numbers, each 0 or 1 but for the tiles.

        ``lap_finished``: the game said so. ``tiles_missed``: those not visited that the car
        has passed, ``tiles_unreached``: those that lie beyond the farthest it came. ``accident``:
        it left the field, or for a second or longer the road, with all four wheels.
        """
        unvisited = [i for i, tile in enumerate(self._road) if not tile.road_visited]
        missed = sum(i <= self._front for i in unvisited)
        return {
            "lap_finished": float(finished),
            "tiles_missed": float(missed),
            "tiles_unreached": float(len(unvisited) - missed),
            "accident": float(left_field or self._longest >= SECOND),
        }

    def _advance(self) -> None:
        """Move the front to the farthest visited tile that is at most half a lap ahead."""
        road = self._road
        for reach in (_NEAR, len(road) // 2):
            ahead = range(min(self._front + reach, len(road) - 1), self._front, -1)
            farthest = next((i for i in ahead if road[i].road_visited), None)
            if farthest is not None:
                self._front = farthest
                return
