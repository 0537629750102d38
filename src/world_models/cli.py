"""``world-models``, the command line for people; no stage imports it.

Only the chosen command's module is loaded, so that ``--help`` answers at once.
"""

import argparse
import math
import os
import sys
from importlib import import_module
from pathlib import Path

from world_models.commands.data import arguments as data
from world_models.envs import catalogue
from world_models.errors import Interrupted, UserError
from world_models.seeding import FRESH, LARGEST

EXAMPLES = """examples:
  world-models describe ENV                   the networks, part by part
  world-models watch ENV --video agent.mp4
  world-models dream ENV --tau 1.3 --episodes 20 --json
  world-models verify ENV --episodes 200      score the released agent anew
  world-models profile smoke                  merge configs/smoke.yaml into params.yaml
  world-models data show data/ENV/rollouts    what a data set holds
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
    _describe(commands.add_parser("describe", help="V, M and C: parts, shapes, parameter counts"))
    _watch(commands.add_parser("watch", help="the trained agent in the real environment"))
    _dream(commands.add_parser("dream", help="the trained agent in M's dream"))
    _verify(commands.add_parser("verify", help="a released agent, scored anew on fresh seeds"))
    _release(commands.add_parser("release", help="write an agent into released/, for git"))
    _profile(commands.add_parser("profile", help="set params.yaml to a budget"))
    _results(commands.add_parser("results", help="the table of scores, from metrics/"))
    _compare(commands.add_parser("compare", help="runs, experiments or revisions side by side"))
    _trace(commands.add_parser("trace", help="from a score back to data, code and parameters"))
    data.add(commands.add_parser("data", help="data sets and models: show, verify, diff, share"))
    _ui(commands.add_parser("ui", help="MLflow's pages on this project's runs"))
    _scratch(commands.add_parser("scratch", help="state that stages go on from: list, remove"))
    _doctor(commands.add_parser("doctor", help="what this machine has, and what is missing"))
    return top


def _describe(p: argparse.ArgumentParser) -> None:
    p.description = (
        "Builds V, M and C and counts their weights part by part. Sizes are those of params.yaml "
        "where there is one, else the paper's."
    )
    p.add_argument("environment", choices=catalogue.names())
    p.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE")
    _json(p)


def _agent(p: argparse.ArgumentParser) -> None:
    p.add_argument("environment", choices=catalogue.names())
    p.add_argument("--episodes", type=_positive, default=1, metavar="N", help="default 1")
    p.add_argument("--seed", type=_seed, default=1, metavar="S", help="of the first; default 1")
    p.add_argument("--video", type=Path, metavar="FILE", help="write an .mp4 or a .gif")
    p.add_argument(
        "--models",
        type=Path,
        metavar="FOLDER",
        help="default: models/ENV if it holds an agent, else released/ENV",
    )
    _json(p)


def _watch(p: argparse.ArgumentParser) -> None:
    p.description = (
        "Lets the trained agent play in the real environment, from any seed: episode i has seed "
        "S + i. The video shows the game, V's view of it, and V's reconstruction."
    )
    p.epilog = "example: world-models watch ENV --episodes 5 --seed 100 --json"
    _agent(p)
    p.add_argument(
        "--renderer",
        choices=(catalogue.GENUINE, catalogue.FAST),
        default="genuine",
        help="what the agent sees: the simulator's own frames (default), or the fast ones",
    )


def _dream(p: argparse.ArgumentParser) -> None:
    p.description = (
        "Lets the trained agent play in M's dream. The video is V's decoding of what M dreams."
    )
    p.epilog = "example: world-models dream ENV --tau 1.3 --video dream.mp4"
    _agent(p)
    p.add_argument(
        "--tau", type=_temperature, default=1.0, metavar="T", help="temperature; default 1"
    )
    p.add_argument(
        "--ends",
        choices=("threshold", "drawn"),
        default="threshold",
        help="where M's logit of the end is above 0 (default), or drawn at the risk M predicts",
    )


def _verify(p: argparse.ArgumentParser) -> None:
    p.description = (
        "Plays the released agent in the genuine simulator on all cores, as it was scored, and "
        "prints the score beside the published one, with their difference in standard errors. "
        f"Exit code 1 if it is more than 3. Episode i has seed S + i; seeds below {FRESH} may have "
        "served to train, to choose or to score it, those from there on cannot."
    )
    p.epilog = "example: world-models verify ENV --episodes 200 --first-seed 1500000000"
    p.add_argument("environment", choices=catalogue.names())
    p.add_argument("--episodes", type=_several, default=100, metavar="N", help="default 100")
    p.add_argument(
        "--first-seed",
        type=_seed,
        default=FRESH,
        metavar="S",
        help="of the first; default %(default)s",
    )
    p.add_argument("--models", type=Path, metavar="FOLDER", help="default: released/ENV")
    _json(p)


def _release(p: argparse.ArgumentParser) -> None:
    p.description = (
        "Writes V, M and C in half precision into FOLDER/ENV, with their scores and a model card, "
        "README.md: small enough for git. Nothing is written if they do not belong together."
    )
    p.epilog = (
        'example: world-models release ENV --cost "3.2 core-hours on an AMD Zen 5" then '
        "world-models verify ENV"
    )
    p.add_argument("environment", choices=catalogue.names())
    p.add_argument("--models", type=Path, metavar="FOLDER", help="default: models/ENV")
    p.add_argument(
        "--metrics", type=Path, metavar="FILE", help="default: metrics/ENV/evaluate.json"
    )
    p.add_argument("--params", type=Path, metavar="FILE", help="of evaluate; default: params.yaml")
    p.add_argument("--overlay", metavar="FILE:KEY,KEY…", help="what an experiment changes in those")
    p.add_argument("--to", type=Path, metavar="FOLDER", help="default: released")
    p.add_argument("--cost", metavar="TEXT", help="what it cost, for the model card")
    p.add_argument(
        "--note",
        action="append",
        default=[],
        metavar="TEXT",
        help="a sentence for the card's scores",
    )


def _profile(p: argparse.ArgumentParser) -> None:
    p.description = (
        "Merges configs/NAME.yaml into params.yaml, comments kept; git diff shows what changed."
    )
    p.epilog = "profiles: smoke, laptop, overnight, paper. example: world-models profile overnight"
    p.add_argument("name")
    p.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE")
    p.add_argument("--profiles", type=Path, default=Path("configs"), metavar="FOLDER")


def _results(p: argparse.ArgumentParser) -> None:
    p.description = (
        "Prints the table of scores as Markdown, from metrics/ENV/evaluate.json, or that of an "
        "experiment under experiments/, from its metrics."
    )
    p.epilog = "examples: world-models results --write README.md; world-models results rounds"
    p.add_argument("experiment", nargs="?", metavar="EXPERIMENT", help="such as rounds")
    p.add_argument("--metrics", type=Path, default=Path("metrics"), metavar="FOLDER")
    p.add_argument("--write", type=Path, metavar="FILE", help="replace the table in this file")
    p.add_argument(
        "--draw", type=Path, metavar="FOLDER", help="an experiment's table, CSV and picture, too"
    )
    p.add_argument(
        "--costs",
        action="store_true",
        help="first write costs.csv into the experiment's folder: core-hours, from its MLflow runs",
    )


def _ui(p: argparse.ArgumentParser) -> None:
    p.description = "Opens MLflow on the runs of this project, also after its folder was moved."
    p.add_argument(
        "--port", type=_port, default=5000, metavar="N", help="default 5000, or the next free one"
    )


def _compare(p: argparse.ArgumentParser) -> None:
    p.description = (
        "Compares pipelines with the first: scores with interval and test, parameters, code and "
        "metrics that differ, curves, videos. Prints a table and writes one page that needs no "
        "other file."
    )
    p.epilog = "examples: world-models compare HEAD~1 workspace; world-models compare main exp-a1b2"
    p.add_argument(
        "names",
        nargs="+",
        metavar="NAME",
        help="a revision of git, an experiment of DVC, an MLflow run's id, or workspace",
    )
    p.add_argument("--environment", choices=catalogue.names(), help="default: all that they have")
    p.add_argument(
        "--out", type=Path, default=Path("comparison.html"), metavar="FILE", help="the page"
    )


def _trace(p: argparse.ArgumentParser) -> None:
    p.description = (
        "Prints what a file or folder was made from, back to the first episode: for each step the "
        "command that brings it back, code, versions, MLflow run, and what no longer matches. "
        "Exit code 1 if anything does not."
    )
    p.epilog = "example: world-models trace metrics/ENV/evaluate.json"
    p.add_argument(
        "what", metavar="FILE|FOLDER|RUN", help="what a stage made, or an MLflow run's id"
    )
    _json(p)


def _scratch(p: argparse.ArgumentParser) -> None:
    p.description = (
        "Lists the state that stages left to go on from, with size and age. State of other "
        "parameters or code is kept for 30 days after its last use."
    )
    p.epilog = "example: world-models scratch --older-than 7"
    which = p.add_mutually_exclusive_group()
    which.add_argument("--remove", metavar="NAME", help="remove this one")
    which.add_argument("--older-than", type=_days, metavar="DAYS", help="remove what is older")


def _doctor(p: argparse.ArgumentParser) -> None:
    p.description = (
        "Checks versions, cores, CPU features, simulators, parameters, data, models, DVC's remote "
        "and MLflow's store; exit code 1 if not well."
    )
    _json(p)


def _json(p: argparse.ArgumentParser) -> None:
    p.add_argument("--json", action="store_true", help="for programs, on standard output")


def _port(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 65_535:
        raise argparse.ArgumentTypeError(f"{value} is not in 1 … 65535")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def _several(text: str) -> int:
    value = int(text)
    if value < 2:
        raise argparse.ArgumentTypeError(f"{value} is below 2, and one episode has no spread")
    return value


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value <= LARGEST:
        raise argparse.ArgumentTypeError(f"{value} is not in 0 … {LARGEST}")
    return value


def _days(text: str) -> float:
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{value} is no number of days from 0")
    return value


def _temperature(text: str) -> float:
    value = float(text)
    if not 0 < value <= 10:
        raise argparse.ArgumentTypeError(f"{value} is not in (0, 10]")
    return value


def main(argv: list[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 not well (doctor), 2 a fault to mend, 130 interrupted."""
    arguments = parser().parse_args(argv)
    try:
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
    except (KeyboardInterrupt, Interrupted):
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
