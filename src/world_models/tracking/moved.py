"""A project folder that was moved, renamed or copied takes its runs' artifacts along.

MLflow stores absolute addresses of artifacts. In the database that lies in the project they are
rewritten to where the project is now; of other stores nothing is touched.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from filelock import FileLock

from world_models.tracking.store import Location, database_path

ADDRESSES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Tables of MLflow's database, and their columns that hold an artifact's address."""


def follow(location: Location) -> int:
    """Rewrite addresses that name a folder where the project was before.

    Args:
        location: the store.

    Returns:
        How many experiments have moved.

    Raises:
        sqlite3.Error: the database is damaged, in use, or may not be written.
    """
    path = database_path(location.uri)
    if path is None or location.artifacts is None or not path.exists():
        return 0
    return _follow(path, location.artifacts)


def _follow(path: Path, artifacts: str) -> int:
    with FileLock(path.with_name(f"{path.name}.lock")), closing(sqlite3.connect(path)) as database:
        moved = _moved(database, artifacts)
        known = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
        with database:
            for old, new in moved:
                for table in ADDRESSES.keys() & known:
                    for column in ADDRESSES[table]:
                        _replace(database, table, column, old, new)
    return len(moved)


def _moved(database: sqlite3.Connection, artifacts: str) -> list[tuple[str, str]]:
    """Old and new address of each experiment of ours that is elsewhere than it should be."""
    folder = Path(artifacts).name
    rows = database.execute("SELECT name, artifact_location FROM experiments").fetchall()
    return [
        (old, f"{artifacts}/{name}")
        for name, old in rows
        if old and old.endswith(f"/{folder}/{name}") and old != f"{artifacts}/{name}"
    ]


def _replace(database: sqlite3.Connection, table: str, column: str, old: str, new: str) -> None:
    # Names of tables and columns are ours; only values come from outside.
    database.execute(
        f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
        f"WHERE {column} = ? OR substr({column}, 1, ?) = ?",
        (new, len(old) + 1, old, len(old) + 1, f"{old}/"),
    )
