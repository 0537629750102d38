"""``world-models data export``: episodes for whoever uses Minari."""

from argparse import Namespace

from world_models.exchange import minari_export


def run(arguments: Namespace) -> int:
    """Write the data set, and say how to open it."""
    out = minari_export.export(arguments.folder, arguments.name, arguments.root)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:.1f} MB. In Python: minari.load_dataset({arguments.name!r})")
    return 0
