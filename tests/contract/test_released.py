"""What git carries in ``released/``: small, whole, and as its model cards say."""

from pathlib import Path

import pytest

from world_models.agent import RELEASED, Agent
from world_models.evaluation import published
from world_models.reports import model_card

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 30e6
"""Bytes of all releases together: everybody who clones the project loads them."""
RELEASES = sorted(path.parent for path in (ROOT / RELEASED).glob("*/release.json"))


def test_all_releases_together_are_small():
    files = [path for path in (ROOT / RELEASED).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LIMIT


def test_a_folder_is_a_release():
    folders = [path for path in (ROOT / RELEASED).iterdir() if path.is_dir()]
    assert sorted(folders) == RELEASES


@pytest.mark.parametrize("folder", RELEASES, ids=lambda folder: folder.name)
def test_release_loads_and_its_page_is_what_its_cards_say(folder):
    agent = Agent.load(folder, environment=folder.name)
    assert published.read(folder, folder.name).score().n >= 2
    assert agent.environment == folder.name
    page = (folder / model_card.README).read_text(encoding="utf-8")
    assert page == model_card.text(folder, folder.name)
