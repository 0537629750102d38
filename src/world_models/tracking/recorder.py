"""The recorder: the process that writes a stage's journal to MLflow while the stage works.

``python -m world_models.tracking.recorder [JOURNAL]`` first records what killed stages and
recorders have left behind, then the journal as it grows, until its stage has ended.
"""

import os
import signal
import sys
from pathlib import Path

from world_models.storage import temporary
from world_models.storage.scratch import FOLDER, find_root
from world_models.tracking import commit
from world_models.tracking.journal import Journal, Message, Reader

SPARED = ("pandas", "pyarrow", "scipy")
"""MLflow runs without them (its skinny edition); loading them would cost a quarter of the start.
:mod:`world_models.tracking.champion` loads them after all, when it has agents to compare."""


def main() -> None:
    """Serve one stage, or without one only what was left behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends when the stage has ended
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    people = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is for the log

    def say(text: str) -> None:
        try:
            print(f"tracking: {text}", file=people, flush=True)
        except OSError:
            return  # the terminal is gone; the run is recorded all the same

    own = Journal(Path(sys.argv[1])) if len(sys.argv) > 1 else None
    opening = own.opening() if own else None
    if own is not None and opening is not None:
        _describe_code(own, opening)
    sys.modules.update(dict.fromkeys(SPARED))  # type: ignore[arg-type]
    # It loads MLflow, which takes 3-5 s: the code must be described before a user changes it.
    from world_models.tracking.recording import record, record_left_behind

    folder = own.path.parent if own else find_root().absolute() / FOLDER / "tracking"
    with temporary.for_libraries():  # MLflow writes a picture to a file before it sends it
        record_left_behind(folder, own, say)
        if own is not None and opening is not None:
            record(own, opening, say, wait=True)


def _describe_code(journal: Journal, opening: Message) -> None:
    own, offset = opening["own"], opening.get("offset", 0)
    committed = own | {"seed": own["seed"] - offset} if offset else own
    environment, stage = opening["tags"]["environment"], opening["tags"]["stage"]
    files = opening.get("params", "params.yaml"), opening.get("overlay", "")
    tags = commit.describe_code(environment, stage, committed, *files, opening.get("inputs", ()))
    reader = Reader(journal)
    with reader.file:
        said = [line["values"] for line in reader.read() if line["do"] == "parameters"]
    tags |= {"differs": commit.differs(environment, said[0] if said else {}, files[0])}
    journal.append({"do": "tags", "values": tags})


if __name__ == "__main__":
    main()
