"""What is heard of the models and what it costs: one table between ceiling and floor, who is ahead, and the frontier.

The recording, the codec's resynthesis and frames without order are columns of every record of the task `generation`;
here they are rows, so that a model stands between what it cannot pass and what it must.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tabulate import tabulate

from bench.config import ColumnCard
from bench.errors import BenchError, RecordError
from bench.record import ColumnValues, Record
from bench.stats import Interval, interval
from leaderboard.board import Board, Row, boards
from leaderboard.compare import difference
from leaderboard.drawing import FIRST, INK, STYLE
from leaderboard.frontier import COST, Swept, swept
from leaderboard.headings import installed_cards
from leaderboard.shown import arrow, bounds, factor, number, scaled, unit
from leaderboard.text import markdown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GENERATION = "generation"
LABEL_WIDTH, LABEL_HEIGHT = 3.5, 1.13
"""Factors that a label of the frontier covers on either axis."""


class Shown(NamedTuple):
    """A column of a table: of which task, and which columns hold the references' values of the same thing."""

    task: str
    column: str
    reference: str = ""


TABLES: dict[str, tuple[Shown, ...]] = {
    "Continuations": tuple(
        Shown(GENERATION, f"continuation_{name}", f"continuation_{{route}}_{name}")
        for name in ("kad", "dnsmos", "speaker", "f0_shift", "loop", "silence")
    ),
    "Every frame drawn given the true past": tuple(
        Shown(GENERATION, f"resampled_{name}", f"whole_{{route}}_{name}")
        for name in ("wer_open", "wer_closed", "dnsmos", "speaker", "mel", "mcd", "f0_error", "voicing_error")
    ),
    "Spoken texts": tuple(
        Shown(GENERATION, f"text_{name}", f"whole_{{route}}_{name}")
        for name in ("wer_open", "wer_closed", "dnsmos", "speaker", "capped")
    ),
    "Cost": tuple(
        Shown(COST, name)
        for name in ("cost_at_quality", "share_reached", "gflops", "gflops_backbone", "gflops_head", "gflops_z_rec")
    ),
}
BRIEF = (
    Shown(GENERATION, "continuation_kad", "continuation_{route}_kad"),
    Shown(GENERATION, "resampled_wer_open", "whole_{route}_wer_open"),
    Shown(GENERATION, "text_wer_closed", "whole_{route}_wer_closed"),
    Shown(COST, "share_reached"),
    Shown(COST, "cost_at_quality"),
    Shown(COST, "gflops"),
)
ROUTES = {"original": "the recording", "codec": "the codec", "marginal": "frames without order"}
AHEAD = ("continuation_kad", "continuation_dnsmos", "resampled_wer_open", "text_wer_closed")
"""Columns of which is said who is ahead."""


def report(records: Iterable[Record], suite: str = "generation", brief: bool = False) -> str:
    """Markdown: the tables, and who is ahead by how much.

    Args:
        brief: one table of a column each for quality, words and cost.

    Raises:
        RecordError: no record of `suite`.
    """
    board = _board(records, suite)
    rows = sorted(board.rows, key=lambda row: (bool(board.control(row)), _order(row), row.name))
    models = [row for row in rows if not board.control(row)]
    if brief:
        parts = _table("", rows, BRIEF)
    else:
        parts = [part for title, columns in TABLES.items() for part in _table(title, rows, columns)]
        parts += [line for name in AHEAD if (line := _ahead(models, name))]
    label = next((found.label for row in rows for c in TABLES["Continuations"] if (found := _interval(row, c))), "")
    if label:
        parts.append(f"{label}.")
    return "\n\n".join(parts)


def _order(row: Row) -> float:
    """Nearest to real speech first."""
    found = _interval(row, BRIEF[0])
    return float("inf") if found is None else found.value


def _board(records: Iterable[Record], suite: str) -> Board:
    found = [board for board in boards(records) if board.suite == suite]
    if not found:
        command = f"`bench run --submission raw_ar_v1 --suite {suite} --records leaderboard/records`"
        raise RecordError(f"heard: no record of suite {suite!r}; {command} makes one")
    return found[0]


