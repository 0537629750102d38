"""Stages that are killed again and again, at any moment, and then run to their end."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from subprocess import Popen

import psutil

from torture.lane import BrokenPromiseError, Lane, command
from torture.rows import Outcome, Row

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TARGETS = ("stage", "group", "worker", "recorder", "game", "dvc", "file operation")
GOES_ON = {"worker", "recorder", "game"}
"""Without these a stage goes on by itself."""


def kill(lane: Lane, stage: str, target: str, rng: random.Random) -> bool:
    """Begin a stage and kill the target; whether it was hit before the stage's end.

    Raises:
        BrokenPromiseError: the stage did not end as it should have.
    """
    if target == "file operation":
        at = rng.randint(1, lane.changes[stage])
        process = lane.start(stage, TORTURE_AT=str(at))
        return lane.wait(process) == -signal.SIGKILL
    process = lane.start_dvc(stage) if target == "dvc" else lane.start(stage)
    # DVC's own start takes some seconds in which there is no stage.
    time.sleep(rng.uniform(0, lane.seconds[stage]) + (2.5 if target == "dvc" else 0))
    hit = process.poll() is None and _send(process, target, rng)
    code = lane.wait(process)
    if hit and target in GOES_ON and code:
        raise BrokenPromiseError(
            f"{stage} ends with {code} when its {target} is killed: {lane.said[-600:]}"
        )
    if target == "dvc":
        _wait_for_all(lane)
    return hit


def _send(process: "Popen[str]", target: str, rng: random.Random) -> bool:
    """Send a signal; whether there was anyone."""
    with suppress(psutil.Error, ProcessLookupError):
        if target in ("stage", "dvc"):
            process.send_signal(rng.choice(SIGNALS))
            return True
        if target == "group":
            os.killpg(process.pid, rng.choice(SIGNALS))
            return True
        below = psutil.Process(process.pid).children(recursive=True)
        chosen = [child for child in below if WHO[target](command(child))]
        if chosen:
            rng.choice(chosen).kill()
            return True
    return False


WHO: dict[str, Callable[[str], bool]] = {
    "worker": lambda line: "sys.path[:]" in line,
    "recorder": lambda line: "tracking.recorder" in line,
    "game": lambda line: "vizdoom/vizdoom " in line,
}


def _wait_for_all(lane: Lane) -> None:
    """A stage whose DVC is gone ends itself."""
    deadline = time.monotonic() + 30
    while left := [p for p in lane.processes() if "tracking.recorder" not in command(p)]:
        if time.monotonic() > deadline:
            for process in left:
                process.kill()
            raise BrokenPromiseError(
                f"30 s after DVC's end {len(left)} processes live: {lane.said[-300:]}"
            )
        time.sleep(0.1)


def run(
    lane: Lane,
    count: int,
    seed: int,
    tell: Callable[[str], None],
    stages: Sequence[str] | None = None,
) -> dict[str, Row]:
    """Kill ``count`` times, in runs of up to five kills of one stage before it may end."""
    rng, rows = random.Random(seed), {target: Row() for target in TARGETS}
    hits = 0
    names = sorted(stages or lane.stages)
    for name in names:
        lane.measure(name)
    while hits < count:
        stage, hit = rng.choice(names), Counter[str]()
        try:
            for _ in range(min(rng.randint(1, 5), count - hits)):
                target = rng.choice(TARGETS)
                hit[target] += kill(lane, stage, target, rng)
            lane.finish(stage)
            came = lane.judge(stage)
        except BrokenPromiseError as failure:
            came = Outcome(why=str(failure))
            hit[target] += 1
            lane.restore(stage)
        before, hits = hits, hits + sum(hit.values())
        if hits // 10 > before // 10:
            tell(f"kills: {hits} of {count}")
        for target, number in hit.items():
            rows[target].add(came, number)
        if came.why:
            why = f"{stage} after {dict(hit)}: {came.why}"
            rows[max(hit, key=hit.__getitem__)].why.append(why)
            tell(why)
    return rows
