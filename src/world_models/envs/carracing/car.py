"""Gymnasium's car with its formulas compiled: the same forces and speeds, bit for bit, sooner."""

import functools
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from world_models.envs.carracing import driving
from world_models.envs.carracing.genuine import b2, car_dynamics

Floats = NDArray[np.float64]


def address(thing: Any) -> int:
    """Where Box2D keeps a body or joint."""
    return int(thing.this)


@functools.cache
def places_hold() -> bool:
    """Whether the Box2D that is installed keeps its numbers where :mod:`driving` looks for them."""
    if struct.calcsize("P") != 8:
        return False
    world = b2.world(gravity=(0, 0))
    car = car_dynamics.Car(world, 0.7, 3.25, -7.5)  # type: ignore[no-untyped-call]
    wheel, joint = car.wheels[0], car.wheels[0].joint
    joint.motorSpeed = 1.5
    for _ in range(3):
        wheel.ApplyForceToCenter((400, 250), wake=True)
        world.Step(driving.DT, 6, 2)
    holding = (
        _moves_hold(wheel, car.hull),
        _joint_holds(joint),
        _sleep_holds(wheel),
        _contacts_hold(world, car.hull),
    )
    return all(holding)


def _moves_hold(wheel: Any, hull: Any) -> bool:
    wheel.ApplyForceToCenter((12.5, -3.25), wake=True)
    axle, v, place = wheel.GetWorldVector((1, 0)), wheel.linearVelocity, wheel.position
    said = [place.x, place.y, axle.y, axle.x, wheel.angle, v.x, v.y, 12.5, -3.25]
    at = [driving.X, driving.Y, driving.SIN, driving.COS, driving.ANGLE]
    at += [driving.VELOCITY, driving.VELOCITY + 1, driving.FORCE, driving.FORCE + 1]
    hull_angle = driving.numbers(address(hull))[driving.ANGLE]
    found = driving.numbers(address(wheel))[at]
    return bool(found.tolist() == said and hull_angle == hull.angle)


def _joint_holds(joint: Any) -> bool:
    """The limits come right behind the angle that counts as 0, which itself is 0."""
    found = driving.numbers(address(joint), driving.REFERENCE + 3)
    said = [joint.motorSpeed, 0.0, joint.lowerLimit, joint.upperLimit]
    at = [driving.MOTOR_SPEED, *range(driving.REFERENCE, driving.REFERENCE + 3)]
    return bool(found[at].tolist() == said)


def _sleep_holds(wheel: Any) -> bool:
    awake = driving.awake(address(wheel))
    wheel.awake = False
    return bool(awake and not driving.awake(address(wheel)))


class _Witness(b2.contactListener):  # type: ignore[misc]
    """Compares each contact's bodies with what is read of it."""

    def __init__(self) -> None:
        super().__init__()
        self.holding: list[bool] = []

    def BeginContact(self, contact: Any) -> None:  # noqa: N802
        """Box2D calls this."""
        said = address(contact.fixtureA.body), address(contact.fixtureB.body)
        self.holding.append(driving.touching(address(contact)) == said)


def _contacts_hold(world: Any, hull: Any) -> bool:
    witness = world.contactListener = _Witness()
    shape = b2.polygonShape(box=(1, 1))
    world.CreateStaticBody(
        position=hull.position, fixtures=b2.fixtureDef(shape=shape, isSensor=True)
    )
    world.Step(driving.DT, 6, 2)
    return bool(witness.holding) and all(witness.holding)


def _kept_in(column: int) -> property:
    """A wheel's attribute that stands in the car's table."""

    def read(wheel: Any) -> float:
        return float(wheel.motion[column])

    def write(wheel: Any, value: float) -> None:
        wheel.motion[column] = value

    return property(read, write)


class Wheel(b2.body):  # type: ignore[misc]
    """A wheel whose numbers stand in its car's table, ``motion``."""

    steer = _kept_in(driving.STEER)
    gas = _kept_in(driving.GAS)
    brake = _kept_in(driving.BRAKE)
    omega = _kept_in(driving.OMEGA)
    phase = _kept_in(driving.PHASE)


