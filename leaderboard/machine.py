"""Boards for programs: JSON, and CSV with one line for each row and column. Numbers are in the shown unit and
not rounded."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.config import TaskCard
from bench.stats import Interval
from leaderboard.board import Board, Row
from leaderboard.comparisons import detectable
from leaderboard.judged import Judged
from leaderboard.shown import unit
from leaderboard.view import Cell, Column, TaskView

Viewed = Sequence[tuple[Board, Sequence[TaskView]]]


def as_json(boards: Viewed, cards: Mapping[str, TaskCard]) -> str:
    """A list of boards: rows, tasks, their columns, cells and paired differences."""
    return json.dumps([_board(board, views, cards) for board, views in boards], indent=1, ensure_ascii=False)


def _board(board: Board, views: Sequence[TaskView], cards: Mapping[str, TaskCard]) -> dict[str, Any]:
    return {
        "suite": board.suite,
        "dataset": board.dataset,
        "codec": board.codec,
        "frame_rate": board.newest.codec.frame_rate,
        "rows": [_row(board, row) for row in board.rows],
        "left_out": board.left_out,
        "tasks": [_task(view, cards.get(view.name)) for view in views],
    }


def _row(board: Board, row: Row) -> dict[str, Any]:
    record = row.record
    return {
        "submission": row.name,
        "title": record.submission.title,
        "new": row.new,
        "trained": row.trained,
        "control": board.control(row),
        "selftest": row.believed,
        "seed": record.seed,
        "created": record.created,
        **record.environment.model_dump(include={"commit", "dirty", "device", "threads", "processor"}),
    }


def _task(view: TaskView, card: TaskCard | None) -> dict[str, Any]:
    known = card if card is not None and card.version == view.version else None
    return {
        "name": view.name,
        "version": view.version,
        "title": known.title if known else "",
        "question": known.question if known else "",
        "order": [row.name for row in view.rows],
        "columns": [_column(column) for column in view.columns],
        "skipped": {name: dict(reasons) for name, reasons in view.skipped.items()},
        "not_in_table": dict(view.other),
    }


def _column(column: Column) -> dict[str, Any]:
    card, found = column.card, column.judged
    return {
        "name": card.name,
        "title": card.title,
        "unit": unit(card),
        "better": card.better,
        "ranked": card.ranked,
        "headline": card.headline,
        "aggregate": card.aggregate,
        "best": found.best,
        "cells": {name: _cell(cell) for name, cell in column.cells.items()},
        "minus_best": {name: {**_numbers(found.differences[name]), **_compared(found, name)} for name in found.p},
        "ranks": {name: list(ranks) for name, ranks in found.ranks.items()},
        "significant_after_holm": found.apart,
        "detectable": found.detectable,
        "floor_beats": [{"floor": p.first, "row": p.second, **_numbers(p.change)} for p in found.beaten],
        "seed_noise": [{"row": p.first, "replicate": p.second, **_numbers(p.change)} for p in found.noise],
        "left_out": dict(column.left_out),
    }


def _compared(found: Judged, name: str) -> dict[str, Any]:
    """How a row compares with the best one; None for the best itself and for rows that are not ranked."""
    change = found.differences.get(name)
    smallest = math.inf if change is None else detectable(change)
    return {
        "p": found.p.get(name),
        "p_holm": found.adjusted.get(name),
        "detectable": smallest if math.isfinite(smallest) else None,
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "status": cell.status,
        "reason": cell.reason,
        **_numbers(cell.interval),
        "rank": cell.rank,
        "bound": cell.bound,
        "unscored": dict(cell.unscored),
    }


def _numbers(interval: Interval | None) -> dict[str, Any]:
    if interval is None:
        return {"value": None, "low": None, "high": None, "error": None, "over": None, "n": 0}
    return {
        "value": interval.value,
        "low": interval.low,
        "high": interval.high,
        "error": interval.error if math.isfinite(interval.error) else None,
        "over": interval.over,
        "n": interval.n,
    }


def as_csv(boards: Viewed) -> str:
    """One line for each row and column of every task."""
    lines = [line for board, views in boards for line in _lines(board, views)]
    if not lines:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _inert(value) for key, value in line.items()} for line in lines)
    return out.getvalue().rstrip("\n")


def _lines(board: Board, views: Sequence[TaskView]) -> Iterable[dict[str, Any]]:
    for view in views:
        for column in view.columns:
            for row in view.rows:
                cell, found = column.cells[row.name], column.judged
                best, worst = found.ranks.get(row.name, (None, None))
                yield {
                    "suite": board.suite,
                    "dataset": board.dataset,
                    "codec": board.codec,
                    "submission": row.name,
                    "new": row.new,
                    "trained": row.trained,
                    "control": board.control(row),
                    "selftest": row.believed,
                    "task": view.name,
                    "version": view.version,
                    "column": column.card.name,
                    "unit": unit(column.card),
                    "better": column.card.better,
                    "status": cell.status,
                    **_numbers(cell.interval),
                    "rank": cell.rank,
                    "best_rank": best,
                    "worst_rank": worst,
                    **_compared(found, row.name),
                    "bound": cell.bound,
                    "unscored": sum(cell.unscored.values()),
                    "reason": cell.reason,
                }


def _inert(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value
