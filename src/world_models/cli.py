"""``world-models``, the command line for people; no stage imports it.

Only the chosen command's module is loaded, so that ``--help`` answers at once.
"""

import argparse
import os
import sys
from importlib import import_module

from world_models.commands.arguments import agents, data, experiments
from world_models.engine.surroundings import settle
from world_models.errors import Interrupted, SimulatorDiedError, UserError

EXAMPLES = """examples:
  world-models describe ENV                   the networks, part by part
  world-models watch ENV --video agent.mp4
  world-models dream ENV --tau 1.3 --episodes 20 --json
  world-models play ENV                       M's dream in the browser, for you to play
  world-models verify ENV --episodes 200      score the released agent anew
  world-models profile smoke                  merge configs/smoke.yaml into params.yaml
  world-models data show data/ENV/rollouts    what a data set holds
  world-models check -S ENV.vae.z_size=64     what DVC would be given
  world-models experiments                    scores, and the parameters that differ
  world-models doctor                         what is missing, and how to get it

The pipeline itself is DVC's: dvc repro, dvc exp run -S ENV.vae.learning_rate=3e-4."""


def parser() -> argparse.ArgumentParser:
    """The whole command line; each command is a module ``world_models.commands.<name>``."""
    top = argparse.ArgumentParser(
        prog="world-models",
        description="World Models: an agent that sees, predicts, acts, and learns in its dream.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    agents.describe(
        commands.add_parser("describe", help="V, M and C: parts, shapes, parameter counts")
    )
    agents.watch(commands.add_parser("watch", help="the trained agent in the real environment"))
    agents.dream(commands.add_parser("dream", help="the trained agent in M's dream"))
    agents.play(commands.add_parser("play", help="M's dream in the browser, for you to play"))
    agents.export(commands.add_parser("export", help="that page as a file, for any web server"))
    agents.gallery(commands.add_parser("gallery", help="pictures of what V, M and C know"))
    agents.verify(
        commands.add_parser("verify", help="a released agent, scored anew on fresh seeds")
    )
    agents.release(commands.add_parser("release", help="write an agent into released/, for git"))
    experiments.profile(commands.add_parser("profile", help="set params.yaml to a budget"))
    experiments.check(commands.add_parser("check", help="every parameter, before DVC runs a stage"))
    experiments.experiments(
        commands.add_parser("experiments", help="DVC's experiments, side by side")
    )
    experiments.results(commands.add_parser("results", help="the table of scores, from metrics/"))
    experiments.compare(
        commands.add_parser("compare", help="runs, experiments or revisions side by side")
    )
    experiments.trace(
        commands.add_parser("trace", help="from a score back to data, code and parameters")
    )
    data.add(commands.add_parser("data", help="data sets and models: show, verify, diff, share"))
    experiments.ui(commands.add_parser("ui", help="MLflow's pages on this project's runs"))
    experiments.scratch(
        commands.add_parser("scratch", help="state that stages go on from: list, remove")
    )
    experiments.doctor(
        commands.add_parser("doctor", help="what this machine has, and what is missing")
    )
    return top


def main(argv: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 not well (doctor), 2 a fault to mend, 130 interrupted."""
    arguments = parser().parse_args(argv)
    try:
        settle()
        command = import_module(f"world_models.commands.{arguments.command}")
        code = command.run(arguments)
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:  # the reader, such as head, has closed its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the exit's own flush
        sys.exit(1)
    except UserError as error:
        words = arguments.command.rstrip("_").replace(".", " ")
        print(f"world-models {words}: {error}", file=sys.stderr)
        sys.exit(2)
    except SimulatorDiedError as error:
        print(f"world-models: {error}. Run the same command again.", file=sys.stderr)
        sys.exit(2)
    except OSError as error:  # a folder that is none, a full disk, a name that is too long
        if error.filename is None:
            raise
        print(f"world-models: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, Interrupted):
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
