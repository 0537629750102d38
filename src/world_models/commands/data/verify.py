"""``world-models data verify``: every file against its checksum."""

from argparse import Namespace
from pathlib import Path

from world_models.errors import InputError
from world_models.storage import cards


def run(arguments: Namespace) -> int:
    """Name every fault of every folder: 0 if there is none, else 1."""
    found = {folder: _faults(folder) for folder in arguments.folders}
    damaged = [folder for folder, faults in found.items() if faults]
    if damaged:
        names = " ".join(map(str, damaged))
        print(f"\nIf DVC keeps them, `dvc checkout --force {names}` brings them back;")
        print("else fetch them, or make them, anew.")
    return 1 if damaged else 0


def _faults(folder: Path) -> list[str]:
    """Check one folder, and say so."""
    try:
        card = cards.read(folder)
        faults = list(cards.faults(folder, card))
    except InputError as error:
        print(f"{folder}: {error}")
        return [str(error)]
    if not faults:
        print(f"{folder}: {len(card.files)} files are as their card says")
    for fault in faults:
        print(f"{folder}/{fault}")
    return faults
