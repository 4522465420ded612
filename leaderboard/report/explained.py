"""What a column means, in words: question, unit, direction, aggregate, and where its formula is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points

from bench.config import ColumnCard, TaskCard
from leaderboard.headings import GROUP
from leaderboard.shown import arrow, unit
from leaderboard.text import plain

DIRECTIONS = {
    "higher": "higher is better",
    "lower": "lower is better",
    "one": "nearest to 1 is best",
    "none": "not judged: neither direction is better",
}
_HORIZON = re.compile(r"_(\d+)ms$")


@dataclass(frozen=True)
class Explained:
    """A column's help. `formula` is the address of the task's page, or "", and `source` the path of its card."""

    title: str
    name: str
    unit: str
    arrow: str
    direction: str
    aggregate: str
    use: str
    help: str
    question: str
    formula: str
    source: str


def sources(tasks: set[str]) -> dict[str, str]:
    """Task → the path of its card in the source tree, of installed tasks."""
    return {e.name: e.module.replace(".", "/") + ".toml" for e in entry_points(group=GROUP) if e.name in tasks}


def explained(
    card: ColumnCard, task: str, known: TaskCard | None, places: Mapping[str, str], docs_url: str
) -> Explained:
    """The help of one column of a task, whose card is `known` where it is of the table's version."""
    middle = "median of the differences" if card.aggregate == "median" else "mean"
    said = "median over utterances" if card.aggregate == "median" else "weighted mean over utterances"
    measured = unit(card)
    recorded = f" (records hold {card.unit})" if card.unit not in (measured, "1", "") else ""
    ranked = (
        f"ranked; paired differences are of the {middle}" if card.ranked and card.better != "none" else "not ranked"
    )
    return Explained(
        title=plain(card.title),
        name=f"{task}:{card.name}",
        unit=(plain(measured) or "a plain number") + plain(recorded),
        arrow=arrow(card),
        direction=DIRECTIONS[card.better],
        aggregate=said,
        use=ranked,
        help=plain(card.help, 2000),
        question=plain(known.question) if known else "",
        formula=f"{docs_url.rstrip('/')}/tasks/{task}.html" if docs_url and task in places else "",
        source=places.get(task, ""),
    )


def horizon(name: str) -> tuple[str, int | None]:
    """A column's name without its horizon, and the horizon in ms.

    >>> horizon("gain_80ms"), horizon("rate")
    (('gain', 80), ('rate', None))
    """
    found = _HORIZON.search(name)
    return (name[: found.start()], int(found.group(1))) if found else (name, None)
