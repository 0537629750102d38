"""The car's formulas, compiled: on numbers where Box2D keeps them, or that it was asked for.

Gymnasium's ``Car.step`` asks Box2D some fifty questions through Python for a few sums; asking
costs ten times what the sums do. Here the sums are in their original order of operations, without
fast-math, so that every bit is the same.

The places are those of Box2D 2.3's ``b2Body`` and ``b2RevoluteJoint`` on a 64-bit machine;
:func:`world_models.envs.carracing.car.places_hold` finds out whether they hold. An address is good
while the body or joint lives, that is as long as its Python object may be used.
"""

import math
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import carray
from numpy.typing import NDArray

from world_models.compiling import compiled, inlined
from world_models.envs.carracing.genuine import car_dynamics, car_racing

DT = 1.0 / car_racing.FPS
_POWER_DT = DT * car_dynamics.ENGINE_POWER
_INERTIA = car_dynamics.WHEEL_MOMENT_OF_INERTIA
_RADIUS = 1.0 * car_dynamics.WHEEL_R * car_dynamics.SIZE
ROAD_LIMIT = car_dynamics.FRICTION_LIMIT * 1.0
GRASS_LIMIT = car_dynamics.FRICTION_LIMIT * 0.6
"""Greatest force on a wheel, N."""
_STIFFNESS = 205000 * car_dynamics.SIZE * car_dynamics.SIZE
_BRAKE_FORCE = 15.0

STEER, GAS, BRAKE, OMEGA, PHASE = range(5)
"""Columns of the wheels' motion: controls, angular velocity (rad/s), angle (rad)."""
WHEELS = 4
ASLEEP = -1

X, Y, SIN, COS, ANGLE, VELOCITY, FORCE = 3, 4, 5, 6, 14, 16, 19
"""Of a body, in floats from its start; velocity and force are two, x and y."""
MOTOR_SPEED, REFERENCE = 42, 44
"""Of a revolute joint, in floats as well: speed (rad/s) and the angle that counts as 0."""
_FLAGS, _AWAKE = 2, 2
"""A body's flags, in 16-bit numbers from its start, and the bit that says it is awake."""
_BODY_B, _BODY_A = 4, 8
"""Of a contact, in 64-bit words: the other body of each one's node in the graph of contacts."""

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


def _as_pointer(typing: Any, address: Any) -> Any:
    """The address, an integer, as C's ``void *``."""
    del typing

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        del context, signature
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), generate


_pointer: Any = intrinsic(_as_pointer)


@inlined()
def numbers(address: int, count: int = REFERENCE + 1) -> NDArray[np.float32]:
    """The first floats of the body or joint at the address, float32: a view, to read and write."""
    return carray(_pointer(address), count, np.float32)


@inlined()
def awake(address: int) -> bool:
    """Whether the body at the address is awake."""
    flags = carray(_pointer(address), _FLAGS + 1, np.uint16)[_FLAGS]
    return bool(flags & _AWAKE)


@compiled()
def touching(address: int) -> tuple[int, int]:
    """Addresses of the two bodies of the contact at the address."""
    words = carray(_pointer(address), _BODY_A + 1, np.int64)
    return words[_BODY_A], words[_BODY_B]


@compiled()
def control(motion: Floats, steer: float, gas: float, brake: float) -> None:
    """Front wheels to ``steer``, rear wheels' gas towards ``gas`` by 0.1 at most, all brakes."""
    gas = min(max(gas, 0.0), 1.0)
    for i in range(WHEELS):
        motion[i, BRAKE] = brake
        if i < 2:
            motion[i, STEER] = steer
        else:
            motion[i, GAS] += min(gas - motion[i, GAS], 0.1)


@compiled(error_model="numpy")
def _spin(motion: Floats) -> float:
    """A wheel's angular velocity after engine and brake; motion is its row."""
    omega: float = motion[OMEGA]
    brake = motion[BRAKE]
    omega += _POWER_DT * motion[GAS] / _INERTIA / (abs(omega) + 5.0)
    if brake >= 0.9:
        omega = 0.0
    elif brake > 0:
        omega += -np.sign(omega) * min(_BRAKE_FORCE * brake, abs(omega))
    motion[PHASE] += omega * DT
    return omega


@compiled(error_model="numpy")
def drive_wheel(
    motion: Floats,
    turned: float,
    side: tuple[float, float],
    velocity: tuple[float, float],
    limit: float,
) -> tuple[float, float, float, bool]:
    """One wheel's formulas.

    Args:
        motion: its row, (5,); angular velocity and angle are brought up to date.
        turned: angle of its joint, rad.
        side: its axle's direction in the world.
        velocity: its centre's, m/s.
        limit: greatest force that the ground under it gives, N.

    Returns:
        the joint's motor speed (rad/s), the push on the wheel (N, x and y), whether it marks the
        ground.
    """
    error = motion[STEER] - turned
    motor = np.sign(error) * min(50.0 * abs(error), 3.0)
    side_x, side_y = side
    forw_x, forw_y = 0.0 - side_y, side_x  # exact: a rotation's other column
    v_x, v_y = velocity
    omega = _spin(motion)
    f_force = -(forw_x * v_x + forw_y * v_y) + omega * _RADIUS
    p_force = -(side_x * v_x + side_y * v_y)
    f_force *= _STIFFNESS
    p_force *= _STIFFNESS
    force = math.sqrt(f_force * f_force + p_force * p_force)
    if force > limit:
        f_force = f_force / force * limit
        p_force = p_force / force * limit
    motion[OMEGA] = omega - DT * f_force * _RADIUS / _INERTIA
    push_x, push_y = p_force * side_x + f_force * forw_x, p_force * side_y + f_force * forw_y
    return motor, push_x, push_y, force > 2.0 * limit


@compiled()
def drive(places: Ints, motion: Floats, grass: Flags, slides: Flags, road_limit: float) -> int:
    """All wheels in place: how many leave a mark, or ``ASLEEP``, with nothing done, if one sleeps.

    Args:
        places: addresses of the hull, the wheels and their joints, int64 (9,).
        motion: float64 (4, 5).
        grass: which wheels touch no tile, bool (4,).
        slides: which leave a mark, bool (4,), written.
        road_limit: greatest force on a wheel that touches a tile, N.
    """
    for k in range(1 + WHEELS):
        if not awake(places[k]):
            return ASLEEP
    hull = numbers(places[0])
    for i in range(WHEELS):
        wheel = numbers(places[1 + i])
        joint = numbers(places[1 + WHEELS + i])
        turned = wheel[ANGLE] - hull[ANGLE] - joint[REFERENCE]
        side = np.float64(wheel[COS]), np.float64(wheel[SIN])
        velocity = np.float64(wheel[VELOCITY]), np.float64(wheel[VELOCITY + 1])
        limit = GRASS_LIMIT if grass[i] else road_limit
        motor, x, y, slides[i] = drive_wheel(motion[i], np.float64(turned), side, velocity, limit)
        joint[MOTOR_SPEED] = motor
        wheel[FORCE] += np.float32(x)
        wheel[FORCE + 1] += np.float32(y)
    return int(slides.sum())


@compiled()
def look(places: Ints, motion: Floats, pose: Floats) -> None:
    """Write where hull and wheels are to ``pose``; arguments as in ``drive``."""
    for k in range(1 + WHEELS):
        body = numbers(places[k])
        pose[3 * k] = body[X]
        pose[3 * k + 1] = body[Y]
        pose[3 * k + 2] = body[ANGLE]
    pose[3 * (1 + WHEELS) :] = motion[:, PHASE]
