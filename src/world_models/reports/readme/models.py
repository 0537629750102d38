"""Facts of latents, V, M and C."""

from pathlib import Path

from world_models.reports.readme import tables
from world_models.storage import tensors
from world_models.storage.artifact import Card

HOW = ("precision", "device", "formulation")
"""Details of a card that say how it was computed, and are no shape."""
WORLDS = {"reality": "the simulator", "dream": "M's dream"}


def facts(folder: Path, card: Card) -> dict[str, str]:
    """What the page says of this folder."""
    shape = card.details.get("spec", card.details)
    how = ", ".join(f"{name} {card.details[name]}" for name in HOW if name in card.details)
    rows = [(f"`{name}`", str(value)) for name, value in shape.items() if name not in HOW]
    return {
        "world": WORLDS.get(str(card.parameters.get("world")), "reality or a dream"),
        "shape": tables.markdown(("size", "value"), rows),
        "how": f"Computed with: {how}." if how else "",
        "arrays": "" if card.kind == "latents" else _arrays(folder, card),
        "licence": str(card.details.get("licence", "MIT, as the code that made it")),
    }


def _arrays(folder: Path, card: Card) -> str:
    """A row for each array of the safetensors files."""
    names = [name for name in sorted(card.files) if name.endswith(".safetensors")]
    rows = [
        (f"`{name}`", f"`{key}`", str(array.dtype), str(array.shape))
        for name in names
        for key, array in sorted(tensors.load(folder / name).items())
    ]
    return tables.markdown(("file", "array", "type", "shape"), rows)
