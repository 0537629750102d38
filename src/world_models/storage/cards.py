"""The card of an artifact whose kind is not known beforehand."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from world_models.errors import InputError
from world_models.storage import guard
from world_models.storage.artifact import CARD, STAGES, Card, file_digest, open_artifact

README, SHEET = "README.md", "frames.png"
"""For people, made from the card and the data; the card's checksums do not cover them."""
DATA_SETS = ("rollouts", "latents")
"""Kinds that hold data; the others are models."""


def read(folder: Path) -> Card:
    """The card of ``folder``; the other files are not looked at.

    Raises:
        InputError: it is no artifact, or of a newer release.
    """
    path = folder / CARD
    try:
        kind = guard.json_of(path).get("kind")
    except (OSError, InputError) as error:
        said = str(error.strerror if isinstance(error, OSError) else error)
        reason = said.removeprefix(f"{path} cannot be read: ").rstrip(".")
        raise InputError(
            f"{folder} is no data set and no model: its {CARD} cannot be read ({reason}). Give a "
            "folder that a stage wrote, such as data/ENV/rollouts; `dvc checkout` or `dvc "
            "pull` brings back what is missing."
        ) from None
    if not isinstance(kind, str) or kind not in STAGES:
        known = ", ".join(STAGES)
        raise InputError(f"{path} says kind {kind!r:.80}. This release knows {known}: update it.")
    return open_artifact(folder, kind, verify=False)


def size(folder: Path, card: Card) -> int:
    """Bytes of the files that the card lists, those that are there.

    Raises:
        InputError: one is no plain file.
    """
    total = 0
    for path in (folder / name for name in card.files):
        with suppress(FileNotFoundError):
            guard.plain(path)
            total += path.stat().st_size
    return total


def faults(folder: Path, card: Card) -> Iterator[str]:
    """What is wrong with a folder's files, one after the other; nothing if all is well."""
    for name, expected in card.files.items():
        try:
            actual = file_digest(folder / name)
        except (OSError, InputError) as error:
            yield f"{name}: {error.strerror if isinstance(error, OSError) else error}"
            continue
        if actual != expected:
            yield f"{name}: SHA-256 begins with {actual[:12]}, the card says {expected[:12]}"
    known = {*card.files, CARD, README, SHEET}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.relative_to(folder).as_posix() not in known:
            yield f"{path.relative_to(folder).as_posix()}: the card does not list it"
