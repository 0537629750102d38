"""The model card of a release: a page of Markdown, made from its artifacts' cards and scores."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from world_models.agent import PARTS
from world_models.envs import catalogue
from world_models.evaluation import published
from world_models.evaluation.published import Published
from world_models.reports import results
from world_models.seeding import FRESH
from world_models.storage import artifact, tensors
from world_models.storage.artifact import Card

README = "README.md"
PAGE = Path(__file__).with_suffix(".md")
"""The page, with names in braces where facts belong."""
ROUNDS = (
    "\n\nLater rounds add their episodes to those from before. A part that a round does "
    "not list stays as it was."
)
HOW = ("precision", "device", "formulation")
"""Details of a card that are no shape."""
_EPISODES = "{m[episodes]:,} episodes, {m[frames]:,} frames, mean return {m[return_mean]:.0f}"
STAGES = {
    artifact.IMPORT: ("episodes of a Minari data set", _EPISODES),
    "rollouts": ("random policy `{p[behaviour]}`, at most {p[max_steps]:,} steps", _EPISODES),
    "collect": ("the agent of the round before, {p[noise]:.0%} of its steps random", _EPISODES),
    "vae": (
        "V: {p[steps]:,} steps on {p[batch_size]} frames",
        "held out: squared error of an image {m[reconstruction]:.1f}, KL {m[kl]:.1f}",
    ),
    "joint": (
        "V, with M's losses × {p[memory_weight]}: {p[steps]:,} steps on {p[batch_size]} sequences",
        "held out: squared error of an image {m[reconstruction]:.1f}, KL {m[kl]:.1f}",
    ),
    "encode": ("V sees all episodes so far", "{m[episodes]:,} episodes, {m[frames]:,} frames"),
    "mdnrnn": (
        "M: {p[steps]:,} steps on {p[batch_size]} sequences of {p[sequence_length]} frames",
        "held out: NLL of a dimension {m[nll]:.3f}",
    ),
    "evolve": (
        "C: {ahead}{p[optimiser]}, {p[generations]} × {p[population]} × {p[rollouts]} {where}",
        "generation {m[generation]} kept, validation {m[validation]:.0f}; {m[steps]:,} steps",
    ),
}
"""What a stage did and what came of it; p are its parameters, m its metrics."""
AHEAD = (
    "{p[lookahead_rounds]} rounds of looking ahead for {p[lookahead_steps]} steps from "
    "{p[lookahead_moments]:,} moments; then "
)


def text(folder: Path, environment: str) -> str:
    """The page of the release in ``folder``, Markdown.

    Raises:
        InputError: the release is incomplete or damaged.
    """
    said = published.read(folder, environment)
    cards = {part: artifact.open_artifact(folder / part, part, environment) for part in PARTS}
    rows = list(_history(cards["controller"]))
    return PAGE.read_text(encoding="utf-8").format(
        name=environment,
        title=catalogue.specification(environment).title,
        scores=_table(_scores(said)),
        tau=said.tau,
        ends=said.ends,
        seen="a sample of z" if said.latent == "sample" else "the mean of z",
        figures=_figures(said.scores["agent"]),
        notes="".join(f"\n\n{note}" for note in said.notes),
        fresh=FRESH,
        parts=_table(_part(folder / part, card) for part, card in cards.items()),
        history=_table(rows),
        rounds=ROUNDS if rows[-1]["round"] != "1" else "",
        cost=said.cost or "Not recorded.",
    )


def _table(rows: Iterable[Mapping[str, str]]) -> str:
    return pd.DataFrame(list(rows)).to_markdown(index=False, disable_numparse=True)


def _scores(said: Published) -> Iterator[dict[str, str]]:
    for policy in (name for name in results.POLICIES if name in said.scores):
        row = results.row(said.environment, policy, said.scores[policy])
        yield {key: value for key, value in row.items() if key not in ("environment", "command")}


def _figures(agent: Mapping[str, float]) -> str:
    """Means and shares that the simulator counted over the agent's episodes."""
    figures = sorted(agent.keys() - {"mean", "sd", "se", "n", "length"})
    said = ", ".join(f"{name.replace('_', ' ')} {agent[name]:.3g}" for name in figures)
    return f"\n\nMeans over the trained agent's episodes: {said}." if said else ""


def _part(folder: Path, card: Card) -> dict[str, str]:
    weights = [name for name in card.files if "initial" not in name]  # M's first frames are data
    count = sum(array.size for name in weights for array in tensors.load(folder / name).values())
    size = sum((folder / name).stat().st_size for name in card.files)
    shape = card.details.get("spec", card.details)
    return {
        "part": f"`{card.kind}`",
        "weights": f"{count:,}",
        "MB": f"{size / 1e6:.3f}",
        "precision": card.details.get("precision", "float32"),
        "shape": ", ".join(f"{key} {value}" for key, value in shape.items() if key not in HOW),
    }


def _history(card: Card) -> Iterator[dict[str, str]]:
    """A row for each stage of each round, the first round first."""
    stages = card.lineage | {card.stage: {"parameters": card.parameters, "metrics": card.metrics}}
    age = {name: name.count("before.") for name in stages}
    kind = {name: name.rpartition("before.")[2] for name in stages}
    seen: list[Mapping[str, Any]] = []
    for name in sorted(stages, key=lambda name: (-age[name], artifact.ORDER.index(kind[name]))):
        if stages[name] not in seen:  # a later round names the data of earlier ones again
            seen.append(stages[name])
            did, came = _row(kind[name], stages[name])
            number = max(age.values()) + 1 - age[name]
            yield {"round": str(number), "stage": kind[name], "what": did, "result": came}


def _row(stage: str, content: Mapping[str, Any]) -> list[str]:
    p = content["parameters"]
    reality = p.get("world") == "reality"
    place = "the simulator" if reality else f"M's dream, τ {p.get('tau')}"
    where = f"episodes, in {place}"
    facts = {"p": p, "m": content["metrics"], "where": where}
    facts["ahead"] = _say(AHEAD, facts) if p.get("lookahead_rounds") else ""
    return [_say(template, facts) for template in STAGES[stage]]


def _say(template: str, facts: Mapping[str, Any]) -> str:
    """Fill in facts; the card of another release may lack some."""
    try:
        return template.format(**facts)
    except (KeyError, TypeError, ValueError):
        return "not recorded"
