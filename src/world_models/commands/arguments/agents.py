"""Commands about models and trained agents."""

import argparse
from pathlib import Path

from world_models.commands.arguments import values
from world_models.envs import catalogue
from world_models.seeding import FRESH


def describe(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models describe``."""
    p.description = (
        "Builds V, M and C and counts their weights part by part. Sizes are those of params.yaml "
        "where there is one, else the paper's."
    )
    p.add_argument("environment", choices=catalogue.names())
    p.add_argument("--params", type=Path, metavar="FILE", help="default: the project's params.yaml")
    values.for_programs(p)


def watch(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models watch``."""
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


def dream(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models dream``."""
    p.description = (
        "Lets the trained agent play in M's dream. The video is V's decoding of what M dreams."
    )
    p.epilog = "example: world-models dream ENV --tau 1.3 --video dream.mp4"
    _agent(p)
    p.add_argument(
        "--tau", type=values.temperature, default=1.0, metavar="T", help="temperature; default 1"
    )
    p.add_argument(
        "--ends",
        choices=("threshold", "drawn"),
        default="threshold",
        help="where M's logit of the end is above 0 (default), or drawn at the risk M predicts",
    )


def gallery(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models gallery``."""
    p.description = (
        "Lets the trained agent play one episode in the genuine simulator and draws four pictures: "
        "what the latents stand for that C looks at most (traversals.png), what moves C's outputs "
        "(attention.png), where M is surprised (surprises.png), and how dreams part from the game "
        "(drift.png)."
    )
    p.epilog = "example: world-models gallery ENV --seed 7 --out pictures"
    p.add_argument("environment", choices=catalogue.names())
    p.add_argument("--seed", type=values.seed, default=1, metavar="S", help="default 1")
    p.add_argument("--out", type=Path, metavar="FOLDER", help="default: reports/ENV/gallery")
    _models(p)


def verify(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models verify``."""
    p.description = (
        "Plays the released agent in the genuine simulator on all cores, as it was scored, and "
        "prints the score beside the published one, with their difference in standard errors. "
        f"Exit code 1 if it is more than 3. Episode i has seed S + i; seeds below {FRESH} may have "
        "served to train, to choose or to score it, those from there on cannot."
    )
    p.epilog = "example: world-models verify ENV --episodes 200 --first-seed 1500000000"
    p.add_argument("environment", choices=catalogue.names())
    p.add_argument("--episodes", type=values.several, default=100, metavar="N", help="default 100")
    p.add_argument(
        "--first-seed",
        type=values.seed,
        default=FRESH,
        metavar="S",
        help="of the first; default %(default)s",
    )
    p.add_argument("--models", type=Path, metavar="FOLDER", help="default: released/ENV")
    values.for_programs(p)


def release(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models release``."""
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


def export(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models export``."""
    p.description = (
        "Writes M's dream as a page, one HTML file that computes V, M and C itself: it opens from "
        "any web server, or from the disk by a double click, and loads nothing else."
    )
    p.epilog = "example: world-models export ENV --out site/"
    p.add_argument("environment", choices=catalogue.names())
    p.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="gets the file index.html"
    )
    _page(p)


def play(p: argparse.ArgumentParser) -> None:
    """Describe ``world-models play``."""
    p.description = (
        "Opens M's dream in the browser, to be played by keys or fingers, or by C. The page is "
        "the one that export writes, served to this machine alone."
    )
    p.epilog = "example: world-models play ENV"
    p.add_argument("environment", choices=catalogue.names())
    p.add_argument(
        "--port",
        type=values.port,
        default=8700,
        metavar="N",
        help="default %(default)s, or the next that is free",
    )
    p.add_argument(
        "--no-browser", dest="browser", action="store_false", help="print the address alone"
    )
    _page(p)


def _page(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--ends",
        choices=("threshold", "drawn"),
        help="how the dream ends, until the player chooses; default: as when C was evolved",
    )
    p.add_argument(
        "--seed",
        type=values.seed,
        default=1,
        metavar="S",
        help="of the game's episode beside the dream; default 1",
    )
    _models(p)


def _models(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--models",
        type=Path,
        metavar="FOLDER",
        help="default: models/ENV if it holds an agent, else released/ENV",
    )


def _agent(p: argparse.ArgumentParser) -> None:
    p.add_argument("environment", choices=catalogue.names())
    p.add_argument("--episodes", type=values.positive, default=1, metavar="N", help="default 1")
    p.add_argument(
        "--seed", type=values.seed, default=1, metavar="S", help="of the first; default 1"
    )
    p.add_argument("--video", type=Path, metavar="FILE", help="write an .mp4 or a .gif")
    _models(p)
    values.for_programs(p)