# --- tables ------------------------------------------------------------------------------------------------


def _table(title: str, rows: Sequence[Row], columns: Sequence[Shown]) -> list[str]:
    """The heading and the table; nothing where no row has any of the columns."""
    cards = {c: found.column for c in columns for row in rows if (found := _values(row, c.task, c.column))}
    # that nobody reached the target is an answer too
    unreached = {c for c in columns if c not in cards and any(_not_reached(row, c) for row in rows)}
    cards |= {c: card for c in unreached if (card := _installed(c)) is not None}
    cards = {c: cards[c] for c in columns if c in cards}
    if not cards:
        return []
    lines = []
    for route, name in ROUTES.items():
        cells = [_reference(rows, c, route) for c in cards]
        if any(cells):
            lines.append(
                [markdown(name), *(_written(cell, card) for cell, card in zip(cells, cards.values(), strict=True))]
            )
    ceiling, floor = lines[:-1], lines[-1:]
    models = [
        [markdown(row.name), *(_cell(row, c, card) for c, card in cards.items())]
        for row in rows
        if any(_values(row, c.task, c.column) or _not_reached(row, c) for c in cards)
    ]
    heads = [
        markdown(" ".join(filter(None, (_head(c, card, title), unit(card), arrow(card))))) for c, card in cards.items()
    ]
    align = ["left", *("right" for _ in cards)]
    body = [*ceiling, *models, *floor]
    table = tabulate(body, headers=["", *heads], tablefmt="pipe", disable_numparse=True, colalign=align)
    return [f"### {title}", table] if title else [table]


def _head(column: Shown, card: ColumnCard, title: str) -> str:
    """What a column is called; under a title that says of which mode, without that."""
    if column.task == GENERATION and title:
        return card.title.rpartition(",")[0] or card.title
    return card.title


def _cell(row: Row, column: Shown, card: Any) -> str:
    found = _interval(row, column)
    if found is None:
        return "not reached" if _not_reached(row, column) else "–"
    return _written(found, card)


def _not_reached(row: Row, column: Shown) -> bool:
    entry = row.record.tasks.get(column.task)
    return entry is not None and entry.skipped_columns.get(column.column, "").startswith("not reached")


def _installed(column: Shown) -> ColumnCard | None:
    """The column in the installed task's card."""
    card = installed_cards([column.task]).get(column.task)
    return next((one for one in card.columns if one.name == column.column), None) if card else None


def _written(found: Interval | None, card: Any) -> str:
    if found is None:
        return "–"
    shown = scaled(found, factor(card, 1.0))
    if number(shown.low, card.decimals) == number(shown.high, card.decimals):
        return number(shown.value, card.decimals)
    return f"{number(shown.value, card.decimals)} {markdown(bounds(shown, card.decimals))}"


def _reference(rows: Sequence[Row], column: Shown, route: str) -> Interval | None:
    """The reference's value, from the first row that has it: it is the same for all."""
    if not column.reference:
        return None
    name = column.reference.format(route=route)
    return next((found for row in rows if (found := _interval(row, Shown(column.task, name)))), None)


def _values(row: Row, task: str, column: str) -> ColumnValues | None:
    entry = row.record.tasks.get(task)
    found = entry.columns.get(column) if entry and entry.status == "scored" else None
    return found if found and found.values else None


def _interval(row: Row, column: Shown) -> Interval | None:
    found = _values(row, column.task, column.column)
    return None if found is None else interval(found.values, row.speakers, found.weights, found.column.aggregate)


