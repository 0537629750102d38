"""What the world does to a stage: full disks, locked stores, dead servers, odd clocks."""

import errno
import random
import resource
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress

import psutil

from torture.kills import WHO
from torture.lane import BrokenPromiseError, Lane, command
from torture.rows import Outcome, Row


def refused_operation(error: int) -> Callable[[Lane, str, random.Random], None]:
    """The system refuses one of the stage's file operations."""

    def fault(lane: Lane, stage: str, rng: random.Random) -> None:
        at = rng.randint(1, lane.changes[stage])
        code = lane.wait(lane.start(stage, TORTURE_AT=str(at), TORTURE_ERROR=str(error)))
        if code and "Traceback" in lane.said:
            raise BrokenPromiseError(f"a traceback at operation {at}: {lane.said[-600:]}")

    return fault


def small_files(lane: Lane, stage: str, rng: random.Random) -> None:
    """No file may be longer than a few kB: as a full disk, at each write."""
    limit = rng.choice([0, 1 << 10, 1 << 14, 1 << 16, 1 << 18])

    def lower() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    code = lane.wait(lane.start(stage, before=lower))
    if code and "Traceback" in lane.said:
        raise BrokenPromiseError(f"a traceback, files of {limit} bytes: {lane.said[-600:]}")


def locked_store(lane: Lane, stage: str, _: random.Random) -> None:
    """Another process has MLflow's database locked until the stage has ended."""
    with closing(sqlite3.connect(lane.folder / "mlflow.db", timeout=30)) as store:
        store.execute("BEGIN EXCLUSIVE")
        _expect(lane, lane.wait(lane.start(stage)), 0)
        store.rollback()


def lost_store(lane: Lane, stage: str, rng: random.Random) -> None:
    """MLflow's database is gone while the stage runs."""
    process = lane.start(stage)
    time.sleep(rng.uniform(0, lane.seconds[stage]))
    (lane.folder / "mlflow.db").unlink(missing_ok=True)
    _expect(lane, lane.wait(process), 0)


