"""Gymnasium's track generator, compiled: the same tiles, bit for bit, from the same draws.

Follows ``CarRacing._create_track`` operation by operation, so no fast-math here: a reordered sum
would move a tile by one unit in the last place and, some hundred steps later, the car.
"""

import math

import numpy as np
from gymnasium.utils import seeding
from numpy.typing import NDArray

from world_models.compiling import compiled
from world_models.envs.carracing.genuine import car_racing as gym

CHECKPOINTS = 12
_MAX_POINTS = 2500
_SCALE = gym.SCALE
_TURN = gym.TRACK_TURN_RATE
_STEP = gym.TRACK_DETAIL_STEP
_START_X = 1.5 * gym.TRACK_RAD
_WIDTH = gym.TRACK_WIDTH
_OUTER = gym.TRACK_WIDTH + gym.BORDER
_RUN = gym.BORDER_MIN_COUNT
_BEND = 12
"""Tiles."""
START_ALPHA = 2 * math.pi * (-0.5) / CHECKPOINTS

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def _draw_checkpoints(rng: np.random.Generator) -> Floats:
    """The 12 points that a track passes, float64 (12, 3): angle, x, y. Takes 24 draws from rng."""
    points = np.empty((CHECKPOINTS, 3))
    for c in range(CHECKPOINTS):
        noise = rng.uniform(0, 2 * math.pi * 1 / CHECKPOINTS)
        alpha = 2 * math.pi * c / CHECKPOINTS + noise
        rad = rng.uniform(gym.TRACK_RAD / 3, gym.TRACK_RAD)
        if c == 0:
            alpha, rad = 0.0, _START_X
        if c == CHECKPOINTS - 1:
            alpha, rad = 2 * math.pi * c / CHECKPOINTS, _START_X
        points[c] = alpha, rad * math.cos(alpha), rad * math.sin(alpha)
    return points


@compiled()
def _next_checkpoint(points: Floats, alpha: float, dest: int) -> tuple[int, float]:
    """The first checkpoint ahead of angle alpha, and alpha brought to its turn."""
    while True:
        while True:
            if alpha <= points[dest % CHECKPOINTS, 0]:
                return dest, alpha
            dest += 1
            if dest % CHECKPOINTS == 0:
                break
        alpha -= 2 * math.pi


@compiled()
def _steer(beta: float, alpha: float, proj: float) -> tuple[float, float]:
    """The heading before and after one step, turned towards the checkpoint."""
    while beta - alpha > 1.5 * math.pi:
        beta -= 2 * math.pi
    while beta - alpha < -1.5 * math.pi:
        beta += 2 * math.pi
    before = beta
    proj *= _SCALE
    if proj > 0.3:
        beta -= min(_TURN, abs(0.001 * proj))
    if proj < -0.3:
        beta += min(_TURN, abs(0.001 * proj))
    return before, beta


@compiled()
def _trace(points: Floats) -> tuple[int, Floats]:
    """Drives from checkpoint to checkpoint for five laps; each row is (alpha, beta, x, y)."""
    track = np.empty((_MAX_POINTS, 4))
    x, y, beta = _START_X, 0.0, 0.0
    dest, laps, other_side = 0, 0, False
    for n in range(_MAX_POINTS):
        alpha = math.atan2(y, x)
        if other_side and alpha > 0:
            laps += 1
            other_side = False
        if alpha < 0:
            other_side = True
            alpha += 2 * math.pi
        dest, alpha = _next_checkpoint(points, alpha, dest)
        r1x, r1y = math.cos(beta), math.sin(beta)
        dest_dx = points[dest % CHECKPOINTS, 1] - x
        dest_dy = points[dest % CHECKPOINTS, 2] - y
        before, beta = _steer(beta, alpha, r1x * dest_dx + r1y * dest_dy)
        x += -r1y * _STEP
        y += r1x * _STEP
        track[n, 0] = alpha
        track[n, 1] = before * 0.5 + beta * 0.5
        track[n, 2] = x
        track[n, 3] = y
        if laps > 4:
            return n + 1, track
    return _MAX_POINTS, track


