"""``world-models watch``: the trained agent in the real environment."""

from argparse import Namespace

from world_models.commands.playing import open_agent, play, report, suffix
from world_models.evaluation import tasks
from world_models.reports import films
from world_models.reports.replay import replay


def run(arguments: Namespace) -> int:
    """Play, report, and film if asked."""
    suffix(arguments.video)
    agent = open_agent(arguments)
    batch = min(arguments.episodes, 16)
    task = tasks.in_reality(agent, batch, agent.latent, arguments.renderer)
    played = play(arguments, agent, task)
    if arguments.video is not None:
        recordings = [recording for unit in played for recording in unit.recordings]
        shown = [replay(agent.environment, r, len(r.actions), films.STRIDE) for r in recordings]
        views = [films.view(film, agent.vision) for film in shown]
        films.write_agent(arguments.video, agent.environment, views)
    report(arguments, played)
    return 0