def silent_server(lane: Lane, stage: str, _: random.Random) -> None:
    """A tracking server takes the connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        _unrecorded(lane, stage, f"http://127.0.0.1:{server.getsockname()[1]}")
    lane.finish(stage)  # the next start records and sweeps what was left


def no_server(lane: Lane, stage: str, _: random.Random) -> None:
    """Nobody listens at the tracking address."""
    _unrecorded(lane, stage, "http://127.0.0.1:9")
    lane.finish(stage)  # the next start records and sweeps what was left


def stopped(who: str) -> Callable[[Lane, str, random.Random], None]:
    """A process stands still for some seconds, as when a laptop sleeps."""

    def fault(lane: Lane, stage: str, rng: random.Random) -> None:
        process = lane.start(stage)
        time.sleep(rng.uniform(0, lane.seconds[stage]))
        with suppress(psutil.Error):
            main = psutil.Process(process.pid)
            every = [main, *main.children(recursive=True)]
            chosen = [p for p in every if who == "stage" or WHO[who](command(p))]
            for one in chosen[:1]:
                one.suspend()
                time.sleep(3)
                one.resume()
        _expect(lane, lane.wait(process), 0)

    return fault


def two_at_once(lane: Lane, stage: str, rng: random.Random) -> None:
    """The same stage is begun again while it runs: one of them is turned away by name."""
    first = lane.start(stage)
    time.sleep(rng.uniform(0, lane.seconds[stage]))
    second = lane.again(stage)
    codes = sorted([lane.wait(first), second.returncode])
    if codes not in ([0, 0], [0, 1], [0, 2]):
        raise BrokenPromiseError(f"two at once end with {codes}: {second.stdout[-600:]}")
    if second.returncode and "already running" not in second.stdout:
        raise BrokenPromiseError(f"the second says: {second.stdout[-600:]}")


def edited_parameters(lane: Lane, stage: str, rng: random.Random) -> None:
    """params.yaml changes while the stage runs, which goes on with what it began with."""
    params = lane.folder / "params.yaml"
    text = params.read_text()
    process = lane.start(stage)
    try:
        # It reads them once it has begun; a change before that would be an honest one.
        time.sleep(lane.seconds[stage] * rng.uniform(0.7, 1))
        params.write_text(text.replace("seed: ", "seed: 1"))
        _expect(lane, lane.wait(process), 0)
    finally:
        params.write_text(text)


def jumping_clock(lane: Lane, stage: str, rng: random.Random) -> None:
    """The clock jumps by a year, back or forth, in the middle."""
    jump = rng.choice([-1, 1]) * 365 * 86_400
    after = rng.randint(1, 20)
    _expect(lane, lane.wait(lane.start(stage, TORTURE_JUMP=f"{after}:{jump}")), 0)


def no_temporary_folder(lane: Lane, stage: str, _: random.Random) -> None:
    """``TMPDIR`` is a folder that is not there."""
    _expect(lane, lane.wait(lane.start(stage, TMPDIR="/nowhere")), 0)


def damaged_state(lane: Lane, stage: str, rng: random.Random) -> None:
    """What a killed attempt left has a wrong byte in every file."""
    lane.wait(lane.start(stage, TORTURE_AT=str(rng.randint(1, lane.changes[stage]))))
    for path in (lane.folder / ".scratch").glob("*-*-*/**/*"):
        if path.is_file() and (content := bytearray(path.read_bytes())):
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
            path.write_bytes(content)
    code = lane.wait(lane.start(stage))
    if code and "Traceback" in lane.said:
        raise BrokenPromiseError(f"a traceback: {lane.said[-600:]}")


FAULTS: dict[str, Callable[[Lane, str, random.Random], None]] = {
    "disk full at a file operation": refused_operation(errno.ENOSPC),
    "read-only file system": refused_operation(errno.EROFS),
    "input/output error": refused_operation(errno.EIO),
    "files limited in size": small_files,
    "store locked": locked_store,
    "store removed": lost_store,
    "server silent": silent_server,
    "server away": no_server,
    "stage stands still": stopped("stage"),
    "worker stands still": stopped("worker"),
    "game stands still": stopped("game"),
    "two at once": two_at_once,
    "parameters edited": edited_parameters,
    "clock jumps": jumping_clock,
    "no temporary folder": no_temporary_folder,
    "state damaged": damaged_state,
}


def run(
    lane: Lane,
    count: int,
    seed: int,
    tell: Callable[[str], None],
    stages: Sequence[str] | None = None,
    kinds: Sequence[str] = tuple(FAULTS),
) -> dict[str, Row]:
    """Do each kind of fault to stages drawn by chance, ``count`` in all; then run them in peace."""
    rng, rows, names = (
        random.Random(seed),
        {name: Row() for name in kinds},
        sorted(stages or lane.stages),
    )
    for name in names:
        if name not in lane.changes:
            lane.measure(name)
    for number in range(count):
        name = kinds[number % len(kinds)]
        row, stage = rows[name], rng.choice(names)
        try:
            FAULTS[name](lane, stage, rng)
            if not lane.equal(stage):  # refused, or never begun: in peace it goes on
                lane.finish(stage)
            came = lane.judge(stage)
        except BrokenPromiseError as failure:
            came = Outcome(why=str(failure))
            lane.restore(stage)
        row.add(came)
        if came.why:
            row.why.append(f"{stage}: {came.why}")
            tell(f"{name}: {stage}: {came.why}")
        if number % 10 == 9:
            tell(f"faults: {number + 1} of {count}")
    return rows


def _expect(lane: Lane, code: int, expected: int) -> None:
    if code != expected:
        raise BrokenPromiseError(f"ends with {code}: {lane.said[-600:]}")


def _unrecorded(lane: Lane, stage: str, address: str) -> None:
    """Run the stage, and end its recorder, which would try on for minutes."""
    _expect(lane, lane.wait(lane.start(stage, MLFLOW_TRACKING_URI=address)), 0)
    for process in lane.processes():
        with suppress(psutil.Error):
            if WHO["recorder"](command(process)):
                process.kill()
