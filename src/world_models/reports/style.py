"""How every picture is written: Matplotlib's own style, and the same bytes for the same picture."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib import style
from matplotlib.figure import Figure


@contextmanager
def plain_style() -> Iterator[None]:
    """Matplotlib's own defaults: the user's ``matplotlibrc`` changes no picture."""
    with style.context("default"):
        yield


def save(figure: Figure, path: Path) -> None:
    """Write a PNG that does not hold the program's name and version."""
    figure.savefig(path, dpi=110, metadata={"Software": None})
