"""What came of harm, counted by its kind."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Outcome:
    """What came of one harm.

    Attributes:
        same: the outputs are what they were, byte for byte.
        remains: something is left that nobody needs.
        why: what should have held and did not; empty if all held.
    """

    same: bool = False
    remains: bool = False
    why: str = ""


@dataclass
class Row:
    """What came of harm of one kind."""

    tried: int = 0
    survived: int = 0
    equal: int = 0
    remains: int = 0
    why: list[str] = field(default_factory=list)

    def add(self, came: Outcome, number: int = 1) -> None:
        """Count an outcome, ``number`` times."""
        self.tried += number
        self.survived += number * (not came.why or came.same)
        self.equal += number * came.same
        self.remains += number * came.remains


def merged(parts: Iterable[Mapping[str, Row]]) -> dict[str, Row]:
    """The sums of equal rows."""
    total: dict[str, Row] = {}
    for part in parts:
        for name, row in part.items():
            into = total.setdefault(name, Row())
            into.tried += row.tried
            into.survived += row.survived
            into.equal += row.equal
            into.remains += row.remains
            into.why += row.why
    return total


def table(title: str, rows: Mapping[str, Row], *, outputs: bool = True) -> str:
    """A Markdown table."""
    head = ["tried", "went on, or refused with a cure", *(["same bytes", "left remains"] * outputs)]
    lines = [f"| {title} | {' | '.join(head)} |", f"|---|{'---|' * len(head)}"]
    for name, row in rows.items():
        numbers = [row.tried, row.survived, *([row.equal, row.remains] * outputs)]
        lines.append(f"| {name} | {' | '.join(map(str, numbers))} |")
    lines += [f"\n- {name}: {why}" for name, row in rows.items() for why in row.why]
    return "\n".join(lines)
