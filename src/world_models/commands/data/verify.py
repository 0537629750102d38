"""``world-models data verify``: every file against its checksum, and the card against DVC's."""

from argparse import Namespace
from pathlib import Path

from world_models.errors import InputError
from world_models.origin import digests
from world_models.origin.lock import Lock, within
from world_models.storage import cards, guard
from world_models.storage.artifact import CARD
from world_models.storage.scratch import find_root


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
        kept = _kept(folder)
        faults = list(cards.faults(folder, card))
        if kept not in (None, digests.of_disk(folder / CARD)):
            faults.append(f"{CARD}: other bytes than DVC keeps")
    except InputError as error:
        print(f"{folder}: {error}")
        return [str(error)]
    if not faults:
        known = "which is what DVC keeps" if kept else "of which DVC keeps no copy here"
        print(f"{folder}: {len(card.files)} files are as their card says, {known}")
    for fault in faults:
        print(f"{folder}/{fault}")
    return faults


def _kept(folder: Path) -> str | None:
    """DVC's digest of the folder's card, the one file without a checksum; None if it has none.

    The lock file names a list of the folder's files, which lies in DVC's cache.
    """
    root = find_root()
    listed = Lock.read(root).digest(within(root, folder)) or ""
    path = root / ".dvc/cache/files/md5" / listed[:2] / listed[2:]
    if not listed.endswith(".dir") or not path.is_file():
        return None
    with guard.opened(path, guard.LIMITS[".json"]) as file:
        files = guard.json_in(b'{"files":%s}' % file.read(), path)["files"]
    return next((one["md5"] for one in files if one.get("relpath") == CARD), None)
