"""One row in full: what it is, every measure with its interval and rank, what is missing, and how to make it again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from tabulate import tabulate

from bench.record import Record
from leaderboard.board import Board, Row
from leaderboard.headings import installed_cards
from leaderboard.machine import as_json as board_json
from leaderboard.shown import SIGNS, arrow, bounds, number, unit
from leaderboard.styles import Style
from leaderboard.text import plain, wrapped
from leaderboard.view import Cell, Column, TaskView, task_views
from leaderboard.words import empty_cells

TITLE_WIDTH = 34


def as_text(board: Board, name: str, style: Style, wide: bool = False) -> str:
    """The row `name` of a board; `wide`: with columns that are no headline."""
    row = next(r for r in board.rows if r.name == name)
    views = [_alone(view, name) for view in task_views(board, wide)]
    heading = " · ".join(plain(part, 60) for part in (name, board.suite, board.dataset, board.codec))
    parts = [style.heading(1, style.escape(heading)), _items(_about(board, row), style)]
    cards = installed_cards(view.name for view in views)
    for view in views:
        card = cards.get(view.name)
        known = (
            f"{card.title} ({view.name}, version {view.version})" if card else f"{view.name}, version {view.version}"
        )
        parts.append("\n".join([style.heading(2, style.escape(plain(known))), *_task(view, row, style)]))
    parts += [style.heading(2, "Where it comes from"), _items(_provenance(row.record), style)]
    return "\n\n".join(part for part in parts if part)


def as_json(found: Sequence[Board], name: str, wide: bool = False) -> str:
    """A list with, for each board, its measures of this row and the row's provenance."""
    out: list[dict[str, Any]] = []
    for board in found:
        row = next(r for r in board.rows if r.name == name)
        views = [_alone(view, name) for view in task_views(board, wide)]
        mine = replace(board, rows=(row,))
        cards = installed_cards(view.name for view in views)
        document = json.loads(board_json([(mine, views)], cards))[0]
        about = row.record.model_dump(mode="json", exclude={"tasks", "dataset"})
        out.append({**document, "control": board.control(row), "record": about})
    return json.dumps(out, indent=1, ensure_ascii=False)


def _alone(view: TaskView, name: str) -> TaskView:
    """The view with this row alone, judged among all of its board."""
    return replace(
        view,
        rows=tuple(row for row in view.rows if row.name == name),
        skipped={column: {name: why[name]} for column, why in view.skipped.items() if name in why},
        other={n: why for n, why in view.other.items() if n == name},
    )


def _items(lines: Iterable[str], style: Style) -> str:
    return "\n".join(style.item(style.escape(line)) for line in lines if line)


def _about(board: Board, row: Row) -> list[str]:
    entry = row.record.submission
    control = board.control(row)
    standing = f"a control ({control}), never ranked" if control else ""
    return [
        plain(entry.title),
        standing,
        "" if row.trained else "UNTRAINED: a codec with random weights, never ranked",
        f"plug-in {plain(entry.plugin)}, {entry.parameter_count:,} parameters; by {plain(entry.authors)}"
        + (f"; {plain(entry.paper)}" if entry.paper else ""),
        f"trained on: {plain(entry.training_data)}",
        _selftest(row),
    ]


def _selftest(row: Row) -> str:
    found = row.record.selftest
    if found is None:
        return "‡ no self-test is known for its code"
    outcome = "passed" if found.passed else "‡ did not pass"
    return f"self-test of its estimators: {outcome} ({found.preset})"


def _task(view: TaskView, row: Row, style: Style) -> list[str]:
    entry = row.record.tasks.get(view.name)
    if not view.rows:
        why = "; ".join(plain(why) for why in view.other.values()) or "not in this record"
        return ["", style.item(style.escape(f"not in the table: {why}"))]
    having = [column for column in view.columns if column.cells[row.name].interval is not None]
    lines = ["", _table(having, row, style)] if having else []
    without = empty_cells(view, plain)
    if entry is not None and entry.status != "scored":
        without = [f"{entry.status}: {plain(entry.reason)}"]
    return lines + (["", *(style.item(style.escape(line)) for line in without)] if without else [])


def _table(columns: Sequence[Column], row: Row, style: Style) -> str:
    body = [[style.escape(text) for text in _measure(column, row.name)] for column in columns]
    if style.width:
        body = [[wrapped(title, TITLE_WIDTH), *rest] for title, *rest in body]
    return tabulate(
        body,
        headers=["", "value [95 %]", "rank", ""],
        tablefmt=style.tablefmt,
        disable_numparse=True,
        colalign=["left", "right", "right", "left"],
    )


def _measure(column: Column, name: str) -> list[str]:
    card, cell = column.card, column.cells[name]
    label = " ".join(part for part in (plain(card.title, 60), plain(unit(card), 16), arrow(card)) if part)
    if cell.interval is None:
        return [label, "–", "", ""]
    value = f"{SIGNS[cell.bound]}{number(cell.interval.value, card.decimals)} {bounds(cell.interval, card.decimals)}"
    return [label, value, _rank(column, name), _standing(cell)]


def _rank(column: Column, name: str) -> str:
    found = column.judged.ranks.get(name)
    if found is None:
        return ""
    low, high = found
    return f"{low}" if low == high else f"{low}–{high}"


def _standing(cell: Cell) -> str:
    if cell.unscored:
        return f"† {sum(cell.unscored.values())} of {cell.attempted} without"
    return {"best": "* best", "tied": "= tied", "behind": "", "": ""}[cell.rank]


def _provenance(record: Record) -> list[str]:
    here, data = record.environment, record.dataset
    commit = "unknown" if here.commit is None else here.commit[:10] + (" with changes" if here.dirty else "")
    packages = ", ".join(f"{name} {version}" for name, version in here.packages.items())
    seconds = sum(stage.seconds for stage in record.stages.values())
    peak = max((stage.peak_mib for stage in record.stages.values()), default=0.0)
    return [
        f"made {record.created} at commit {commit}, latentbench {here.latentbench}, seed {record.seed}",
        f"on {here.device} ({plain(here.processor)}), {here.threads} threads, {plain(here.platform)}, "
        f"Python {here.python}",
        plain(packages),
        f"dataset {plain(data.name)} {data.digest[:12]}, {data.split} split, {len(data.utterances)} utterances; "
        f"codec {plain(record.codec.name)} {record.codec.weights_digest[:12]}",
        f"code {record.submission.code_digest[:12]}, weights {record.submission.weights_digest[:12]}, "
        f"record {record.digest[:12]}",
        f"parameters: {plain(json.dumps(record.submission.parameters, sort_keys=True), 1000)}",
        f"its stages took {seconds:.0f} s when they were last done, and at most {peak:.0f} MiB",
        f"make it again: {plain(record.command, 1000)}",
    ]
