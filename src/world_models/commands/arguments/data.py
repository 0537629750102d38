"""The command line of ``world-models data``."""

import argparse
from pathlib import Path

from world_models.commands.arguments import values


def add(p: argparse.ArgumentParser) -> None:
    """Add its commands; each is a module ``world_models.commands.data.<name>``."""
    p.description = "Looks at, checks, compares and shares the folders that stages write."
    commands = p.add_subparsers(required=True, metavar="COMMAND")
    _show(commands.add_parser("show", help="what a data set or a model is"))
    _verify(commands.add_parser("verify", help="every checksum"))
    _diff(commands.add_parser("diff", help="what two versions differ in"))
    _export(commands.add_parser("export", help="episodes as a Minari data set"))
    _import(commands.add_parser("import", help="episodes from a Minari data set"))
    _card(commands.add_parser("card", help="write a folder's README.md anew"))


def _show(p: argparse.ArgumentParser) -> None:
    p.set_defaults(command="data.show")
    p.description = "Says what a folder holds; of episodes, shows some frames or films."
    p.epilog = "example: world-models data show data/ENV/rollouts --video episodes.mp4"
    p.add_argument("folder", type=Path, metavar="FOLDER", help="such as data/ENV/rollouts")
    p.add_argument("--sheet", type=Path, metavar="FILE.png", help="frames of some episodes")
    p.add_argument("--video", type=Path, metavar="FILE.mp4", help="some episodes, one by one")
    values.for_programs(p)


def _verify(p: argparse.ArgumentParser) -> None:
    p.set_defaults(command="data.verify")
    p.description = (
        "Compares the SHA-256 of every file with the card, and names each fault; exit code 1 if "
        "there is one. README.md and its picture are made from the rest and have no checksum."
    )
    p.epilog = "example: world-models data verify data/*/* models/*/*"
    _folders(p)


def _diff(p: argparse.ArgumentParser) -> None:
    p.set_defaults(command="data.diff")
    p.description = (
        "What two versions of a data set or a model differ in: episodes, parameters, figures, and "
        "the files that they share. Of A at a revision, only what differs is fetched."
    )
    p.epilog = "example: world-models data diff data/ENV/rollouts@v1 data/ENV/rollouts"
    for name in ("a", "b"):
        p.add_argument(
            name,
            metavar=name.upper(),
            help="a folder, or FOLDER@REV: as DVC has it at a revision of git",
        )
    values.for_programs(p)


def _export(p: argparse.ArgumentParser) -> None:
    p.set_defaults(command="data.export")
    p.description = (
        "Writes episodes as a Minari data set, without loss, uncompressed (12 KB a frame): "
        "minari.load_dataset(NAME) opens it with all metadata."
    )
    p.epilog = "example: world-models data export data/ENV/rollouts world-models/ENV-v0"
    p.add_argument("folder", type=Path, metavar="FOLDER", help="such as data/ENV/rollouts")
    _minari(p)


def _import(p: argparse.ArgumentParser) -> None:
    p.set_defaults(command="data.import_")
    p.description = (
        "Reads a Minari data set whose observations are, or hold, RGB pictures; they are resized "
        "by area to 64×64. V, encode and M then take OUT as they take what rollouts made."
    )
    p.epilog = (
        "example: world-models data import world-models/ENV-v0 data/ENV/imported --environment ENV"
    )
    _minari(p)
    p.add_argument("out", type=Path, metavar="OUT", help="a new folder")
    p.add_argument(
        "--environment",
        required=True,
        metavar="ENV",
        help="a key of params.yaml; with one of this project's, actions have to fit",
    )
    p.add_argument("--key", metavar="KEY", help="which observations are pictures, of several")
    p.add_argument(
        "--shard-episodes",
        type=values.positive,
        default=50,
        metavar="N",
        help="of a shard; default 50",
    )


def _minari(p: argparse.ArgumentParser) -> None:
    p.add_argument("name", metavar="NAME", help="of the Minari data set, such as GROUP/NAME-v0")
    p.add_argument(
        "--root",
        type=Path,
        metavar="FOLDER",
        help="of Minari's data sets; default: MINARI_DATASETS_PATH, else ~/.minari/datasets",
    )


def _card(p: argparse.ArgumentParser) -> None:
    p.set_defaults(command="data.card")
    p.description = (
        "Writes README.md, and for episodes frames.png, from what lies in each folder. Stages do "
        "so themselves: this is for folders of an earlier release. No other file changes."
    )
    p.epilog = "example: world-models data card data/*/* models/*/*"
    _folders(p)


def _folders(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="such as data/ENV/rollouts"
    )
