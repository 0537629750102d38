"""``world-models export``: M's dream as a page that any browser plays."""

import sys
from argparse import Namespace
from pathlib import Path

from world_models.agent import Agent, find
from world_models.browser import game
from world_models.browser.page import LARGEST, check, default_ends, page, write
from world_models.errors import EnvironmentMissingError


def run(arguments: Namespace) -> int:
    """Write the page, and say where it is and how large."""
    check(arguments.out)
    content = build(arguments)
    out = write(arguments.out, content)
    print(f"{out}: {len(content) / 1e6:.1f} MB. Open it, or put it on any web server.")
    if len(content) > LARGEST:
        print(
            f"world-models export: that is above {LARGEST / 1e6:.0f} MB, much for a phone. A "
            "smaller mdnrnn.hidden_size makes a smaller page.",
            file=sys.stderr,
        )
    return 0


def build(arguments: Namespace) -> bytes:
    """The page of the agent named, else of the one that is found, which stderr says.

    Raises:
        UserError: the agent is missing or damaged, or has no place in a page.
    """
    name: str = arguments.environment
    models: Path = arguments.models or find(name)
    print(f"the page is of the agent in {models}", file=sys.stderr)
    agent = Agent.load(models, environment=name)
    ends = arguments.ends or default_ends(models / "controller")
    return page(agent, ends, _clip(agent, arguments.seed))


def _clip(agent: Agent, seed: int) -> game.Clip | None:
    """The game's frames; None where it cannot be played, which stderr says."""
    try:
        return game.record(agent, seed)
    except EnvironmentMissingError as error:
        print(f"the page goes without frames of the game: {error}", file=sys.stderr)
        return None
