"""``world-models compare``: pipelines side by side, in the terminal and as one page."""

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.table import Table

from world_models.envs import catalogue
from world_models.errors import InputError
from world_models.origin import sides
from world_models.origin.changes import in_words
from world_models.origin.sides import WORKSPACE, Side
from world_models.reports import comparison
from world_models.storage import atomic
from world_models.storage.scratch import find_root
from world_models.tracking.runs import RUN_ID, Runs

LONGEST = 12
"""Parameters that the terminal shows; the page has all."""


def run(arguments: Namespace) -> int:
    """Compare what was named, or each with the working folder if only one was."""
    root, here = find_root().resolve(), Path.cwd()
    names = arguments.names if len(arguments.names) > 1 else [*arguments.names, WORKSPACE]
    os.chdir(root)  # paths in lock files are from there
    runs = Runs()
    chosen = [arguments.environment] if arguments.environment else catalogue.names()
    out = here / arguments.out
    if out.is_dir() or not out.parent.is_dir():
        raise InputError(f"--out {out}: give a file in a folder that exists.")
    if runs.fault and not any(RUN_ID.fullmatch(name) for name in names):
        print(f"world-models compare: without MLflow: {runs.fault}", file=sys.stderr)
    done = False
    for environment in chosen:
        path = out.with_stem(f"{out.stem}-{environment}") if len(chosen) > 1 else out
        with ExitStack() as opened:
            found = [_side(opened, root, name, environment, runs) for name in names]
            done |= _compare(environment, found, runs, path)
    if not done:
        raise InputError(
            f"Of {', '.join(names)} there are no two with metrics of the same environment "
            f"({', '.join(chosen)}). `dvc repro` makes them, `dvc pull` brings others' here."
        )
    return 0


def _compare(environment: str, found: Sequence[Side | None], runs: Runs, path: Path) -> bool:
    """Print and write what is known of an environment's; whether there was enough to compare."""
    known = [side for side in found if side is not None and _has_any(side)]
    if len(known) < 2:
        return False
    _print(environment, known)
    atomic.write(path, comparison.page(environment, known).encode())
    logged = runs.log_comparison(path, [side.read for side in known])
    print(f"{path}{f', and in MLflow with {logged} runs' if logged else ''}\n")
    return True


def _side(opened: ExitStack, root: Path, name: str, environment: str, runs: Runs) -> Side | None:
    if name == WORKSPACE:
        return sides.workspace(root, environment)
    if RUN_ID.fullmatch(name) and runs.has(name):
        return runs.side(name, environment)
    return opened.enter_context(sides.open_revision(root, name, environment))


def _has_any(side: Side) -> bool:
    return any(side.metrics(stage) for stage in (*comparison.STAGES, "evaluate"))


def _print(environment: str, found: Sequence[Side]) -> None:
    names = [side.label for side in found]
    scores, lines = Table("return", *names, title=environment), []
    for row in comparison.rows(found):
        shown = ["–" if s is None else f"{s.mean:.0f} ± {s.se:.0f} (n {s.n})" for s in row.scores]
        scores.add_row(row.policy, *shown)
        lines += [
            f"{row.policy}, {name} − {names[0]}: {against} ({against.test})"
            for name, against in zip(names[1:], row.differences, strict=True)
            if against is not None
        ]
    differ = comparison.differing([side.parameters for side in found])
    parameters = Table("parameter", *names)
    parameters.columns[0].overflow = "fold"
    for key, values in list(differ.items())[:LONGEST]:
        parameters.add_row(key, *("–" if value is None else value for value in values))
    changed = comparison.code(found)
    lines += [
        f"{side.label}: its score was made with {in_words(side.later)}. `dvc repro` makes it anew."
        for side in found
        if side.later
    ]
    if len(differ) > LONGEST:
        lines.append(f"{len(differ) - LONGEST} more parameters differ: see the page.")
    if changed:
        lines.append(f"Code differs in {len(changed)} places: {', '.join(changed[:3])} …")
    console = Console(highlight=False)
    console.print(scores)
    console.print(parameters if differ else "No parameter differs.")
    for line in lines:
        console.print(line)
