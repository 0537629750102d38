"""One version of a folder: as it lies here, or as DVC has it at a revision of git."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from world_models.errors import InputError
from world_models.storage import cards, temporary
from world_models.storage.artifact import CARD, Card
from world_models.storage.scratch import find_root


class Place(Protocol):
    """Where the files of a version are."""

    def bring(self, name: str) -> None:
        """Make sure that the file lies in the version's folder."""

    def size(self, name: str) -> int:
        """Bytes of a file."""


@dataclass(frozen=True)
class Version:
    """A data set or a model.

    Attributes:
        name: as it was asked for.
        folder: where its files lie, those that were brought.
        card: what it is.
        place: where the others come from.
    """

    name: str
    folder: Path
    card: Card
    place: Place

    def path(self, name: str) -> Path:
        """A file of the folder, fetched if need be."""
        self.place.bring(name)
        return self.folder / name


@contextmanager
def open_version(name: str) -> Iterator[Version]:
    """Open ``FOLDER`` or ``FOLDER@REV``.

    Raises:
        InputError: there is no such folder, or no such revision of it.
    """
    folder, _, revision = name.rpartition("@")
    if Path(name).is_dir() or not folder:
        card = cards.read(Path(name))
        missing = [file for file in card.files if not (Path(name) / file).is_file()]
        if missing:
            raise InputError(
                f"{name} lacks {', '.join(missing)}, which its card lists. Bring it back with "
                "`dvc checkout` or `dvc pull`."
            )
        yield Version(name, Path(name), card, _Here(Path(name)))
        return
    with temporary.folder() as draft, closing(_Revision(folder, revision, draft)) as place:
        place.bring(CARD)
        yield Version(name, draft, cards.read(draft), place)


@dataclass(frozen=True)
class _Here:
    folder: Path

    def bring(self, name: str) -> None:
        pass

    def size(self, name: str) -> int:
        return (self.folder / name).stat().st_size


class _Revision:
    """Files of a folder at a revision: from DVC's cache, else from the remote."""

    def __init__(self, folder: str, revision: str, into: Path) -> None:
        from dvc.api import DVCFileSystem  # takes seconds to load

        root = find_root().resolve()
        self._name, self._into = f"{folder}@{revision}", into
        try:
            self._folder = Path(folder).resolve().relative_to(root).as_posix()
        except ValueError:
            raise InputError(f"{folder} lies outside of the project {root}.") from None
        with self._faults():
            self._files: Any = DVCFileSystem(url=str(root), rev=revision)

    def close(self) -> None:
        self._files.close()

    def bring(self, name: str) -> None:
        if not (self._into / name).exists():
            with self._faults():
                self._files.get_file(f"{self._folder}/{name}", str(self._into / name))

    def size(self, name: str) -> int:
        with self._faults():
            known = self._files.info(f"{self._folder}/{name}")["size"]
        if known is not None:
            return int(known)
        self.bring(name)  # DVC knows the sizes of folders, not of the files in them
        return (self._into / name).stat().st_size

    @contextmanager
    def _faults(self) -> Iterator[None]:
        from dvc.exceptions import DvcException
        from scmrepo.exceptions import SCMError

        try:
            yield
        except (DvcException, SCMError, OSError) as error:
            raise InputError(
                f"{self._name} cannot be read ({error}). Name a revision of git that has this "
                "folder in its dvc.lock (`git tag`, `git log -- dvc.lock`); what is not in DVC's "
                "cache has to be in its remote (`dvc pull`)."
            ) from error
