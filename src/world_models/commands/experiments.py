"""``world-models experiments``: DVC's experiments as a table that fits a terminal.

DVC keeps an experiment as a commit, whose name is a git reference below ``refs/exps``; scores and
parameters are files of that commit. So git answers in a second, without a look at any other file.
"""

import json
import os
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from world_models.errors import UserError
from world_models.origin import changes, git
from world_models.origin.changes import in_words
from world_models.origin.lock import LOCK, Lock, leaves, parse_yaml, text_of
from world_models.reports.metrics import readable
from world_models.storage import guard
from world_models.storage.scratch import find_root

WORKSPACE = "workspace"
POLICIES = ("agent", "dream")
COLUMNS = 4
"""Parameters that have a column of their own; more would not fit."""
ANEW = "`dvc repro` makes them anew."
EXPERIMENT = re.compile(r"refs/exps/[0-9a-f]{2}/[0-9a-f]{38}/(?P<name>.+)")


@dataclass(frozen=True)
class Row:
    """One version of the project.

    Attributes:
        name: of the experiment, or the revision that was asked for.
        commit: in full; None in the workspace.
        created: ISO 8601; None in the workspace.
        scores: by environment and policy, mean, se, sd and n.
        parameters: by dotted key, as the stages of the scores had them.
        later: parameters that were changed after the scores were made, in words.
    """

    name: str
    commit: str | None
    created: str | None
    scores: Mapping[str, Mapping[str, Any]]
    parameters: Mapping[str, Any]
    later: Sequence[str]


def run(arguments: Namespace) -> int:
    """Print the workspace, HEAD with its experiments, and the revisions that were named."""
    root = find_root().resolve()
    os.chdir(root)  # git names files from there
    if not git.there():
        raise UserError(f"{root} is in no git repository: DVC keeps experiments in one.")
    rows = [_row(root, WORKSPACE, None), *_commits(root, arguments.revisions)]
    rows += _experiments(root, everywhere=arguments.all)
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
        return 0
    keys = differing(rows)
    Console(highlight=False).print(table(rows, keys[:COLUMNS]))
    if more := keys[COLUMNS:]:
        print(f"{len(more)} more parameters differ (dvc params diff A B): {', '.join(more)}")
    for row in rows:
        if row.later:
            print(f"{row.name}: its scores were made with {in_words(row.later)}. {ANEW}")
    if not arguments.all:
        print("Experiments that began from other commits: world-models experiments --all")
    print("What waits, runs or failed in the queue: dvc queue status")
    return 0


def _commits(root: Path, revisions: Sequence[str]) -> Iterator[Row]:
    for revision in ["HEAD", *revisions]:
        commit = git.ask("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        if commit is None:
            raise UserError(f"git knows no revision {revision!r}: name a commit, branch or tag.")
        yield _row(root, revision, commit)


def _experiments(root: Path, *, everywhere: bool) -> Iterator[Row]:
    """Those that began from HEAD, or from any commit, oldest first."""
    head = git.ask("rev-parse", "HEAD") or ""
    below = "refs/exps/" if everywhere else f"refs/exps/{head[:2]}/{head[2:]}/"
    form = "--format=%(objectname) %(refname)"
    found = git.ask("for-each-ref", "--sort=committerdate", form, below) or ""
    for commit, _, reference in (line.partition(" ") for line in found.splitlines()):
        if named := EXPERIMENT.fullmatch(reference):
            yield _row(root, named["name"], commit)


def _row(root: Path, name: str, commit: str | None) -> Row:
    text = partial(git.show, commit) if commit else partial(text_of, root)
    lock = Lock({LOCK: text(LOCK) or ""})
    file = parse_yaml(text("params.yaml") or "{}")
    parameters, later, scores = dict(leaves(file)), [], {}
    for environment in file:
        parameters |= lock.given(environment)
        later += changes.since_scored(lock, environment, text)
        path = f"metrics/{environment}/evaluate.json"
        with readable(Path(path), f"evaluate@{environment}"):
            found = guard.json_in((text(path) or "{}").encode(), path)
            scores[environment] = {policy: found[policy] for policy in POLICIES if policy in found}
            list(map(_score, scores[environment].values()))  # each of them can be shown
    created = git.ask("show", "--no-patch", "--format=%cI", commit) if commit else None
    return Row(name, commit, created, scores, parameters, later)


def differing(rows: Sequence[Row]) -> list[str]:
    """The parameters that are not the same in all rows, in the order of the file."""
    keys = dict.fromkeys(key for row in rows for key in row.parameters)
    return [key for key in keys if any(_differs(row, rows[0], key) for row in rows)]


def _differs(row: Row, other: Row, key: str) -> bool:
    return bool(row.parameters.get(key) != other.parameters.get(key))


def table(rows: Sequence[Row], keys: Sequence[str]) -> Table:
    """A line for each row: its name, when, the scores of each environment, and ``keys``."""
    drawn = Table(box=None, padding=(0, 1, 0, 0))
    drawn.add_column("experiment", overflow="fold")
    drawn.add_column("created", no_wrap=True)
    columns = {(e, p): None for row in rows for e in row.scores for p in row.scores[e]}
    for environment, policy in columns:
        drawn.add_column(f"{environment}\n{policy}", justify="right", no_wrap=True)
    for key in keys:
        environment, _, rest = key.partition(".")
        drawn.add_column(f"{environment}\n{rest}", justify="right", overflow="fold")
    for row in rows:
        scores = [_score(row.scores.get(e, {}).get(p)) for e, p in columns]
        values = [_value(row.parameters.get(key)) for key in keys]
        drawn.add_row(*map(Text, [row.name, _when(row.created), *scores, *values]))
    return drawn


def _score(score: Mapping[str, Any] | None) -> str:
    return "–" if score is None else f"{score['mean']:.0f} ± {score['se']:.0f}"


def _value(value: object) -> str:
    return "–" if value is None else str(value)


def _when(created: str | None) -> str:
    return f"{datetime.fromisoformat(created):%d %b %H:%M}" if created else ""
