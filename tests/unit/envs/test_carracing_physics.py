"""The game without pictures against Gymnasium's own, bit for bit."""

from typing import Any

import numpy as np
import pytest
from carracing_drives import Drive, action, held, outwards, pilot, skid

from world_models.envs.carracing import car, contacts
from world_models.envs.carracing.disturbed import Changes, Disturbed
from world_models.envs.carracing.genuine import car_racing
from world_models.envs.carracing.physics import Game

Genuine = car_racing.CarRacing


class Blind(Genuine):
    """Gymnasium's class with its picture left out, hundred times sooner."""

    def _render(self, mode: str) -> Any:
        return None


class Slippery(Disturbed):
    """Gymnasium's class with other tiles and its picture left out."""

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
        controls = drive(genuine, i)
        _, reward, terminated, truncated, info = genuine.step(controls)
        assert (None, reward, terminated, truncated, info) == ours.step(controls), i
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


@pytest.mark.parametrize("friction", [0.7, 0.5])
def test_a_slippery_road_equals_gymnasiums_with_such_tiles(friction: float) -> None:
    genuine, ours = Slippery(), Game()
    genuine.changes = ours.changes = Changes(friction=friction)
    drive_both(genuine, ours, 100, skid, 300)


def test_leaving_the_field_equals_gymnasiums() -> None:
    info = drive_both(Blind(), Game(), 3, outwards, 1000)
    assert info == {"lap_finished": False}


@pytest.mark.parametrize("seed", [7, 8])
def test_finishing_a_lap_equals_gymnasiums(seed: int) -> None:
    info = drive_both(Blind(), Game(), seed, pilot(40), 2000)
    assert info == {"lap_finished": True}


def waiting(game: Any, step: int) -> Any:
    """Stand until Box2D puts the car to sleep, then go."""
    return action(0, 0.3 * (step > 50), 0)


def test_a_car_that_fell_asleep_wakes_as_gymnasiums() -> None:
    ours = Game()
    ours.reset(seed=4)
    asleep = 0
    for i in range(50):
        ours.step(waiting(ours, i))
        asleep += not ours.car.hull.awake
    assert asleep
    drive_both(Blind(), ours, 4, waiting, 100)


def test_the_installed_box2d_keeps_its_numbers_where_they_are_read() -> None:
    assert car.places_hold()


def test_a_box2d_that_keeps_them_elsewhere_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (car, contacts):
        monkeypatch.setattr(module, "places_hold", lambda: False)
    drive_both(Blind(), Game(), 100, skid, 300)
    drive_both(Blind(), Game(), 4, waiting, 80)


def test_a_number_in_another_place_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    look = car.places_hold.__wrapped__
    for place in ("X", "SIN", "ANGLE", "VELOCITY", "FORCE", "MOTOR_SPEED", "REFERENCE"):
        with monkeypatch.context() as patch:
            patch.setattr(car.driving, place, getattr(car.driving, place) + 1)
            assert not look(), place


def test_the_wheels_attributes_stand_in_the_cars_table() -> None:
    game = Game()
    game.reset(seed=1)
    wheel = game.car.wheels[2]
    wheel.omega = 3.0
    game.car.gas(0.5)
    assert (wheel.omega, wheel.gas) == (3.0, 0.1)


def test_the_genuine_class_with_its_picture_moves_alike() -> None:
    genuine, ours = Genuine(), Game()
    genuine.reset(seed=11)
    ours.reset(seed=11)
    drive = held(11)
    for i in range(150):
        controls = drive(genuine, i)
        assert genuine.step(controls)[1:] == ours.step(controls)[1:]
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
