"""Gymnasium's contact listener, which learns from addresses who touches whom."""

from collections.abc import Sequence
from typing import Any

from world_models.envs.carracing import driving
from world_models.envs.carracing.car import address, places_hold
from world_models.envs.carracing.genuine import car_racing


class FrictionDetector(car_racing.FrictionDetector):
    """Counts the tiles that the wheels reach, as Gymnasium's, and takes a touched tile's tint.

    A moving car begins or ends some three contacts a step, most of them of the hull, which only
    take the tint; each makes Gymnasium's listener ask for fixtures, bodies and user data.
    """

    def __init__(self, env: Any, lap_complete_percent: float) -> None:
        super().__init__(env, lap_complete_percent)  # type: ignore[no-untyped-call]
        self._tiles: dict[int, Any] = {}
        self._wheels: dict[int, Any] = {}
        self._tinted: set[int] = set()

    def know(self, tiles: Sequence[Any], wheels: Sequence[Any]) -> None:
        """Take this episode's track and car; until then, Gymnasium's own way is gone."""
        if places_hold():
            self._tiles = {address(tile): tile for tile in tiles}
            self._wheels = {address(wheel): wheel for wheel in wheels}
            self._tinted = set(self._tiles)

    def _contact(self, contact: Any, begin: bool) -> None:  # noqa: FBT001
        if not self._tiles:
            super()._contact(contact, begin)  # type: ignore[no-untyped-call]
            return
        place, other = driving.touching(address(contact))
        if place not in self._tiles:
            place, other = other, place
        tile = self._tiles.get(place)
        if tile is None:
            return
        if place in self._tinted:
            self._tinted.remove(place)
            tile.color[:] = self.env.road_color
        wheel = self._wheels.get(other)
        if wheel is not None:
            self._touch(tile, wheel) if begin else wheel.tiles.remove(tile)

    def _touch(self, tile: Any, wheel: Any) -> None:
        wheel.tiles.add(tile)
        if tile.road_visited:
            return
        tile.road_visited = True
        env = self.env
        env.reward += 1000.0 / len(env.track)
        env.tile_visited_count += 1
        share = env.tile_visited_count / len(env.track)
        if tile.idx == 0 and share > self.lap_complete_percent:
            env.new_lap = True