def _ahead(rows: Sequence[Row], name: str) -> str:
    """The best row of a column, and by how much it is ahead of the next."""
    found = {row.name: (row, values) for row in rows if (values := _values(row, GENERATION, name))}
    if len(found) < 2:
        return ""
    card = next(iter(found.values()))[1].column
    sign = -1.0 if card.better == "lower" else 1.0
    means = {n: _interval(row, Shown(GENERATION, name)) for n, (row, _) in found.items()}
    order = sorted(means, key=lambda n: -sign * means[n].value)  # type: ignore[union-attr]
    (first, a), (second, b) = ((n, found[n]) for n in order[:2])
    same = a[1].values.keys() == b[1].values.keys()
    gap = difference(card, b[1], a[1], a[0].speakers) if same else None
    if gap is None:
        return f"**{markdown(card.title)}**: {markdown(first)} before {markdown(second)}, not on the same utterances."
    apart = "told apart" if gap.low > 0 or gap.high < 0 else "not told apart"
    shown = scaled(gap, factor(card, 1.0))
    said = f"{number(shown.value, card.decimals)} {markdown(bounds(shown, card.decimals))} {unit(card)}".strip()
    return f"**{markdown(card.title)}**: {markdown(first)} before {markdown(second)} by {said}: {apart}."


# --- frontier ----------------------------------------------------------------------------------------------


def draw(records: Iterable[Record], suite: str = "generation") -> str:
    """SVG: quality over cost, a line a model through its frontier, every setting a point, and the target.

    Raises:
        BenchError: matplotlib is not installed, or no row has been swept.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BenchError("--figure: needs matplotlib: pip install 'latentbench[figures]'") from error
    board = _board(records, suite)
    found = [one for row in board.rows if not board.control(row) if (one := swept(row))]
    if not found:
        raise BenchError("--figure: expected rows whose cost was measured, got none")
    with mpl.rc_context(cast(Any, STYLE)):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.add_subplot()
        _frontiers(axes, found)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _frontiers(axes: Axes, found: Sequence[Swept]) -> None:
    target = found[0].target
    ends: dict[str, tuple[float, float]] = {}
    for one in found:
        points, best = ([(p.gflops, p.quality) for p in points] for points in (one.points, one.best))
        axes.plot(*zip(*points, strict=True), color=FIRST, marker="o", linestyle="", markersize=3, alpha=0.5)
        axes.plot(*zip(*best, strict=True), color=FIRST, linewidth=0.8)
        ends[one.row.name] = best[-1]
    for name, (end, place) in _placed(ends).items():
        arrow = {"arrowstyle": "-", "color": INK, "linewidth": 0.4}
        axes.annotate(name, end, place, fontsize=7, va="center", arrowprops=arrow if place[1] != end[1] else None)
    for name, value, style in (
        ("target", target.value, "-"),
        ("codec", target.ceiling, ":"),
        ("floor", target.floor, ":"),
    ):
        axes.axhline(value, color=INK, linewidth=0.6, linestyle=style)
        axes.annotate(name, (0, value), xycoords=("axes fraction", "data"), fontsize=7, va="bottom")
    axes.set_xscale("log")
    if axes.dataLim.y0 > 0:  # an unbiased distance may be below
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("GFLOP a second of audio, codec apart")
    axes.set_ylabel(f"{target.quality} of continuations" + (", 0 is real" if target.better < 0 else ""))
    axes.margins(x=0.25)


def _placed(ends: Mapping[str, tuple[float, float]]) -> dict[str, tuple[tuple[float, float], tuple[float, float]]]:
    """Name → its point and where its label begins, so that no label lies on another: both axes are logarithmic.

    >>> _placed({"a": (1.0, 50.0), "b": (1.1, 51.0)})["b"][1][1] > 51
    True
    """
    out: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {}
    for name, (x, y) in sorted(ends.items(), key=lambda item: item[1][1]):
        high = y
        beside = sorted(at for (other, _), (_, at) in out.values() if max(x / other, other / x) < LABEL_WIDTH)
        for taken in beside:
            if abs(math.log(high / taken)) < math.log(LABEL_HEIGHT):
                high = taken * LABEL_HEIGHT
        out[name] = (x, y), (x * 1.05, high)
    return out
