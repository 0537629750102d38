"""When an episode of CarRacing ends, and the numbers that it ends with."""

import numpy as np
import pytest
from carracing_drives import outwards, pilot, skid

from world_models.envs.carracing.laps import SECOND
from world_models.envs.carracing.simulator import CarRacing
from world_models.envs.disturbance import NONE, Disturbance
from world_models.envs.vector import Lockstep
from world_models.evaluation import tables
from world_models.evaluation.trials import Played
from world_models.worlds.blind import Blind
from world_models.worlds.episodes import play

COAST = np.zeros(3, np.float32)


def drive(policy, seed, steps=1000, start=None, disturbance=NONE):
    env = CarRacing(disturbance=disturbance)
    env.reset(seed=seed)
    if start:
        car = env.game.car
        dx, dy = start[0] - car.hull.position[0], start[1] - car.hull.position[1]
        for body in (car.hull, *car.wheels):
            body.position = (body.position[0] + dx, body.position[1] + dy)
    for i in range(steps):
        _, _, terminated, truncated, info = env.step(policy(env.game, i))
        if terminated or truncated:
            return env, terminated, info["episode_figures"]
        assert "episode_figures" not in info
    raise AssertionError("not ended")


@pytest.mark.parametrize("renderer", ["fast", "genuine"])
def test_tile_0_is_visited_at_the_reset_so_that_the_95_percent_rule_cannot_fire(renderer):
    env = CarRacing(renderer)
    for seed in range(20 if renderer == "fast" else 4):
        env.reset(seed=seed)
        first = env.game.road[0]
        assert (first.idx, first.road_visited) == (0, True)
        # All tiles but one are visited; the car stands on tile 0, and nothing ends.
        for tile in env.game.road[:-30]:
            tile.road_visited = True
        env.game.tile_visited_count = len(env.game.track) - 1
        assert env.step(COAST)[2:4] == (False, False)
        assert not env.game.new_lap
        env.game.tile_visited_count = len(env.game.track)
        _, _, terminated, _, info = env.step(COAST)
        assert terminated
        assert info["lap_finished"]


def test_a_lap():
    env, terminated, figures = drive(pilot(55), seed=7)
    assert figures["accident"] == 0
    assert figures["lap_finished"] == terminated
    unvisited = len(env.game.track) - env.game.tile_visited_count
    assert figures["tiles_missed"] + figures["tiles_unreached"] == unvisited
    assert figures["tiles_missed"] < 10
    assert terminated or figures["tiles_unreached"] > 0


def test_a_lap_the_other_way_round_has_the_same_figures():
    turned = Disturbance("turned", 1.0)
    env, terminated, figures = drive(pilot(55, ahead=-5), seed=7, disturbance=turned)
    assert figures["accident"] == 0
    assert figures["lap_finished"] == terminated
    unvisited = len(env.game.track) - env.game.tile_visited_count
    assert figures["tiles_missed"] + figures["tiles_unreached"] == unvisited
    assert figures["tiles_missed"] < 10
    last, second = env.game.road[-3], env.game.road[3]
    assert last.road_visited
    assert terminated or not second.road_visited, "the lap's end"


def test_off_the_field_is_an_accident_and_no_lap():
    _, terminated, figures = drive(outwards, seed=8, start=(250, 40))
    assert terminated
    assert (figures["lap_finished"], figures["accident"]) == (0, 1)


def test_a_second_on_the_grass_is_an_accident_and_standing_on_the_road_is_none():
    _, terminated, figures = drive(skid, seed=7)
    assert not terminated
    assert figures["accident"] == 1
    env, _, figures = drive(lambda _game, _step: COAST, seed=7)
    assert figures["accident"] == 0
    assert figures["tiles_missed"] == 0
    assert figures["tiles_unreached"] == len(env.game.track) - env.game.tile_visited_count
    assert env.metadata["render_fps"] == SECOND


def test_a_tile_that_was_passed_by_is_missed_and_not_unreached():
    env = CarRacing()
    env.reset(seed=7)
    road, lap = env.game.road, env._lap
    visited = {i for i, tile in enumerate(road) if tile.road_visited}
    for i in (1, 2, 3, 6, 7, 40, len(road) - 2):  # the last one lies behind the start
        road[i].road_visited = True
        env.game.tile_visited_count += i not in visited
        visited.add(i)
        lap.step()
    figures = lap.figures(finished=False, left_field=False)
    assert figures["tiles_missed"] == len([i for i in range(41) if i not in visited])
    assert figures["tiles_unreached"] == len([i for i in range(41, len(road)) if i not in visited])


def test_evaluation_s_table_has_a_column_for_each_figure_and_metrics_their_means():
    world = Blind(Lockstep("carracing", 2, "fast"))

    def act(features):
        return np.zeros((len(features), 3), np.float32)

    outcomes = play(world, act, [1, 2])
    table = tables.episodes("agent", [Played(np.array([1, 2]), outcomes)])
    assert list(table["lap_finished"]) == [0, 0]
    assert table["tiles_unreached"].min() > 100
    figures = tables.figures(table)
    assert set(figures) == {"lap_finished", "tiles_missed", "tiles_unreached", "accident"}
    assert figures["tiles_unreached"] == table["tiles_unreached"].mean()
    world.close()
