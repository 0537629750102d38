"""Values of options: numbers in their ranges, told in words where they are not."""

import argparse
import math

from world_models.seeding import LARGEST


def positive(text: str) -> int:
    """An integer from 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is below 1")
    return value


def several(text: str) -> int:
    """An integer from 2."""
    value = int(text)
    if value < 2:
        raise argparse.ArgumentTypeError(f"{value} is below 2, and one episode has no spread")
    return value


def seed(text: str) -> int:
    """A seed of an episode."""
    value = int(text)
    if not 0 <= value <= LARGEST:
        raise argparse.ArgumentTypeError(f"{value} is not in 0 … {LARGEST}")
    return value


def port(text: str) -> int:
    """A port of TCP."""
    value = int(text)
    if not 1 <= value <= 65_535:
        raise argparse.ArgumentTypeError(f"{value} is not in 1 … 65535")
    return value


def days(text: str) -> float:
    """A number of days from 0."""
    value = float(text)
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{value} is no number of days from 0")
    return value


def temperature(text: str) -> float:
    """τ in (0, 10]."""
    value = float(text)
    if not 0 < value <= 10:
        raise argparse.ArgumentTypeError(f"{value} is not in (0, 10]")
    return value


def for_programs(p: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    p.add_argument("--json", action="store_true", help="for programs, on standard output")
