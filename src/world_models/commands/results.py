"""``world-models results``: the README's table."""

from argparse import Namespace

from world_models.reports import results


def run(arguments: Namespace) -> int:
    """Print the table, or write it into a file between its markers."""
    table = results.table(arguments.metrics)
    if arguments.write is None:
        print(table)
    else:
        results.write(arguments.write, table)
    return 0
