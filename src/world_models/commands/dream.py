"""``world-models dream``: the trained agent in M's dream."""

from argparse import Namespace

from world_models.commands.playing import open_agent, play, report, suffix
from world_models.evaluation import tasks
from world_models.reports import films


def run(arguments: Namespace) -> int:
    """Play, report, and film if asked."""
    suffix(arguments.video)
    agent = open_agent(arguments)
    task = tasks.in_dream(agent, min(arguments.episodes, 256), arguments.tau, arguments.ends)
    played = play(arguments, agent, task)
    if arguments.video is not None:
        recordings = [recording for unit in played for recording in unit.recordings]
        steps = sum(len(recording.actions) for recording in recordings)
        dream = films.dreamed(recordings, agent.vision, steps)
        films.write(arguments.video, agent.environment, [dream])
    returns = agent.dreams_of_returns
    report(arguments, played, returns=returns, tau=arguments.tau, ends=arguments.ends)
    return 0