class Car(car_dynamics.Car):
    """Gymnasium's car; ``pose`` is where :meth:`look` saw it last.

    ``pose``, float64 (19,), has x, y (m) and angle (rad) of the hull and of the four wheels, then
    the angles by which the wheels have rolled.

    Args:
        world: Box2D's.
        angle: rad.
        x: m.
        y: m.
        road_friction: of all tiles of the track.
    """

    def __init__(
        self, world: Any, angle: float, x: float, y: float, road_friction: float = 1.0
    ) -> None:
        super().__init__(world, angle, x, y)  # type: ignore[no-untyped-call]
        self._motion = np.zeros((driving.WHEELS, 5))
        for w, row in zip(self.wheels, self._motion, strict=True):
            w.motion = row
            w.__class__ = Wheel
        # As Gymnasium: a wheel on the road grips no less than on grass.
        self._road_limit = max(driving.GRASS_LIMIT, driving.ROAD_LIMIT * road_friction)
        self._direct = places_hold()
        parts = (self.hull, *self.wheels, *(w.joint for w in self.wheels))
        self._places = np.array([address(part) for part in parts])
        self._grass = np.zeros(driving.WHEELS, np.bool_)
        self._slides = np.zeros(driving.WHEELS, np.bool_)
        self._marking = False
        self.pose = np.zeros(3 * (1 + driving.WHEELS) + driving.WHEELS)

    def control(self, steer: float, gas: float, brake: float) -> None:
        """As Gymnasium's ``steer``, ``gas`` and ``brake`` one after another."""
        driving.control(self._motion, steer, gas, brake)

    def step(self, dt: float) -> None:
        """Turn controls into motor speeds and forces on the four wheels; dt is always 1/50 s."""
        assert dt == driving.DT
        grass = self._grass
        for i, w in enumerate(self.wheels):
            grass[i] = not w.tiles
        marks = self._drive() if self._direct else self._drive_by_calls()
        if marks or self._marking:
            for i, w in enumerate(self.wheels):
                self._skid(w, bool(grass[i]), bool(self._slides[i]))
            self._marking = marks > 0

    def _drive(self) -> int:
        marks = self._drive_in_place()
        if marks == driving.ASLEEP:  # Gymnasium's calls would have woken them
            for body in (self.hull, *self.wheels):
                body.awake = True
            marks = self._drive_in_place()
        return marks

    def _drive_in_place(self) -> int:
        state = (self._places, self._motion, self._grass, self._slides)
        return int(driving.drive(*state, self._road_limit))

    def _drive_by_calls(self) -> int:
        for i, w in enumerate(self.wheels):
            axle, v, joint = w.GetWorldVector((1, 0)), w.linearVelocity, w.joint
            side, velocity = (axle.x, axle.y), (v.x, v.y)
            limit = driving.GRASS_LIMIT if self._grass[i] else self._road_limit
            motor, x, y, self._slides[i] = driving.drive_wheel(
                self._motion[i], joint.angle, side, velocity, limit
            )
            joint.motorSpeed = motor
            w.ApplyForceToCenter((x, y), wake=True)
        return int(self._slides.sum())

    def _skid(self, w: Any, grass: bool, sliding: bool) -> None:  # noqa: FBT001
        """Keep the marks on the ground, which only the large picture shows."""
        if not sliding:
            w.skid_start = None
            w.skid_particle = None
            return
        mark = w.skid_particle
        if mark and mark.grass == grass and len(mark.poly) < 30:
            position = w.position
            mark.poly.append((position[0], position[1]))
        elif w.skid_start is None:
            w.skid_start = w.position
        else:
            mark = self._create_particle(w.skid_start, w.position, grass)  # type: ignore[no-untyped-call]
            w.skid_particle = mark
            w.skid_start = None

    def look(self) -> Floats:
        """Bring ``pose`` up to date and give it."""
        if self._direct:
            driving.look(self._places, self._motion, self.pose)
        else:
            places = [body.position for body in (self.hull, *self.wheels)]
            angles = [body.angle for body in (self.hull, *self.wheels)]
            flat = [n for p, a in zip(places, angles, strict=True) for n in (p.x, p.y, a)]
            self.pose[:] = [*flat, *self._motion[:, driving.PHASE]]
        return self.pose
