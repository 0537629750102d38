"""Which formulation computes V and M: one function decides, by capability and never by timing.

A formulation is a way to compute one and the same network. ``textbook`` is plain PyTorch: it runs
on every device and for every shape, and is the reference of the others. Those stand in
:mod:`world_models.fast`, which may be absent: then ``textbook`` is all there is.

Formulations differ in the last bits of their results, so the choice stands in the artifact's card.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from world_models.devices import DEVICES, Device, DeviceSettings
from world_models.errors import UserError

if TYPE_CHECKING:
    from world_models.fast.door import Formulation

Part = Literal["V", "M"]
Precision = Literal["float32", "bfloat16"]
TEXTBOOK = "textbook"
VARIABLE = "WORLD_MODELS_FORMULATION"
"""Environment variable with the names of wished-for formulations, separated by commas."""


@dataclass(frozen=True)
class Choice:
    """Where and how a network is computed.

    Attributes:
        device: torch's name of the kind of device: ``cpu``, ``cuda`` or ``mps``.
        formulation: :data:`TEXTBOOK` or a name that :mod:`world_models.fast.door` lists.
        precision: number type of the operands of matrix products; weights and sums are float32.
    """

    device: Device
    formulation: str
    precision: Precision

    def details(self) -> dict[str, str]:
        """The choice as it stands in a card and in the fingerprint of resume state."""
        return asdict(self)


def choose(
    part: Part, shapes: Mapping[str, Any], device: Device = "cpu", wish: str | None = None
) -> Choice:
    """Choose how to compute V or M of these shapes on this device.

    Equal arguments on equal machines give equal choices, in workers as in the process that started
    them.

    Args:
        part: the network.
        shapes: what determines the network's shape, by name: V's ``channels`` (tuple of int) and
            ``z_size``; M's ``cell`` and sizes.
        device: the kind of device to compute on.
        wish: names of formulations, separated by commas; of those, the one for this part is taken.
            None: those in the environment variable ``WORLD_MODELS_FORMULATION``, if it is set.

    Returns:
        The wish if there is one for this part. Else the accelerated formulation that fits the
        device and the shapes and suits the machine, else ``textbook``.

    Raises:
        UserError: the wish is unknown, or cannot compute these shapes on this device.
    """
    assert device in DEVICES, device
    known = [found for found in _accelerated() if found.part == part]
    wished = _wished(os.environ.get(VARIABLE, "") if wish is None else wish, known)
    if wished is not None:
        return _grant(wished, known, part, shapes, device)
    for found in known:
        if found.fits(shapes, device) and found.suits():
            return Choice(device, found.name, found.precision)
    return _textbook(device)


def machine() -> dict[str, Any]:
    """What of this machine and its settings every choice depends on, JSON-able.

    It is part of the key of the state that a stage resumes from.
    """
    return {
        "device": DeviceSettings.from_environment().device,
        "suits": [found.name for found in _accelerated() if found.suits()],
        "wish": os.environ.get(VARIABLE, ""),
    }


def _textbook(device: Device) -> Choice:
    """Plain PyTorch computes in float32 on every device: no rounding has to be explained."""
    return Choice(device, TEXTBOOK, "float32")


def _accelerated() -> "Sequence[Formulation]":
    """All accelerated formulations; none if the folder ``fast`` was removed."""
    try:
        from world_models.fast import door
    except ModuleNotFoundError as error:
        if error.name not in ("world_models.fast", "world_models.fast.door"):
            raise
        return ()
    return door.FORMULATIONS


def _wished(text: str, known: "Sequence[Formulation]") -> str | None:
    """The one name in ``text`` that is for this part, None without any."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    everything = [TEXTBOOK, *(found.name for found in _accelerated())]
    for name in names:
        if name not in everything:
            raise UserError(
                f"{VARIABLE} = {text!r}: there is no formulation {name!r}. Known here: "
                f"{', '.join(everything)}. Unset it to let the machine decide."
            )
    ours = [name for name in names if name in (TEXTBOOK, *(found.name for found in known))]
    return ours[0] if ours else None


def _grant(
    name: str,
    known: "Sequence[Formulation]",
    part: Part,
    shapes: Mapping[str, Any],
    device: Device,
) -> Choice:
    if name == TEXTBOOK:
        return _textbook(device)
    found = next(one for one in known if one.name == name)
    if not found.fits(shapes, device):
        limits = ", ".join(f"{key} {_either(values)}" for key, values in found.shapes.items())
        here = ", ".join(f"{key} {shapes[key]}" for key in found.shapes)
        raise UserError(
            f"{VARIABLE} = {name!r}: it computes {part} on a CPU with {limits}; here "
            f"it is on {device} with {here}. Choose {TEXTBOOK!r}, or unset it."
        )
    return Choice(device, found.name, found.precision)


def _either(values: Sequence[Any]) -> str:
    return " or ".join(map(str, values))
