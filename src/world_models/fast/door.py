"""What the accelerated formulations are, and what each can compute: all that is known outside.

:mod:`world_models.formulations` reads this list and chooses. To keep the choice quick, nothing that
computes is imported here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from world_models.devices import Device, cpu_multiplies_bfloat16


@dataclass(frozen=True)
class Formulation:
    """One way to compute what the textbook network computes.

    Attributes:
        name: stands in the artifact's card.
        part: the network that it computes.
        precision: number type of the operands of matrix products; sums are float32.
        shapes: for each shape that is limited, the values that it can compute.
    """

    name: str
    part: Literal["V", "M"]
    precision: Literal["float32", "bfloat16"]
    shapes: Mapping[str, tuple[Any, ...]]

    def fits(self, shapes: Mapping[str, Any], device: Device) -> bool:
        """Whether it can compute a network of these shapes on this device: all are for CPUs."""
        known = (shapes[name] in values for name, values in self.shapes.items())
        return device == "cpu" and all(known)

    def suits(self) -> bool:
        """Whether it is the right one for this machine: bfloat16 where there are units for it."""
        return (self.precision == "bfloat16") == cpu_multiplies_bfloat16()


_V = {"channels": ((32, 64, 128, 256),)}
FORMULATIONS = (
    Formulation("winograd-float32", "V", "float32", _V),
    Formulation("columns-bfloat16", "V", "bfloat16", _V),
    Formulation("compiled-float32", "M", "float32", {"cell": ("lstm",)}),
    Formulation("compiled-bfloat16", "M", "bfloat16", {"cell": ("lstm",)}),
)
"""All of them; of one part, the first that fits and suits is taken."""
