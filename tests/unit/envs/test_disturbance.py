"""What a disturbance changes in both environments, and what it leaves alone."""

from functools import cache

import numpy as np
import pytest
from carracing_drives import held

from world_models.envs import catalogue
from world_models.envs.disturbance import NONE, Disturbance
from world_models.envs.vector import Lockstep
from world_models.errors import ParameterError

CARS = {
    "colours": Disturbance("colours", 0.2),
    "noise": Disturbance("noise", 0.1),
    "bars": Disturbance("bars", 1.0),
    "blob": Disturbance("blob", 1.0),
}
COLOURS = CARS["colours"]
SEEN = {"road": (100, 100, 100), "field": (100, 202, 100), "grass": (100, 228, 100)}
SLIPPERY = Disturbance("friction", 0.3)
TURNED = Disturbance("turned", 1.0)
GAMES = {"friction": SLIPPERY, "turned": TURNED}
STEPS = 25


@cache
def drive(renderer, disturbance=NONE, seed=5):
    """Frames (n, 64, 64, 3), and the rest of each step, of full gas and turns in CarRacing."""
    simulator, act = catalogue.create("carracing", renderer, None, disturbance), held(1)
    frames, rest = [simulator.reset(seed=seed)[0]], []
    simulator.unwrapped.game.t = 1.0  # the camera's zoom is over
    for t in range(STEPS):
        action = act(None, t)
        action[1] = 1
        frame, *more = simulator.step(action)
        frames.append(frame)
        rest.append((*more[:3], tuple(simulator.unwrapped.game.car.hull.position)))
    return np.stack(frames).astype(int), rest


