"""What Hugging Face's hub reads at the top of a README.md; https://huggingface.co/docs/hub."""

from typing import Any

import yaml

from world_models.storage import cards
from world_models.storage.artifact import Card

LICENCE = "mit"
"""Of what this project makes; imported data say theirs in the card's details."""
_MILLION = 1_000_000
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (_MILLION, "100K<n<1M"))
_CONTENT = {"rollouts": "episodes", "latents": "episodes, encoded by V"}


def text(card: Card, title: str) -> str:
    """The block between two lines of dashes, with what the hub knows of a data set or a model."""
    common = {
        "license": card.details.get("licence", LICENCE),
        "tags": ["world-models", "gymnasium", card.environment, "arxiv:1803.10122"],
    }
    own = _data_set(card, title) if card.kind in cards.DATA_SETS else _model(card, title)
    said = yaml.safe_dump({**common, **own}, allow_unicode=True, sort_keys=False)
    return f"---\n{said}---\n\n"


def _data_set(card: Card, title: str) -> dict[str, Any]:
    frames = int(card.metrics["frames"])
    found = next((name for limit, name in _SIZES if frames < limit), "n>1M")
    about: dict[str, Any] = {
        "pretty_name": f"{title}: {_CONTENT[card.kind]}",
        "task_categories": ["reinforcement-learning"],
        "size_categories": [found],
    }
    if card.kind == "rollouts":  # what the hub's viewer shows: a row for each episode
        about["configs"] = [{"config_name": "episodes", "data_files": "index.parquet"}]
    else:
        about["viewer"] = False
    return about


def _model(card: Card, title: str) -> dict[str, Any]:
    about: dict[str, Any] = {
        "library_name": "world-models",
        "pipeline_tag": "reinforcement-learning",
    }
    if card.kind == "controller" and "validation" in card.metrics:
        about["model-index"] = [_index(card, title)]
    return about


def _index(card: Card, title: str) -> dict[str, Any]:
    """The validated return, as a result of the kind that the hub lists."""
    task = "reinforcement-learning"
    metric = {
        "type": "mean_reward",
        "name": "return of the validation episodes that chose it",
        "value": round(float(card.metrics["validation"]), 2),
        "verified": False,
    }
    world = card.parameters.get("world", "reality")  # a return in a dream is none of the game
    where = {"name": f"{title}, in {world}", "type": f"{card.environment}-{world}"}
    result = {
        "task": {"type": task, "name": task},
        "dataset": where,
        "metrics": [metric],
    }
    return {"name": f"C of {title}", "results": [result]}
