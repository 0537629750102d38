"""Commands about parameters, experiments, runs and this machine."""

import argparse
from pathlib import Path

from world_models.commands.arguments import values
from world_models.envs import catalogue


def profile(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models profile``."""
    p.description = (
        "Merges configs/NAME.yaml into params.yaml, comments kept; git diff shows what changed."
    )
    p.epilog = "profiles: smoke, laptop, overnight, paper. example: world-models profile overnight"
    p.add_argument("name")
    p.add_argument("--params", type=Path, default=Path("params.yaml"), metavar="FILE")
    p.add_argument("--profiles", type=Path, default=Path("configs"), metavar="FOLDER")


def check(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models check``."""
    p.description = (
        "Checks params.yaml with all profiles, and with the changes of -S, as `dvc exp run` takes "
        "them. DVC removes a stage's outputs before it runs the stage, so look first."
    )
    p.epilog = "example: world-models check temperature -S ENV.evolve.tau=0.5,1.0,1.15"
    p.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help="its cells, too")
    p.add_argument(
        "-S",
        "--set-param",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a change; several values, A,B,C, are tried each",
    )


def experiments(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models experiments``."""
    p.description = (
        "Prints the workspace, HEAD and the DVC experiments that began there: scores (mean ± "
        "standard error) and the parameters that differ."
    )
    p.epilog = "example: world-models experiments v1 main"
    p.add_argument("revisions", nargs="*", metavar="REV", help="further commits, branches, tags")
    p.add_argument("--all", action="store_true", help="experiments of all commits")
    values.for_programs(p)


def results(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models results``."""
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


def compare(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models compare``."""
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


def trace(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models trace``."""
    p.description = (
        "Prints what a file or folder was made from, back to the first episode: for each step the "
        "command that brings it back, code, versions, MLflow run, and what no longer matches. "
        "Exit code 1 if anything does not."
    )
    p.epilog = "example: world-models trace metrics/ENV/evaluate.json"
    p.add_argument(
        "what", metavar="FILE|FOLDER|RUN", help="what a stage made, or an MLflow run's id"
    )
    values.for_programs(p)


def ui(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models ui``."""
    p.description = "Opens MLflow on the runs of this project, also after its folder was moved."
    p.add_argument(
        "--port",
        type=values.port,
        default=5000,
        metavar="N",
        help="default 5000, or the next free one",
    )


def scratch(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models scratch``."""
    p.description = (
        "Lists the state that stages left to go on from, with size and age. State of other "
        "parameters or code is kept for 30 days after its last use."
    )
    p.epilog = "example: world-models scratch --older-than 7"
    which = p.add_mutually_exclusive_group()
    which.add_argument("--remove", metavar="NAME", help="remove this one")
    which.add_argument(
        "--older-than", type=values.days, metavar="DAYS", help="remove what is older"
    )


def doctor(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models doctor``."""
    p.description = (
        "Checks versions, cores, CPU features, simulators, parameters, data, models, DVC's remote "
        "and MLflow's store; exit code 1 if not well."
    )
    values.for_programs(p)
