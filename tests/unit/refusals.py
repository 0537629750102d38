"""What readers make of files that may be spoiled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from world_models.errors import UserError


def read_or_refused(read: Callable[[Path], Any], path: Path) -> Any:
    """What ``read`` gives for a file or folder; None where it is refused by its name."""
    try:
        return read(path)
    except UserError as error:
        if str(path) not in str(error):
            raise
        return None
