"""``world-models profile``: a budget for params.yaml."""

from argparse import Namespace

from world_models.experiment import apply_profile


def run(arguments: Namespace) -> int:
    """Merge a profile, and say what changed."""
    changes = apply_profile(arguments.name, arguments.params, arguments.profiles)
    print(*changes or [f"{arguments.params} already is {arguments.name}."], sep="\n")
    return 0
