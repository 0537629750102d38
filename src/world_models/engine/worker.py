"""A worker process: does what its driver sends, until it is asked to stop or its driver is gone.

It leads a process group of its own, so that Ctrl-C does not reach it and that its children (a
simulator may have some) die with it.
"""

import faulthandler
import fcntl
import os
import pickle
import queue
import signal
import threading
from contextlib import suppress
from multiprocessing.connection import Connection

from world_models.engine import states


def main(descriptor: int) -> None:
    """Serve the driver at the other end of the socket ``descriptor``.

    A message is what ``states.perform`` takes, pickled, and its answer goes back; an empty message
    means stop.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1)  # the driver asks a worker that hangs where it is
    if hasattr(os, "SCHED_BATCH"):
        # Linux then lets a game that answers finish before the worker that it wakes goes on:
        # 3 % more steps in TakeCover. A sandbox may forbid it.
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)  # a child would hide our death
    connection = Connection(descriptor)
    inbox: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    while message := inbox.get():
        connection.send_bytes(states.perform(*pickle.loads(message)))


def _listen(connection: Connection, inbox: "queue.SimpleQueue[bytes]") -> None:
    """Pass messages on. When the driver is gone, even killed in the middle of a unit, go too."""
    try:
        while True:
            inbox.put(message := connection.recv_bytes())
            if not message:
                return
    except (EOFError, OSError):
        os.killpg(0, signal.SIGKILL)
