"""Writes down which modules of ours each process imports; becomes a clone's ``sitecustomize.py``.

An audit hook sees every import, in worker processes and for modules reached by string too.
"""

import os
import sys
from pathlib import Path

_FILE = Path(os.environ["IMPORTS_FOLDER"], os.environ.get("DVC_STAGE", "none"))


def _note(event: str, arguments: tuple) -> None:
    if event == "import" and arguments[0].split(".")[0] == "world_models":
        with _FILE.open("a", encoding="utf-8") as file:
            file.write(f"{arguments[0]}\n")


sys.addaudithook(_note)
