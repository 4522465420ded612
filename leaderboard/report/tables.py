"""Boards as the page shows them: the cells of a table with their marks, and what stands around it in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.config import ColumnCard, TaskCard
from bench.stats import Interval
from leaderboard import words
from leaderboard.board import Board, Row
from leaderboard.cited import figure
from leaderboard.references import Reference, References, about, plugin_of
from leaderboard.report.explained import Explained, explained
from leaderboard.report.names import slug
from leaderboard.shown import ARROWS, SIGNS, arrow, bounds, number, unit
from leaderboard.text import plain
from leaderboard.view import Cell, Column, TaskView


@dataclass(frozen=True)
class Shown:
    """One cell. `kind` is its style; `mark` a sign before the value; `sort` what to sort by, "" for nothing."""

    kind: str
    mark: str = ""
    value: str = ""
    bounds: str = ""
    ranks: str = ""
    sort: str = ""
    why: str = ""


@dataclass(frozen=True)
class Line:
    """One row of a table."""

    row: Row
    page: str
    marks: Sequence[tuple[str, str]]
    control: str
    cells: Sequence[Shown]


@dataclass(frozen=True)
class Heading:
    """One column's head. `first` is the direction that a first click sorts in."""

    title: str
    below: str
    headline: bool
    first: str
    help: Explained


@dataclass(frozen=True)
class Published:
    """Published figures that concern a task, as they were printed."""

    reference: Reference
    heads: Sequence[str]
    rows: Sequence[tuple[str, str, Sequence[str]]]


@dataclass(frozen=True)
class Table:
    """One task of a board."""

    anchor: str
    name: str
    title: str
    version: int
    question: str
    headings: Sequence[Heading]
    models: Sequence[Line]
    controls: Sequence[Line]
    notes: Sequence[str]
    published: Sequence[Published]

    @property
    def more(self) -> int:
        """How many columns are no headline."""
        return sum(not heading.headline for heading in self.headings)


@dataclass(frozen=True)
class Leader:
    """Who leads in one column, and how many the utterances cannot tell from it."""

    column: str
    unit: str
    row: str
    page: str
    value: str
    tied: Sequence[str]
    of: int


def named(name: str) -> str:
    """A row's name in running text."""
    return plain(name, 60) or "?"


def row_page(row: Row) -> str:
    """The page of a row, from the site's root."""
    record = row.record
    return f"rows/{slug(record.submission.name, record.codec.name, record.dataset.name, record.suite)}.html"


def table(
    board: Board,
    view: TaskView,
    cards: Mapping[str, TaskCard],
    places: Mapping[str, str],
    references: References | None,
    docs_url: str,
) -> Table:
    """One task of a board with everything that is said of it."""
    card = cards.get(view.name)
    known = card if card is not None and card.version == view.version else None
    lines = [_line(board, view, row) for row in view.rows]
    return Table(
        anchor=slug(board.suite, board.dataset, board.codec, view.name),
        name=view.name,
        title=plain(known.title) if known else view.name,
        version=view.version,
        question=plain(known.question) if known else "",
        headings=[_heading(c, explained(c.card, view.name, known, places, docs_url)) for c in view.columns],
        models=[line for line in lines if not line.control],
        controls=[line for line in lines if line.control],
        notes=words.footnotes(view, named),
        published=_published(references, view.name, board.codec) if references else (),
    )


def leaders(view: TaskView, board: Board) -> list[Leader]:
    """The leader of each ranked headline column."""
    pages = {row.name: row_page(row) for row in board.rows}
    found = []
    for column in view.columns:
        best, card = column.judged.best, column.card
        cell = column.cells.get(best)
        if card.headline and cell is not None and cell.interval is not None:
            tied = [n for n, c in column.cells.items() if c.rank == "tied"]
            count = len(column.judged.differences) + 1
            title = " ".join(part for part in (plain(card.title), arrow(card)) if part)
            found.append(Leader(title, unit(card), best, pages[best], _text(cell, card), tied, count))
    return found


def _text(cell: Cell, card: ColumnCard) -> str:
    assert cell.interval is not None
    value = SIGNS[cell.bound] + number(cell.interval.value, card.decimals)
    return f"{value} {bounds(cell.interval, card.decimals)}"


def _heading(column: Column, help: Explained) -> Heading:
    card = column.card
    below = " ".join(
        p for p in ("median" if card.aggregate == "median" else "", plain(unit(card), 24), arrow(card)) if p
    )
    first = "ascending" if card.better in ("lower", "one") else "descending"
    return Heading(plain(card.title, 72), below, card.headline, first, help)


def _line(board: Board, view: TaskView, row: Row) -> Line:
    marks = []
    if row.new:
        marks.append(("new", "from the folder laid over the committed records"))
    if not row.trained:
        marks.append(("untrained", "a codec with random weights, never ranked"))
    if not row.believed:
        marks.append((words.UNBELIEVED, "no passed self-test for this code"))
    if row.record.environment.dirty:
        marks.append(("dirty", "made from a checkout with changes that no commit has"))
    cells = [shown(column, row) for column in view.columns]
    return Line(row, row_page(row), marks, view.controls.get(row.name, ""), cells)


def shown(column: Column, row: Row) -> Shown:
    """One cell with the marks of the terminal's table."""
    cell, card = column.cells[row.name], column.card
    if cell.interval is None:
        why = plain(cell.reason)
        if cell.status == "failed":
            return Shown("failed", value="failed", why=why)
        return Shown("none", value="–", why=f"skipped: {why}" if cell.status == "skipped" else why)
    ranks = column.judged.ranks.get(row.name)
    kind = "partial" if cell.unscored else (cell.rank or "plain")
    mark = {"partial": "†", "tied": "="}.get(kind, "")
    why = ""
    if cell.unscored:
        counts = ", ".join(f"{count} × {plain(reason)}" for reason, count in cell.unscored.items())
        why = f"{sum(cell.unscored.values())} of {cell.attempted} utterances without a value ({counts}); not ranked"
    return Shown(
        kind=kind,
        mark=mark,
        value=SIGNS[cell.bound] + number(cell.interval.value, card.decimals),
        bounds=bounds(cell.interval, card.decimals),
        ranks="" if ranks is None else f"{ranks[0]}–{ranks[1]}" if ranks[1] > ranks[0] else str(ranks[0]),
        sort=_sort(card, cell.interval),
        why=why,
    )


def _sort(card: ColumnCard, interval: Interval) -> str:
    value = abs(interval.value - 1.0) if card.better == "one" else interval.value
    return f"{value:.12g}"


def _published(references: References, task: str, codec: str) -> list[Published]:
    """Figures on this codec in full, and others with their headline, as under the terminal's table."""
    mine = about(references.references, plugin_of(codec), task)
    done = {reference.name for reference in mine}
    chosen = [(reference, reference.metrics) for reference in mine]
    others = [reference for reference in about(references.references, task=task) if reference.name not in done]
    chosen += [(reference, reference.headline) for reference in others if reference.headline]
    found = []
    for reference, metrics in chosen:
        known = [references.metrics[name] for name in metrics]
        heads = [" ".join(p for p in (m.title, "" if m.unit == "1" else m.unit, ARROWS[m.better]) if p) for m in known]
        rows = [
            (r.model, r.codec, [figure(r.values[m]) if m in r.values else "–" for m in metrics])
            for r in reference.rows
            if any(m in r.values for m in metrics)
        ]
        found.append(Published(reference, heads, rows))
    return found
