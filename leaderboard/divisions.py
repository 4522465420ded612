"""Which rows of a table are of the open division, and what they disclose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from bench.config import DisclosureCard, TaskCard
from bench.division import Division, division, undisclosed
from bench.record import Record
from leaderboard.board import Row
from leaderboard.headings import installed_cards, installed_suite
from leaderboard.text import plain


def division_of(record: Record) -> Division:
    """The division of a row, by the installed suites and task cards."""
    return division(record, installed_suite(record.suite), _cards(frozenset(record.tasks)))


@cache
def _cards(tasks: frozenset[str]) -> dict[str, TaskCard]:
    # once for all rows of a suite: a card takes longer to read than a row to judge
    return installed_cards(tasks)


def remarks(rows: Iterable[Row], named: Callable[[str], str]) -> list[str]:
    """One line for all open rows of equal reasons; nothing where every row is closed."""
    groups: dict[str, list[str]] = {}
    every = list(rows)
    for row in every:
        found = division_of(row.record)
        if found.reasons:
            groups.setdefault("; ".join([*map(plain, found.reasons), *_disclosed(row.record)]), []).append(row.name)
    return [
        f"open division: {'all rows' if 1 < len(names) == len(every) else ', '.join(map(named, names))} ({why})"
        for why, names in groups.items()
    ]


def _disclosed(record: Record) -> list[str]:
    said = record.submission.disclosure
    if said is None:
        return ["disclosed in words alone"] if undisclosed(record) else []
    return [plain(words(said))]


def words(said: DisclosureCard) -> str:
    """Hours, languages and overlap in one line; the weights from elsewhere are among the reasons."""
    languages = ", ".join(said.training_languages) or "no language"
    return f"{said.training_hours:,g} h of {languages}; overlap with the test split: {said.overlap}"
