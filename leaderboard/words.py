"""What stands around a table in words: footnotes, legend, provenance, paired differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bench.stats import Interval
from leaderboard import divisions
from leaderboard.across import remarks
from leaderboard.board import Board, Row
from leaderboard.shown import bounds, number, unit
from leaderboard.text import plain
from leaderboard.view import Cell, Column, TaskView

Named = Callable[[str], str]
UNBELIEVED = "‡"
"""Marks a row whose estimators have no passed self-test."""


def footnotes(view: TaskView, named: Named) -> list[str]:
    """Why cells of this table are empty, partial or missing. Rows with equal reasons in equal columns share a line."""
    lines = empty_cells(view, named) + _column_notes(view, named)
    others: dict[str, list[str]] = {}
    for name, why in view.other.items():
        others.setdefault(plain(why), []).append(named(name))
    return lines + [f"not in this table: {', '.join(names)} ({why})" for why, names in others.items()]


def empty_cells(view: TaskView, named: Named) -> list[str]:
    """A line for each reason, with the rows and columns that it holds for."""
    notes: dict[tuple[str, str, str], list[str]] = {}
    for row in view.rows:
        for column in view.columns:
            cell = column.cells[row.name]
            mark, reason = _reason(cell)
            if reason:
                notes.setdefault((mark, named(row.name), reason), []).append(plain(column.card.title))
    for name, reasons in view.skipped.items():
        for row_name, reason in reasons.items():
            notes.setdefault(("–", named(row_name), f"skipped: {plain(reason)}"), []).append(plain(name))
    if not view.columns:
        for row in view.rows:
            entry = row.record.tasks.get(view.name)
            if entry is not None and entry.status != "scored":
                mark = "failed" if entry.status == "failed" else "–"
                notes.setdefault((mark, named(row.name), f"{entry.status}: {plain(entry.reason)}"), [])
    shared: dict[tuple[str, str, str], list[str]] = {}
    for (mark, name, reason), titles in notes.items():
        # a reason that holds for the whole row needs no list of columns
        where = f", {', '.join(titles)}" if titles and len(titles) != len(view.columns) else ""
        shared.setdefault((mark, where, reason), []).append(name)
    return [f"{mark} {_all_or(names, view)}{where}: {reason}" for (mark, where, reason), names in shared.items()]


def _all_or(names: list[str], view: TaskView) -> str:
    return "every row" if len(names) == len(view.rows) > 2 else ", ".join(names)


def _reason(cell: Cell) -> tuple[str, str]:
    if cell.interval is not None and cell.unscored:
        counts = ", ".join(f"{count} × {plain(why)}" for why, count in cell.unscored.items())
        missing = sum(cell.unscored.values())
        return "†", f"{missing} of {cell.attempted} utterances without a value ({counts}); not ranked"
    if cell.interval is not None:
        return "", ""
    if cell.status == "failed":
        return "failed", plain(cell.reason)
    return "–", f"skipped: {plain(cell.reason)}" if cell.status == "skipped" else plain(cell.reason)


def _column_notes(view: TaskView, named: Named) -> list[str]:
    """What no row could score, and floors that beat a model. Columns with equal notes share a line."""
    notes: dict[str, list[str]] = {}
    for column in view.columns:
        for why, count in sorted(column.left_out.items()):
            text = f"{count} utterances that no row could score ({plain(why)}) count for none"
            notes.setdefault(text, []).append(plain(column.card.title))
        losers: dict[str, list[str]] = {}
        for pair in column.judged.beaten:
            losers.setdefault(pair.first, []).append(named(pair.second))
        for floor, rows in losers.items():
            text = f"! the floor {named(floor)} beats {', '.join(rows)}"
            notes.setdefault(text, []).append(plain(column.card.title))
    return [f"{text}: {', '.join(titles)}" for text, titles in notes.items()]


def legend(views: Sequence[TaskView], best_mark: str, named: Named, brief: bool = False) -> list[str]:
    """Only the marks that the tables above use; `brief`: not what stands beside the table."""
    cells = [cell for view in views for column in view.columns for cell in column.cells.values()]
    lines = []
    if any(cell.rank == "best" for cell in cells):
        lines.append(f"{best_mark} best")
    if any(cell.rank == "tied" for cell in cells):
        lines.append("= tied with the best: the 95 % interval of the paired difference covers 0")
    if any(cell.unscored and cell.interval for cell in cells):
        lines.append("† some utterances have no value: not ranked")
    if any(cell.bound == "lower" for cell in cells):
        lines.append("≥ a lower bound of the value")
    if any(cell.bound == "upper" for cell in cells):
        lines.append("≤ an upper bound of the value")
    rows = {row.name: row for view in views for row in view.rows}
    if any(not row.trained for row in rows.values()):
        lines.append("UNTRAINED: a codec with random weights, never ranked")
    if any(not row.believed for row in rows.values()):
        lines.append(f"{UNBELIEVED} no passed self-test for this code")
    if brief:
        return lines
    if controls := {name: kind for view in views for name, kind in view.controls.items()}:
        lines.append("controls, never ranked: " + ", ".join(f"{named(n)} ({kind})" for n, kind in controls.items()))
    if any(column.judged.ranks and column.card.headline for view in views for column in view.columns):
        lines.append("ranks: what a row's may be, joint 95 % over all pairs of rows of the column")
        lines.append("detectable: the true difference to the best that every comparison finds with 80 % power")
    return lines


def interval_label(board: Board, views: Sequence[TaskView]) -> str:
    """How to read `[low, high]`, once for all cells."""
    found = [c.interval for v in views for column in v.columns for c in column.cells.values() if c.interval]
    if not found:
        return ""
    largest = max(found, key=lambda i: i.n)
    fewer = " (fewer where some have no value)" if any(i.n != largest.n for i in found) else ""
    label = largest.label
    if not board.newest.dataset.speakers_known:
        label = f"95 % bootstrap over {largest.n} utterances; their speakers are not known"
    return f"[low, high]: {label}{fewer}"


def provenance(board: Board, named: Named) -> list[str]:
    """Suite, data, codec; then date, commit and machine, per row where the rows differ."""
    record = board.newest
    seconds = sum(u.seconds for u in record.dataset.utterances.values())
    speakers = len({u.speaker for u in record.dataset.utterances.values()})
    known = f", {speakers} speakers" if record.dataset.speakers_known else ""
    rate = "" if board.of_codecs else f"; codec {plain(board.codec)}, {record.codec.frame_rate:g} frames/s"
    lines = [
        f"suite {plain(board.suite)}; dataset {plain(board.dataset)}, {record.dataset.split} split, "
        f"{len(record.dataset.utterances)} utterances{known}, {seconds / 60:.1f} min{rate}"
    ]
    if board.of_codecs:
        lines += [_dims(board.rows, named), *map(plain, remarks({named(r.name): r.record for r in board.rows}))]
    lines += divisions.remarks(board.rows, named)
    lines += _by_value(board.rows, "made", lambda row: row.record.created[:10], named)
    lines += _by_value(board.rows, "commit", _commit, named)
    lines += _by_value(board.rows, "on", _machine, named)
    return lines + [f"{named(name)} is not shown: {plain(why)}" for name, why in board.left_out.items()]


def _dims(rows: Iterable[Row], named: Named) -> str:
    return "latents: " + ", ".join(
        f"{named(row.name)} {row.record.codec.dim} at {row.record.codec.frame_rate:.4g} Hz" for row in rows
    )


def _by_value(rows: Iterable[Row], what: str, value: Callable[[Row], str], named: Named) -> list[str]:
    groups: dict[str, list[str]] = {}
    for row in rows:
        groups.setdefault(plain(value(row)), []).append(named(row.name))
    if len(groups) == 1:
        return [f"{what} {text}" for text in groups]
    return [what + " " + "; ".join(f"{text} ({', '.join(names)})" for text, names in groups.items())]


def _commit(row: Row) -> str:
    environment = row.record.environment
    if environment.commit is None:
        return f"unknown (latentbench {environment.latentbench})"
    return environment.commit[:10] + ("+dirty" if environment.dirty else "")


def _machine(row: Row) -> str:
    environment = row.record.environment
    processor = f" ({environment.processor})" if environment.processor else ""
    return f"{environment.device}{processor}, {environment.threads} threads"


def differences(views: Sequence[TaskView], named: Named) -> list[str]:
    """Each ranked headline column: every other row minus the best one, what they tell together, seed noise."""
    columns = [column for view in views for column in view.columns if column.card.headline]
    lines = []
    for column in columns:
        found = column.judged
        lines += [_difference(column, named(n), named(found.best), change) for n, change in found.differences.items()]
        lines += [_together(column, named)] if found.best else []
    return lines + [
        "seed noise: " + _difference(column, named(pair.second), named(pair.first), pair.change)
        for column in columns
        for pair in column.judged.noise
    ]


def _difference(column: Column, name: str, reference: str, change: Interval) -> str:
    card, places = column.card, column.card.decimals
    value = number(change.value, places)
    sign = "+" if change.value > 0 and value.strip("0.") else ""
    title = plain(card.title)
    if card.better == "one":
        title += ", distance from 1"
    elif card.aggregate == "median":
        title += ", median of the differences"
    return f"{name} − {reference}: {title} {sign}{value} {bounds(change, places)} {plain(unit(card))}".rstrip()


def _together(column: Column, named: Named) -> str:
    """Ranks, how many comparisons survive each other, and what could have been seen."""
    card, found = column.card, column.judged
    ranks = ", ".join(
        f"{named(n)} {low}" + (f"–{high}" if high > low else "") for n, (low, high) in found.ranks.items()
    )
    apart, count = found.apart, len(found.differences)
    which = f" ({', '.join(named(n) for n in apart)})" if 0 < len(apart) < count else ""
    text = f"{plain(card.title)}: ranks {ranks}; {len(apart)} of {count} comparisons significant after Holm{which}"
    if found.detectable is not None:
        text += f"; detectable {number(found.detectable, card.decimals)} {plain(unit(card))}".rstrip()
    return text