@compiled()
def _second_lap(track: Floats, n: int) -> tuple[int, int]:
    """Bounds of the last whole lap, or (-1, -1) where there is none."""
    end = -1
    for i in range(n - 1, 0, -1):
        if track[i, 0] > START_ALPHA and track[i - 1, 0] <= START_ALPHA:
            if end != -1:
                return i, end
            end = i
    return -1, -1


@compiled()
def _closed_lap(points: Floats) -> Floats:
    """The lap through the checkpoints, float64 (n, 4): alpha, beta, x, y; n = 0 if it fails."""
    n, trace = _trace(points)
    start, end = _second_lap(trace, n)
    failed: Floats = trace[:0].copy()
    if start == -1:
        return failed
    lap: Floats = trace[start : end - 1].copy()
    dx = math.cos(lap[0, 1]) * (lap[0, 2] - lap[-1, 2])
    dy = math.sin(lap[0, 1]) * (lap[0, 3] - lap[-1, 3])
    if math.sqrt(dx * dx + dy * dy) > _STEP:  # head and tail do not meet
        return failed
    return lap


def draw_lap(rng: np.random.Generator) -> Floats:
    """A track, float64 (n, 4), as in :func:`_closed_lap`: drawn until one closes."""
    while True:
        lap: Floats = _closed_lap(_draw_checkpoints(rng))
        if len(lap):
            return lap


@compiled()
def hard_turns(lap: Floats) -> Flags:
    """Which tiles carry a red and white border, bool (n,)."""
    n = len(lap)
    border = np.zeros(n, np.bool_)
    for i in range(n):
        good, side = True, 0.0
        for back in range(_RUN):
            turn = lap[i - back, 1] - lap[i - back - 1, 1]
            good = good and abs(turn) > _TURN * 0.2
            side += np.sign(turn)
        border[i] = good and abs(side) == _RUN
    for i in range(n):
        for back in range(_RUN):
            border[i - back] |= border[i]
    return border


@compiled()
def road_polygons(lap: Floats, border: Flags) -> tuple[Floats, Floats]:
    """Corners of tiles and of their borders, each float64 (n, 4, 2); borders as (m, 4, 2)."""
    n = len(lap)
    tiles, kerbs = np.empty((n, 4, 2)), np.empty((n, 4, 2))
    m = 0
    for i in range(n):
        b1, x1, y1 = lap[i, 1], lap[i, 2], lap[i, 3]
        b2, x2, y2 = lap[i - 1, 1], lap[i - 1, 2], lap[i - 1, 3]
        _corners(tiles[i], (b1, x1, y1), (b2, x2, y2), -_WIDTH, _WIDTH)
        if border[i]:
            side = np.sign(b2 - b1)
            _corners(kerbs[m], (b1, x1, y1), (b2, x2, y2), side * _WIDTH, side * _OUTER)
            m += 1
    return tiles, kerbs[:m]


@compiled()
def _corners(
    out: Floats,
    near: tuple[float, float, float],
    far: tuple[float, float, float],
    left: float,
    right: float,
) -> None:
    b1, x1, y1 = near
    b2, x2, y2 = far
    out[0, 0], out[0, 1] = x1 + left * math.cos(b1), y1 + left * math.sin(b1)
    out[1, 0], out[1, 1] = x1 + right * math.cos(b1), y1 + right * math.sin(b1)
    out[2, 0], out[2, 1] = x2 + right * math.cos(b2), y2 + right * math.sin(b2)
    out[3, 0], out[3, 1] = x2 + left * math.cos(b2), y2 + left * math.sin(b2)


def difficulty(seed: int) -> float:
    """The sharpest bend of a seed's track: how far it turns within 12 tiles, rad.

    Agents that drive well lose laps in hairpins: of the quarter of all tracks with the sharpest
    bends they lose one in six, of the others one in forty (docs/log.md, 2026-12-01).
    """
    random, _ = seeding.np_random(seed)
    lap = draw_lap(random)
    turns = np.diff(lap[:, 1], append=lap[0, 1])
    turns = (turns + math.pi) % (2 * math.pi) - math.pi
    headings = np.cumsum(np.concatenate([[0.0], turns, turns[:_BEND]]))
    return float(np.abs(headings[_BEND:] - headings[:-_BEND]).max())
