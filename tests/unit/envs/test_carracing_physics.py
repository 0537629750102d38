"""The game without pictures against Gymnasium's own, bit for bit."""

from typing import Any

import numpy as np
import pytest
from carracing_drives import Drive, held, outwards, pilot, skid

from world_models.envs.carracing.genuine import car_racing
from world_models.envs.carracing.physics import Game

Genuine = car_racing.CarRacing


class Blind(Genuine):
    """Gymnasium's class with its picture left out, hundred times sooner."""

    def _render(self, mode: str) -> Any:
        return None


def state(game: Any) -> list[Any]:
    """All that moves: bodies, wheels, marks, score."""
    car = game.car
    numbers: list[Any] = [game.reward, game.prev_reward, game.tile_visited_count, game.t]
    for body in (car.hull, *car.wheels):
        numbers += [*body.position, body.angle, *body.linearVelocity, body.angularVelocity]
    for w in car.wheels:
        numbers += [w.omega, w.phase, w.gas, w.brake, w.steer, w.joint.angle, w.joint.motorSpeed]
        numbers.append(sorted(tile.idx for tile in w.tiles))
    return [*numbers, [(mark.color, mark.poly, mark.grass) for mark in car.particles]]


def roads(game: Any) -> list[Any]:
    return [
        (tuple(map(tuple, corners)), tuple(np.asarray(color, float)))
        for corners, color in game.road_poly
    ]


def drive_both(genuine: Any, ours: Game, seed: int, drive: Drive, steps: int) -> dict[str, Any]:
    """Drive the same way in both and compare; the info of the last step."""
    genuine.reset(seed=seed)
    ours.reset(seed=seed)
    assert genuine.track == ours.track
    assert roads(genuine) == roads(ours)
    info: dict[str, Any] = {}
    for i in range(steps):
        action = drive(genuine, i)
        _, reward, terminated, truncated, info = genuine.step(action)
        assert (None, reward, terminated, truncated, info) == ours.step(action), i
        assert state(genuine) == state(ours), i
        if terminated:
            break
    assert roads(genuine) == roads(ours)  # touched tiles lose their tint
    assert genuine.np_random.bit_generator.state == ours.np_random.bit_generator.state
    return info


@pytest.mark.parametrize("seed", range(5))
def test_whole_episodes_of_random_driving_equal_gymnasiums(seed: int) -> None:
    drive_both(Blind(), Game(), seed, held(seed), 1000)


@pytest.mark.parametrize("seed", [100, 101])
def test_skidding_and_blocked_wheels_equal_gymnasiums(seed: int) -> None:
    ours = Game()
    drive_both(Blind(), ours, seed, skid, 600)
    assert ours.car.particles


def test_leaving_the_field_equals_gymnasiums() -> None:
    info = drive_both(Blind(), Game(), 3, outwards, 1000)
    assert info == {"lap_finished": False}


@pytest.mark.parametrize("seed", [7, 8])
def test_finishing_a_lap_equals_gymnasiums(seed: int) -> None:
    info = drive_both(Blind(), Game(), seed, pilot(40), 2000)
    assert info == {"lap_finished": True}


def test_the_genuine_class_with_its_picture_moves_alike() -> None:
    genuine, ours = Genuine(), Game()
    genuine.reset(seed=11)
    ours.reset(seed=11)
    drive = held(11)
    for i in range(150):
        action = drive(genuine, i)
        assert genuine.step(action)[1:] == ours.step(action)[1:]
        assert state(genuine) == state(ours)


def test_a_game_played_before_equals_a_new_one() -> None:
    played = Game()
    for seed in (1, 2):
        drive_both(Blind(), played, seed, held(seed), 120)
    drive_both(Blind(), played, 3, pilot(50), 300)


@pytest.mark.parametrize("start", [0, 500])
def test_tracks_equal_gymnasiums(start: int) -> None:
    genuine, ours = Blind(), Game()
    for seed in range(start, start + 40):
        genuine.reset(seed=seed)
        ours.reset(seed=seed)
        assert roads(genuine) == roads(ours)
        assert [[tuple(v) for v in t.fixtures[0].shape.vertices] for t in genuine.road] == [
            [tuple(v) for v in t.fixtures[0].shape.vertices] for t in ours.road
        ]
