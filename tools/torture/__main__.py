"""Do harm to stages, surroundings and files, and print what came of it. ``make torture``.

What is done follows from the seed; when exactly a signal arrives is the machine's matter.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import smoke
from torture import faults, files, kills
from torture.lane import Lane
from torture.rows import Row, merged, table

LANES = 2


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--faults", type=int, default=112)
    parser.add_argument("--files", type=int, default=1200)
    parser.add_argument("--clone", type=Path, help="a clone whose smoke pipeline was reproduced")
    a = parser.parse_args()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        folder = Path(name)
        source = a.clone or folder / "source"
        if not a.clone:
            smoke.smoke(source)
        lanes = [Lane.copy(source, folder / f"lane{i}") for i in range(LANES)]
        every: list[Row] = []
        for title, run, count in (
            ("kill of", kills.run, a.kills),
            ("fault", faults.run, a.faults),
        ):
            rows = _spread(run, lanes, count, a.seed)
            print(table(title, rows), end="\n\n", flush=True)  # what follows takes long too
            every += rows.values()
        damaged = files.run(files.artifacts(source), a.files, a.seed, _tell)
    print(table("damaged file of", damaged, outputs=False))
    print(f"\nseed {a.seed}, {(time.monotonic() - start) / 60:.0f} minutes")
    sys.exit(any(row.why for row in (*every, *damaged.values())))


Run = Callable[[Lane, int, int, Callable[[str], None]], dict[str, Row]]


def _spread(run: Run, lanes: list[Lane], count: int, seed: int) -> dict[str, Row]:
    """Share the work among the lanes."""
    with ThreadPoolExecutor(len(lanes)) as pool:
        share = -(-count // len(lanes))
        done = [
            pool.submit(run, lane, share, seed * 1000 + i, _tell) for i, lane in enumerate(lanes)
        ]
        return merged([one.result() for one in done])


_LOCK = threading.Lock()


def _tell(line: str) -> None:
    with _LOCK:
        print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
