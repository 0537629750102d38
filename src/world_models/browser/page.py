"""The page: one HTML file with everything in it, so that it opens from any place, a disk too."""

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from world_models.agent import PARTS, Agent
from world_models.browser import game, weights
from world_models.errors import EnvironmentMissingError, UserError
from world_models.storage import atomic
from world_models.storage.artifact import open_artifact
from world_models.worlds.parts import Ends

PAGE = "index.html"
"""Name of the file, which servers give for its folder."""
MARK = b'<meta name="generator" content="world-models export">'
"""By it an earlier export is known; it stands near the beginning."""
LARGEST = 20e6
"""Bytes that a page should not exceed: it is loaded over networks, and by phones."""
_ASSETS = Path(__file__).parent / "page"
_SCRIPTS = ("dream.js", "worker.js", "page.js")


def page(agent: Agent, ends: Ends, clip: game.Clip | None) -> bytes:
    """The whole page; equal arguments give equal bytes.

    Args:
        agent: V, M and C.
        ends: how the dream ends until the player chooses.
        clip: of the game, to be shown beside the dream.

    Raises:
        UserError: a weight is too large for half precision, or the page lacks what the
            environment's actions need.
    """
    exported = weights.export(agent, ends)
    model = exported.model | {"clip": clip.described if clip else None}
    return _filled(
        {
            "title": agent.specification.title,
            "environment": agent.environment,
            "style": _asset("page.css").decode(),
            "script": "\n".join(_asset(name).decode() for name in _SCRIPTS),
            # A page ends a script at "</script", wherever it stands.
            "model": json.dumps(model, sort_keys=True).replace("<", "\\u003c"),
            "kernel": _text(_asset("kernel.wasm")),
            "clip": _text(clip.sheet if clip else b""),
            "weights": _text(exported.numbers.astype("<f2").tobytes()),
        }
    )


def write(folder: Path, content: bytes) -> Path:
    """Write the page into a folder, whole or not at all; other files there stay as they are.

    Returns:
        The file.

    Raises:
        UserError: ``folder`` is a file, or holds an index.html that is no earlier export.
    """
    out = folder / PAGE
    check(folder)
    atomic.write(out, content)
    return out


def check(folder: Path) -> None:
    """Make sure that a page may be written into a folder.

    Raises:
        UserError: it is a file, or holds an index.html that is no earlier export.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder}: that is a file. Name a folder; a new one is made.")
    out = folder / PAGE
    if not out.exists() and not out.is_symlink():
        return
    with out.open("rb") as file:
        ours = MARK in file.read(1024)
    if not ours:
        raise UserError(
            f"--out {folder}: its {PAGE} is no earlier export, and would be lost. Name another "
            "folder, or move that file away."
        )


def default_ends(controller: Path) -> Ends:
    """How the dreams ended that C was evolved in; "threshold", the paper's, of others."""
    said = open_artifact(controller, "controller", verify=False).parameters.get("ends")
    return "drawn" if said == "drawn" else "threshold"


def make(parts: Mapping[str, Path], environment: str, out: Path) -> None:
    """Write the page of an agent, with the game's frames where the game can be played.

    Args:
        parts: the folders of V, M and C, by kind.
        environment: its name.
        out: a folder; see :func:`write`.
    """
    agent = Agent.open(*(parts[kind] for kind in PARTS), environment=environment)
    try:
        clip = game.record(agent, game.SEED)
    except EnvironmentMissingError:
        clip = None
    write(out, page(agent, default_ends(parts["controller"]), clip))


def _asset(name: str) -> bytes:
    return (_ASSETS / name).read_bytes()


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _filled(parts: Mapping[str, Any]) -> bytes:
    template = _asset(PAGE).decode()
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template).encode()
