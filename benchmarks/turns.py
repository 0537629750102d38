"""Contenders in processes of their own, called in turns.

Threads and memory are for each as PyTorch leaves them, or as it sets them itself. As they take
turns, a machine that is busy with other things slows all of them.
"""

import multiprocessing
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection

import numpy as np
from numpy.typing import NDArray

Call = Callable[[], object]
Make = Callable[[], Call]
"""Runs once in the contender's process; picklable."""
Times = NDArray[np.float64]
"""Wall and CPU seconds of each call, (calls, 2); the CPU's are those of all threads."""
MIN_TURNS = 5


def take_turns(makers: Mapping[str, Make], seconds: float) -> dict[str, Times]:
    """Call all in turns for that long, each twice before."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = {}, []
    for name, make in makers.items():
        pipes[name], there = context.Pipe()
        processes.append(context.Process(target=obey, args=(there, make), daemon=True))
        processes[-1].start()
        there.close()  # so that its death ends the wait for it
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in makers}
    ready = [pipe.recv() for pipe in pipes.values()]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[name]) < MIN_TURNS:
        for name, pipe in pipes.items():
            pipe.send(None)
            times[name].append(pipe.recv())
    for process in processes:
        process.kill()
    assert all(ready)
    return {name: np.array(spent) for name, spent in times.items()}


def obey(orders: Connection, make: Make) -> None:
    """A call for each order; what it took goes back."""
    function = make()
    for _ in range(2):
        function()
    orders.send(True)
    while True:
        orders.recv()
        orders.send(spent(function))


def spent(function: Call) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - wall, time.process_time() - cpu


def ratio(times: Times, peer: Times) -> NDArray[np.float64]:
    """Median of the turns' ratios, of wall and of CPU time: how often ours fits into the peer's."""
    found: NDArray[np.float64] = np.median(peer / times, axis=0)
    return found
