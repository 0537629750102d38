"""``world-models data card``: the page for people, for folders that lack it."""

from argparse import Namespace

from world_models.reports.readme.write import write_readme


def run(arguments: Namespace) -> int:
    """Write the pages."""
    for folder in arguments.folders:
        write_readme(folder)
        print(f"{folder}: README.md")
    return 0
