"""Each formulation beside plain PyTorch: by machine, batch, and encoding, training or dreaming.

``python -m benchmarks.study_formulations`` writes ``benchmarks/formulations.json``, the evidence of
docs/performance.md; takes some ten minutes. Where the CPU has more than AVX2, all is measured a
second time with AVX2 alone (:mod:`benchmarks.machines`).
Encoding is on one thread, all else on all.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import memory, vision
from benchmarks.machines import AVX2_ALONE, can_emulate, facts
from benchmarks.turns import Call, Make, Times, ratio, take_turns
from world_models.fast.door import FORMULATIONS
from world_models.formulations import VARIABLE

RESULTS = Path(__file__).parent / "formulations.json"
BATCHES = (16, 32, 100)
DREAMS = 256
SECONDS = 8.0
"""For each comparison."""
_open = ExitStack()


def comparisons(names: dict[str, list[str]]) -> Iterator[tuple[str, int, dict[str, Make]]]:
    """What is measured: its name, the size of its batch, and the contenders."""
    for batch in BATCHES:
        contenders = (*vision.PLAIN, *names["V"])
        yield "V encodes", batch, {n: partial(vision.encoder, n, batch, 1) for n in contenders}
        yield "V trains", batch, {n: partial(vision.trainer, n, batch) for n in contenders}
    for index, case in enumerate(memory.CASES):
        contenders = ("plain", *names["M"])
        makers: dict[str, Make] = {n: partial(memory_trainer, n, index) for n in contenders}
        yield f"M trains, {case.name}, {case.steps} steps", memory.BATCH, makers
        yield f"M dreams, {case.name}", DREAMS, {n: partial(dreamer, n, index) for n in contenders}


def memory_trainer(name: str, index: int) -> Call:
    """A gradient step on M."""
    case = memory.CASES[index]
    if name == "plain":
        return memory.plain_training(case)
    os.environ[VARIABLE] = name
    return _open.enter_context(memory.our_training(case))


def dreamer(name: str, index: int) -> Call:
    """A step of the dream."""
    if name != "plain":
        os.environ[VARIABLE] = name
    return memory.dreams(memory.CASES[index], DREAMS)[name == "plain"]


def measured(*, emulated: bool) -> list[dict[str, Any]]:
    """The table's lines on this machine."""
    precisions = ("float32",) if emulated or not can_emulate() else ("float32", "bfloat16")
    names: dict[str, list[str]] = {"V": [], "M": []}
    for found in FORMULATIONS:
        if found.precision in precisions:
            names[found.part].append(found.name)
    lines = []
    for what, batch, makers in comparisons(names):
        lines += compared(what, batch, take_turns(makers, SECONDS))
        print(*lines[-len(makers) :], sep="\n", file=sys.stderr, flush=True)
    return lines


def compared(what: str, batch: int, times: dict[str, Times]) -> list[dict[str, Any]]:
    """A line for each contender."""
    peer = vision.best_plain(times)
    lines = []
    for name, spent in times.items():
        wall, cpu = ratio(spent, times[peer]).round(2).tolist()
        wall_ms, cpu_ms = (1000 * np.median(spent, axis=0)).round(2).tolist()
        lines.append(
            {"what": what, "batch": batch, "formulation": name, "wall_ms": wall_ms}
            | {"cpu_ms": cpu_ms, "ratio": wall, "ratio_of_cpu_time": cpu, "turns": len(spent)}
        )
    return lines


def gemm_rate() -> float:
    """GFLOP/s of a product in float32 on one thread: shows that the emulation's limits act."""
    torch.set_num_threads(1)
    a = torch.randn(1024, 1024)
    return round(2e-9 * 1024**3 / float(take_turns({"": partial(product, a)}, 1)[""][:, 1].min()))


def product(a: torch.Tensor) -> Call:
    """A matrix product on one thread."""
    torch.set_num_threads(1)
    return lambda: a @ a


def report(*, emulated: bool) -> None:
    """Measure in this process's environment and print JSON."""
    machine = facts(emulated=emulated)
    lines = measured(emulated=emulated)
    print(json.dumps({"machine": machine | {"gemm_gflops": gemm_rate()}, "lines": lines}))


def elsewhere(*, emulated: bool) -> dict[str, Any]:
    """The report of a fresh process, for what limits a library must be set before it is loaded."""
    command = [sys.executable, "-m", "benchmarks.study_formulations", "--report"]
    environment = os.environ | (AVX2_ALONE if emulated else {})
    command += ["--emulated"] * emulated
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def table(found: list[dict[str, Any]]) -> str:
    """The evidence as Markdown: how often each formulation fits into plain's time."""
    columns = {
        "AVX2 alone, float32": ("AVX2 alone", "float32"),
        "bfloat16 units, float32": (None, "float32"),
        "bfloat16 units, bfloat16": (None, "bfloat16"),
    }
    cells: dict[tuple[str, int], dict[str, str]] = {}
    for one in found:
        for line in one["lines"]:
            key = (one["machine"]["emulated"], line["formulation"].rpartition("-")[2])
            for column in (name for name, wanted in columns.items() if wanted == key):
                text = f"{line['ratio']:.2f} ({line['ratio_of_cpu_time']:.2f})"
                cells.setdefault((line["what"], line["batch"]), {})[column] = text
    rows = [("work", "batch", *columns), ("---",) * 5]
    rows += [
        (what, str(batch), *(cells[what, batch].get(column, "–") for column in columns))
        for what, batch in sorted(cells)
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Measure here, and with AVX2 alone."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.study_formulations")
    parser.add_argument("--report", action="store_true", help="measure here, print JSON")
    parser.add_argument("--emulated", action="store_true", help="the environment says AVX2 alone")
    arguments = parser.parse_args()
    if arguments.report:
        return report(emulated=arguments.emulated)
    found = [elsewhere(emulated=True)] if can_emulate() else []
    found.append(elsewhere(emulated=False))
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return print(table(found))


if __name__ == "__main__":
    main()
