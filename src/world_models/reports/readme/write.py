"""Write the page: from the card and the data alone, so equal folders get equal bytes.

The card's checksums cover neither the page nor its pictures: another wording changes no digest, so
no run, release or resume state comes to look as if its data had changed.
"""

from pathlib import Path

import yaml

from world_models.reports.readme import front_matter, models, rollouts, sheet, tables
from world_models.storage import atomic, cards
from world_models.storage.artifact import Card
from world_models.storage.episodes import EpisodeReader

PAGES = Path(__file__).parent
"""Where ``<kind>.md`` lie, pages with names in braces where facts belong."""


def write_readme(folder: Path) -> None:
    """Write ``README.md``, and for episodes ``frames.png``, into a folder that a stage wrote.

    The front matter is Hugging Face's, so that the folder can be uploaded as it is.

    Raises:
        InputError: it is no artifact, or its data cannot be read.
        UserError: the disk is full or may not be written.
    """
    card = cards.read(folder)
    if card.kind == "rollouts":
        with EpisodeReader(folder) as reader, atomic.atomic_file(folder / cards.SHEET) as draft:
            sheet.write(draft, sheet.frames(reader))
    atomic.write(folder / cards.README, text(folder, card).encode())


def text(folder: Path, card: Card) -> str:
    """The page, Markdown with front matter."""
    own = rollouts.facts(folder, card) if card.kind == "rollouts" else models.facts(folder, card)
    page = (PAGES / f"{card.kind}.md").read_text(encoding="utf-8")
    facts = {
        "environment": card.environment,
        "title": tables.title(card.environment),
        "metrics": tables.metrics(card.metrics),
        "made": _made(card),
        "files": tables.files(folder, card),
        **own,
    }
    return front_matter.text(card, facts["title"]) + page.format(**facts)


def _made(card: Card) -> str:
    """The command and the parameters; of an import, where it is from."""
    if "source" in card.details:
        said = yaml.safe_dump(card.details["source"], allow_unicode=True, sort_keys=True)
        return f"Imported by `world-models data import` from:\n\n```yaml\n{said}```"
    block = {card.environment: {card.stage: card.parameters}}
    said = yaml.safe_dump(block, allow_unicode=True, sort_keys=True, default_flow_style=None)
    return (
        f"Stage `{card.stage}` of the pipeline, `dvc repro {card.stage}@{card.environment}`, with "
        f"these values in `params.yaml`:\n\n```yaml\n{said}```{_upstream(card)}"
    )


def _upstream(card: Card) -> str:
    if not card.lineage:
        return ""
    names = ", ".join(f"`{name}`" for name in sorted(card.lineage))
    return (
        f"\n\nIt builds on what these stages made: {names}. Their parameters and metrics are in "
        "`card.json`, under `lineage`."
    )
