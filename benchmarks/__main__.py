"""Run every benchmark, write ``benchmarks/results.json`` and print it as a table.

Each module has ``measure() -> list[dict]``; each dict is one line, its ratio from one interleaved
run. Absolute figures depend on the machine and on what else it does; the ratios are what counts.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machines import AVX2_ALONE, can_emulate

MODULES = ("carracing", "takecover", "vision", "memory", "evolution", "streaming")
RESULTS = Path(__file__).parent / "results.json"
EMULATED = ("vision", "memory")
"""Measured once more as on a CPU with AVX2 alone, where this one has more."""
COLUMNS = ("name", "ours", "peer", "unit", "ratio", "target", "met")


def measured(module: str, *, emulated: bool = False) -> list[dict[str, object]]:
    """The lines of one module, from a process of its own: threads and caches start afresh."""
    code = f"import json; from benchmarks import {module}; print(json.dumps({module}.measure()))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | (AVX2_ALONE if emulated else {}),
    )
    if done.returncode:
        sys.exit(f"benchmarks/{module}.py failed; its message stands above.")
    lines: list[dict[str, object]] = json.loads(done.stdout.splitlines()[-1])
    assert all(set(COLUMNS) <= set(line) for line in lines)
    note = ", AVX2 alone (emulated)" if emulated else ""
    return [line | {"name": f"{line['name']}{note}"} for line in lines]


def table(lines: list[dict[str, object]]) -> str:
    """The lines as text, a column for each key."""
    rows = [COLUMNS, *(tuple(_text(line[column]) for column in COLUMNS) for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in rows)


def _text(value: object) -> str:
    return f"{value:,.3g}" if isinstance(value, float) and value < 1000 else _whole(value)


def _whole(value: object) -> str:
    return f"{value:,.0f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Measure all modules, or those named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("modules", nargs="*", help="default: all")
    names = parser.parse_args().modules or MODULES
    start = time.monotonic()
    lines: list[dict[str, object]] = []
    for name in names:
        print(f"benchmarks/{name}.py …", file=sys.stderr, flush=True)
        lines += measured(name)
        if name in EMULATED and can_emulate():
            lines += measured(name, emulated=True)
    if tuple(names) == MODULES:
        RESULTS.write_text(json.dumps(lines, indent=2) + "\n", encoding="utf-8")
    minutes = (time.monotonic() - start) / 60
    print(table(lines))
    print(f"\n{len(lines)} lines in {minutes:.1f} min on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
