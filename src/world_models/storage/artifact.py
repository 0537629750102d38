"""An artifact is a folder of files with a card: what it is, what made it, and its checksums.

The card holds no times, hosts or run ids, so equal work gives equal bytes.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from world_models.errors import InputError
from world_models.storage import atomic, guard
from world_models.storage.card_schema import CARD as CARD
from world_models.storage.card_schema import IMPORT as IMPORT
from world_models.storage.card_schema import ORDER as ORDER
from world_models.storage.card_schema import ORIGINAL as ORIGINAL
from world_models.storage.card_schema import Content

FORMAT = 1
"""Version of this layout; a card with a larger number is of a newer release."""
MODELS = ("vae", "mdnrnn", "controller")
"""Kinds that act together as one agent."""
STAGES = {
    "rollouts": "rollouts",
    "vae": "vae",
    "latents": "encode",
    "mdnrnn": "mdnrnn",
    "controller": "evolve",
}
"""Which stage makes each kind in the paper's pipeline; stage collect makes rollouts too."""


@dataclass(frozen=True)
class Card:
    """What ``card.json`` says.

    Attributes:
        format: version of the layout.
        kind: a key of ``STAGES``.
        environment: such as ``carracing``.
        stage: the stage that wrote it.
        parameters: of that stage.
        metrics: its headline metrics.
        details: particular to the kind, such as ``z_size``.
        lineage: parameters, metrics and the card's digest of all stages upstream, by stage; those
            of an earlier round, by ``before.<stage>``.
        files: SHA-256 (hexadecimal) of each file, by its path within the folder.
    """

    format: int
    kind: str
    environment: str
    stage: str
    parameters: dict[str, Any]
    metrics: dict[str, Any]
    details: dict[str, Any]
    lineage: dict[str, dict[str, Any]]
    files: dict[str, str]

    def digest(self) -> str:
        """SHA-256 (hexadecimal) of the card, which holds the digests of all files."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """The bytes of ``card.json``: keys sorted, so that equal cards are equal bytes."""
        content = asdict(self)
        text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        return text + "\n"

    @property
    def identity(self) -> str:
        """The digest by which cards downstream know this artifact.

        A copy in half precision is known by the digest of what it was made from.
        """
        return str(self.details.get(ORIGINAL) or self.digest())


@contextmanager
def create(
    out: Path,
    *,
    kind: str,
    environment: str,
    stage: str,
    parameters: Mapping[str, Any],
    metrics: Mapping[str, Any],
    details: Mapping[str, Any],
    upstream: Sequence[Card] = (),
) -> Iterator[Path]:
    """Yield a folder to fill; when the block ends well, it becomes the artifact ``out``.

    ``metrics`` and ``details`` are read at the end: the block may still fill them.

    Raises:
        UserError: the disk is full.
    """
    assert kind in STAGES, kind
    with atomic.atomic_folder(out) as folder:
        yield folder
        card = Card(
            format=FORMAT,
            kind=kind,
            environment=environment,
            stage=stage,
            parameters=dict(parameters),
            metrics=dict(metrics),
            details=dict(details),
            lineage=lineage(upstream, stage),
            files=_digests(folder),
        )
        (folder / CARD).write_text(card.to_json(), encoding="utf-8")


def lineage(upstream: Sequence[Card], stage: str) -> dict[str, dict[str, Any]]:
    """Parameters, metrics and digest of all stages upstream of ``stage``, by stage.

    What a stage depends on that comes after it in the pipeline, or is itself, is of an earlier
    round: so an agent that collects data, and weights to go on from.
    """
    stages: dict[str, dict[str, Any]] = {}
    place = {name: number for number, name in enumerate(ORDER)}
    for card in sorted(upstream, key=lambda card: place.get(card.stage, -1)):
        said = {"parameters": card.parameters, "metrics": card.metrics, "digest": card.identity}
        own = {card.stage: said}
        earlier = place.get(card.stage, -1) >= place.get(stage, len(ORDER))
        for name, made in (card.lineage | own).items():
            stages[f"before.{name}" if earlier else name] = made
    return stages


def check_made_together(artifacts: Mapping[Path, Card]) -> None:
    """Refuse models that were not made from each other: M from V's latents, C with V and M.

    Args:
        artifacts: cards by folder; other kinds than ``MODELS`` are ignored. Which models a card
            was made from stands in its ``lineage``; what that does not name may be any.

    Raises:
        InputError: one was made from another V or M; the message names both and the cure.
    """
    models = {path: card for path, card in artifacts.items() if card.kind in MODELS}
    for path, card in models.items():
        for other_path, other in models.items():
            made_from = card.lineage.get(other.stage, {})
            known = made_from.get("digest", other.identity)
            if known != other.identity:
                differs = [
                    f"{name} {made_from['parameters'].get(name)}, this one {value}"
                    for name, value in other.parameters.items()
                    if made_from["parameters"].get(name) != value
                ]
                raise InputError(
                    f"{path} was not made from {other_path}, but from another {other.kind} (with "
                    f"{'; '.join(differs) or 'the same parameters'}; its card begins with "
                    f"{known[:12]}, this one with {other.identity[:12]}). Name the folders of one "
                    f"run, or make {path} anew with "
                    f"`{_repro(path, card.stage, card.environment)}`."
                )


def _digests(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_digest(path) for path in paths}


def file_digest(path: Path) -> str:
    """SHA-256 (hexadecimal) of a file, read as a stream.

    Raises:
        InputError: it is no plain file, or too large to be one of an artifact.
        OSError: it is missing, or cannot be read.
    """
    with guard.opened(path, guard.LIMITS.get(path.suffix)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_artifact(
    folder: Path, kind: str, environment: str | None = None, *, verify: bool = True
) -> Card:
    """Read the card of an artifact and check the files against it.

    Args:
        folder: where the artifact lies.
        kind: what it must be, a key of ``STAGES``.
        environment: what it must have been made for; None accepts any.
        verify: read all files and compare their SHA-256 (about 1 s a GB).

    Raises:
        InputError: missing, damaged, of another kind or environment, or of a newer release;
            the message names the file and the cure.
    """
    assert kind in STAGES, kind
    card = _read(folder, kind, environment)
    if card.kind != kind:
        raise InputError(
            f"{folder} holds {card.kind!r}, where {kind!r} was expected. Give the folder that "
            f"`{_repro(folder, STAGES[kind], environment)}` writes."
        )
    if environment is not None and card.environment != environment:
        raise InputError(
            f"{folder} was made for {card.environment}, not for {environment}. Give the folder "
            f"that `{_repro(folder, STAGES[kind], environment)}` writes."
        )
    if verify:
        _verify(folder, card)
    return card


def _read(folder: Path, kind: str, environment: str | None) -> Card:
    path = folder / CARD
    cure = f"{_cure(folder, STAGES[kind], environment)}."
    if not folder.is_dir():
        raise InputError(f"{folder} is missing. {cure}")
    try:
        content = guard.json_of(path)
        version = content.get("format")
        newer = type(version) is int and version > FORMAT
        card = None if newer else _parse(content, path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing, so {folder} is no artifact. {cure}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}). {cure}") from None
    except InputError as error:
        raise InputError(f"{error} {cure}") from None
    if card is None:
        raise InputError(
            f"{path} has format {version}; this release reads up to {FORMAT}. Update the "
            f"project, or make the folder anew with `{_repro(folder, STAGES[kind], environment)}`."
        )
    return card


def cure_for(folder: Path, card: Card) -> str:
    """What to do about an artifact that is not what it should be, a sentence."""
    return f"{_cure(folder, card.stage, card.environment)}."


def _parse(content: dict[str, Any], path: Path) -> Card:
    found = guard.fitting(Content, content, f"{path} cannot be read: it")
    return Card(**found.model_dump())


def listed(folder: Path, card: Card, name: str) -> Path:
    """A file of the artifact; what its card does not list has no checksum, and is not loaded.

    Raises:
        InputError: the card does not list it.
    """
    if name not in card.files:
        raise InputError(f"{folder / CARD} does not list {name}. {cure_for(folder, card)}")
    return folder / name


def _verify(folder: Path, card: Card) -> None:
    cure = cure_for(folder, card)
    for name, expected in card.files.items():
        path = folder / name
        try:
            actual = file_digest(path)
        except FileNotFoundError:
            raise InputError(f"{path} is missing. {cure}") from None
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}). {cure}") from error
        except InputError as error:
            raise InputError(f"{error} {cure}") from None
        if actual != expected:
            raise InputError(
                f"{path} is damaged: its SHA-256 begins with {actual[:12]}, the card says "
                f"{expected[:12]}. {cure}"
            )


def _cure(folder: Path, stage: str, environment: str | None) -> str:
    return (
        f"Bring it back with `dvc checkout {folder}` (`dvc pull {folder}` if a remote has it), or "
        f"make it with `{_repro(folder, stage, environment)}`"
    )


def _repro(folder: Path, stage: str, environment: str | None) -> str:
    if stage == IMPORT:
        return f"world-models data import NAME {folder} …"
    guess = folder.absolute().parent.name
    where = environment or (guess if re.fullmatch(r"[a-z_]+", guess) else "ENVIRONMENT")
    return f"dvc repro {stage}@{where}"