@pytest.mark.parametrize("renderer", ["fast", "genuine"])
@pytest.mark.parametrize("kind", CARS)
def test_what_is_seen_changes_in_carracing_and_the_game_does_not(renderer, kind):
    frames, rest = drive(renderer, CARS[kind])
    plain, game = drive(renderer)
    assert rest == game
    changed = (frames != plain).any(-1)
    assert changed.any((1, 2)).all(), "in every frame"
    seen = changed[-1]
    if kind == "bars":
        assert seen[:, :5].all()
        assert seen[:, -5:].all()
        assert not seen[:, 6:-6].any()
        assert not frames[-1][:, :4].any(), "black"
    if kind == "blob":
        rows, columns = np.nonzero(seen)
        assert 32 < columns.min() < columns.max() < 64, "to the right of the car"
        assert 20 < rows.min() < rows.max() < 55, "and in front of it"
        assert (columns.max() - columns.min()) in (7, 8, 9), "8 m of the 62 m that are seen"
        middle = frames[-1][(rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2]
        assert abs(middle - (202, 0, 0)).max() <= 2, "red as the hull"


@pytest.mark.parametrize("renderer", ["fast", "genuine"])
def test_colours_of_road_and_field_shift_by_a_number_each(renderer):
    shifts = []
    for seed in (5, 6):
        plain, frame = drive(renderer, NONE, seed)[0][-1], drive(renderer, COLOURS, seed)[0][-1]
        found = {}
        for name, colour in SEEN.items():
            part = (frame - plain)[(plain == colour).all(-1)]
            found[name] = part[0, 0]
            assert (part == part[0, 0]).mean() > 0.97, "all but some pixels at an edge"
        assert found["grass"] == 0
        shifts.append((found["road"], found["field"]))
    (road, field), second = shifts
    assert road != field
    assert second != (road, field), "drawn for each episode"
    assert 0 < np.abs(shifts).max() <= 51


@pytest.mark.parametrize("kind", [*CARS, *GAMES])
def test_both_renderers_show_and_play_the_same(kind):
    disturbance = (CARS | GAMES)[kind]
    fast, genuine = drive("fast", disturbance), drive("genuine", disturbance)
    assert fast[1] == genuine[1]
    # Without a disturbance the renderers' mean difference is 0.15 of 255.
    assert np.abs(fast[0] - genuine[0]).mean() < 0.5


def test_friction_changes_the_game_and_no_colour():
    frames, rest = drive("fast", SLIPPERY)
    plain, game = drive("fast")
    assert rest != game
    assert np.array_equal(frames[0], plain[0])


@pytest.mark.parametrize("renderer", ["fast", "genuine"])
def test_a_turned_car_stands_on_the_same_track_and_looks_the_other_way(renderer):
    games = []
    for disturbance in (NONE, TURNED):
        simulator = catalogue.create("carracing", renderer, None, disturbance)
        simulator.reset(seed=5)
        games.append(simulator.unwrapped.game)
    plain, turned = games
    assert [point[2:] for point in plain.track] == [point[2:] for point in turned.track]
    assert turned.car.hull.angle - plain.car.hull.angle == pytest.approx(np.pi, abs=0.05)
    assert np.hypot(*(turned.car.hull.position - plain.car.hull.position)) < 0.1
    full_gas = np.array([0, 1, 0], np.float32)
    for game in games:
        for _ in range(60):
            game.step(full_gas)
    ahead, back = (game.car.hull.position for game in games)
    start = plain.track[0][2:]
    assert np.dot(ahead - start, back - start) < -10, "they drive apart"


def test_a_road_that_grips_as_grass_is_the_end():
    simulator = catalogue.create("carracing", "fast", None, Disturbance("friction", 0.4))
    simulator.reset(seed=1)
    assert {tile.road_friction for tile in simulator.unwrapped.game.road} == {0.6}


@pytest.mark.parametrize("kind", ["colours", "noise"])
def test_frames_change_in_takecover_and_the_game_does_not(kind):
    plain, changed = (
        catalogue.create("takecover", "fast", None, d) for d in (NONE, Disturbance(kind, 0.2))
    )
    before, after = ([s.reset(seed=4)[0].astype(float)] for s in (plain, changed))
    for _ in range(20):
        action = np.ones(1, np.float32)
        (frame, *rest), (other, *same) = plain.step(action), changed.step(action)
        assert rest == same
        before.append(frame.astype(float))
        after.append(other.astype(float))
    plain.close()
    changed.close()
    first, second = np.stack(before), np.stack(after)
    if kind == "noise":
        inner = (first > 100) & (first < 155)  # clipped on neither side, nearly
        assert (second - first)[inner].std() == pytest.approx(51, rel=0.05)
        assert abs((second - first)[inner].mean()) < 2
        assert np.corrcoef((second - first)[:2].reshape(2, -1))[0, 1] < 0.2, "anew each frame"
    else:
        factors = [
            second[..., c][first[..., c] > 0] / first[..., c][first[..., c] > 0] for c in range(3)
        ]
        means = [np.median(f) for f in factors]
        assert len({round(m, 3) for m in means}) == 3
        assert all(0.8 <= m <= 1.2 for m in means)
        assert np.abs(second - np.clip(first * means, 0, 255)).max() <= 3, "the whole episode"


@pytest.mark.parametrize("environment", ["carracing", "takecover"])
@pytest.mark.parametrize("kind", ["colours", "noise"])
def test_an_episodes_disturbance_depends_on_its_seed_alone(environment, kind):
    disturbance = Disturbance(kind, 0.1)
    together, alone = (Lockstep(environment, n, "fast", disturbance=disturbance) for n in (3, 1))
    shape = together.single_action_space.shape
    together.reset(seed=[1, 2, 3])
    together.step(np.zeros((3, *shape), np.float32))
    first, _ = together.reset(seed=[7, 8, 9])
    first = first.copy()
    frames, *_ = together.step(np.zeros((3, *shape), np.float32))
    again, _ = alone.reset(seed=[8])
    assert np.array_equal(first[1], again[0])
    assert np.array_equal(frames[1], alone.step(np.zeros((1, *shape), np.float32))[0][0])
    assert not np.array_equal(first[0], first[1])
    together.close()
    alone.close()


def test_none_is_the_plain_simulator():
    for environment in ("carracing", "takecover"):
        made = [catalogue.create(environment, "fast", None, *d) for d in ((), (NONE,))]
        frames = [simulator.reset(seed=3)[0] for simulator in made]
        assert np.array_equal(*frames)
        assert type(made[0]) is type(made[1])
        for simulator in made:
            simulator.close()


@pytest.mark.parametrize(
    ("environment", "disturbance", "message"),
    [
        (
            "takecover",
            SLIPPERY,
            "DoomTakeCover has no disturbance 'friction'. It has none, colours",
        ),
        ("carracing", Disturbance("friction", 0.5), "friction goes from 0 to 0.4"),
        ("carracing", Disturbance("none", 0.5), "none goes from 0 to 0"),
    ],
)
def test_what_an_environment_does_not_have_is_refused(environment, disturbance, message):
    with pytest.raises(ParameterError, match=message):
        catalogue.create(environment, "genuine", None, disturbance)
