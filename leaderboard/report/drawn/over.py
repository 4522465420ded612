"""Columns whose names differ in a number alone (horizons, cells), as lines over that number, a panel a measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from leaderboard.board import Row
from leaderboard.report.drawn.canvas import Sheet, sheet
from leaderboard.report.drawn.ground import Ground, interval_of, numbered, point, range_said, said
from leaderboard.report.drawn.ink import DASHDOT, FG, Look
from leaderboard.report.drawn.lines import LINE_HEIGHT, Point, line, names
from leaderboard.report.figure import Figure
from leaderboard.shown import unit
from leaderboard.view import Column, TaskView


@dataclass(frozen=True)
class Panel:
    """One measure.

    Attributes:
        pattern: name of its columns, `#` for the number.
        title: above the panel.
        null: a column that stands beside each row's first point: what it would be without structure.
        reference: columns that are no row's, by the same number; drawn once where they are the same for all.
    """

    pattern: str
    title: str
    null: str = ""
    reference: str = ""
    reference_name: str = ""


@dataclass(frozen=True)
class Read:
    """A panel's columns by number, and what stands beside them."""

    panel: Panel
    columns: Mapping[int, Column]
    null: Column | None = None
    references: Mapping[int, Column] = field(default_factory=dict)

    @staticmethod
    def of(view: TaskView, panel: Panel) -> Read | None:
        """None where fewer than two columns have a value: no line."""
        columns = {n: c for n, c in numbered(view, panel.pattern).items() if any(k.interval for k in c.cells.values())}
        if len(columns) < 2:
            return None
        null = next((c for c in view.columns if c.card.name == panel.null), None)
        references = numbered(view, panel.reference) if panel.reference else {}
        return Read(panel, columns, null, {n: c for n, c in references.items() if n in columns})

    def points(self, row: Row) -> list[Point]:
        """The row's values, where it has them."""
        return [point(n, found) for n, c in self.columns.items() if (found := interval_of(c, row))]

    def reference_of(self, row: Row) -> list[tuple[float, float]]:
        return [(n, found.value) for n, c in self.references.items() if (found := interval_of(c, row))]


def drawn(
    ground: Ground, view: TaskView, panels: Sequence[Panel], name: str, title: str, caption: str, x: tuple[str, str]
) -> list[Figure]:
    """The figure, or none where no row has a value.

    Args:
        x: what the number is, as in "horizon", and its unit.
    """
    reads = [read for panel in panels if (read := Read.of(view, panel))]
    rows = [row for row in view.rows if any(read.points(row) for read in reads)]
    if not rows:
        return []
    shown = ground.chosen(rows)
    count = max(len(shown), 4) + 2
    alt = _alt(ground, reads, rows, title, x)
    with sheet(max(3.4, 0.9 + 1.15 * LINE_HEIGHT * count), len(reads)) as page:
        _paint(page, ground, reads, shown, x)
        svg = page.svg(f"{ground.prefix}-{name}", alt)
    headers, body = _table(ground, reads, rows, x)
    caption += ground.controls_said(shown) + ground.left_out(rows)
    return [Figure(name, title, caption, alt, svg, headers, body)]


def _paint(page: Sheet, ground: Ground, reads: Sequence[Read], rows: Sequence[Row], x: tuple[str, str]) -> None:
    last_of: dict[str, tuple[float, float]] = {}
    looks = dict(ground.looks)
    for axes, read in zip(page.axes, reads, strict=True):
        ticks = sorted(read.columns)
        axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [str(n) for n in ticks])
        axes.minorticks_off()
        axes.set_xlabel(" in ".join(filter(None, x)))
        card = next(iter(read.columns.values())).card
        axes.set_title(" in ".join(filter(None, (read.panel.title, unit(card)))), loc="left")
        ends: dict[str, tuple[float, float]] = {}
        # controls first, so that models lie on them
        for row in sorted(rows, key=lambda r: not ground.board.control(r)):
            label, points = ground.names[row.name], read.points(row)
            if not points:
                continue
            line(axes, label, points, ground.looks[label])
            if null := interval_of(read.null, row):
                axes.plot([ticks[0]], [null.value], marker="_", ms=9, color=ground.looks[label].color, clip_on=False)
            ends[label] = points[-1][:2]
        for label, curve in _references(ground, read, rows).items():
            looks[label] = Look(FG, "", DASHDOT, False)
            axes.plot(*zip(*curve, strict=True), color=FG, linestyle=DASHDOT, linewidth=0.9)
            ends[label] = curve[-1]
        axes.set_xlim(ticks[0] / 1.12, ticks[-1] * 1.06)
        last_of = ends
    # names stand at the right of all panels
    names(page.axes[-1], last_of, looks)


def _references(ground: Ground, read: Read, rows: Sequence[Row]) -> dict[str, list[tuple[float, float]]]:
    """Name → curve; one where all rows have the same."""
    found: dict[tuple[tuple[float, float], ...], list[str]] = {}
    for row in rows:
        if curve := read.reference_of(row):
            key = tuple((n, round(value, 9)) for n, value in curve)
            found.setdefault(key, []).append(ground.names[row.name])
    alone = len(found) == 1
    name = read.panel.reference_name
    return {name if alone else f"{name}, {who[0]}": list(curve) for curve, who in found.items()}


def _table(
    ground: Ground, reads: Sequence[Read], rows: Sequence[Row], x: tuple[str, str]
) -> tuple[list[str], list[list[str]]]:
    columns: list[tuple[str, Column]] = []
    for read in reads:
        for n, column in read.columns.items():
            columns.append((f"{read.panel.title}, {n} {x[1] or x[0]}", column))
        if read.null is not None:
            columns.append((f"{read.panel.title}, permuted frames", read.null))
    seen = {id(column) for _, column in columns}
    for read in reads:
        extra = {n: c for n, c in read.references.items() if id(c) not in seen}
        seen |= {id(c) for c in extra.values()}
        columns += [(f"{read.panel.reference_name}, {n} {x[1] or x[0]}", c) for n, c in extra.items()]
    headers = [" ".join(filter(None, (head, unit(c.card)))) for head, c in columns]
    body = [[row.name, *(said(c.card, interval_of(c, row)) for _, c in columns)] for row in rows]
    return ["row", *headers], body


def _alt(ground: Ground, reads: Sequence[Read], rows: Sequence[Row], title: str, x: tuple[str, str]) -> str:
    parts = [f"{title}: lines of {len(rows)} rows."]
    for read in reads:
        number, column = next(iter(read.columns.items()))
        values = {ground.names[r.name]: f.value for r in rows if (f := interval_of(column, r))}
        if values:
            at = f"at {number} {x[1]}" if x[1] else f"with {number} {x[0]}"
            parts.append(f"{read.panel.title} {at}: {range_said(values, unit(column.card))}.")
    return " ".join(parts)
