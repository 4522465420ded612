"""What the tables show, one line for each row, task and column, or for each utterance; numbers in the shown unit.

`results` has the very numbers of `bench leaderboard`: aggregates, intervals, ranks and what is missing. `values` has
what they are made from, of every record: the mean of a column's values under their weights is its aggregate, where that
is the mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from bench.config import ColumnCard
from bench.errors import BenchError
from bench.record import Record
from leaderboard.board import Board, Row, boards
from leaderboard.comparisons import detectable
from leaderboard.divisions import division_of
from leaderboard.shown import factor, unit
from leaderboard.view import Column, TaskView, task_views

if TYPE_CHECKING:
    import pyarrow as pa

Progress = Callable[[str, int, int], None]
TEXT, FLAG, COUNT, NUMBER = "string", "bool", "int64", "float64"
ROW = {
    "suite": TEXT,
    "dataset": TEXT,
    "codec": TEXT,
    "submission": TEXT,
    "title": TEXT,
    "plugin": TEXT,
    "authors": TEXT,
    "control": TEXT,
    "division": TEXT,
    "trained": FLAG,
    "selftest": FLAG,
    "seed": COUNT,
    "parameters": COUNT,
    "created": TEXT,
    "commit": TEXT,
    "device": TEXT,
    "command": TEXT,
    "digest": TEXT,
}
"""What is said of a row, on each of its lines. `digest` is the record's, `parameters` how many were learned."""
ASKED = {"task": TEXT, "version": COUNT, "column": TEXT, "name": TEXT, "unit": TEXT, "better": TEXT, "aggregate": TEXT}
"""What is said of a column."""
RESULTS = {
    **ROW,
    **ASKED,
    "ranked": FLAG,
    "headline": FLAG,
    "status": TEXT,
    "value": NUMBER,
    "low": NUMBER,
    "high": NUMBER,
    "error": NUMBER,
    "over": TEXT,
    "n": COUNT,
    "rank": TEXT,
    "best_rank": COUNT,
    "worst_rank": COUNT,
    "p_holm": NUMBER,
    "detectable": NUMBER,
    "bound": TEXT,
    "unscored": COUNT,
    "reason": TEXT,
}
VALUES = {
    **{name: ROW[name] for name in ("suite", "dataset", "codec", "submission", "seed", "digest")},
    **ASKED,
    "utterance": TEXT,
    "speaker": TEXT,
    "seen": FLAG,
    "seconds": NUMBER,
    "frames": COUNT,
    "value": NUMBER,
    "weight": NUMBER,
    "reason": TEXT,
}


def results(records: Iterable[Record], submission: str = "", progress: Progress = lambda *_: None) -> pa.Table:
    """One line for each row, task and column of the tables over `records`.

    Args:
        records: of any suites, datasets and codecs; those that no table takes are left out, as tables leave them out.
        submission: only this row's lines; it is still ranked among all. Empty: all.
        progress: called with (what, tables done, tables in all).

    Raises:
        BenchError: pyarrow is not installed.
    """
    _arrow()
    return _table(_results(boards(records), submission, progress), RESULTS)


def values(records: Iterable[Record], submission: str = "") -> pa.Table:
    """One line for each row, task, column and utterance; without a value, `reason` says why.

    Args:
        submission: only this row's lines. Empty: all.

    Raises:
        BenchError: pyarrow is not installed.
    """
    rows = (Row(record) for record in records if submission in ("", record.submission.name))
    return _table((line for row in rows for line in _values(row)), VALUES)


def _results(found: Sequence[Board], submission: str, progress: Progress) -> Iterator[dict[str, Any]]:
    asked = [b for b in found if submission == "" or any(r.record.submission.name == submission for r in b.rows)]
    for done, board in enumerate(asked):
        progress(f"{board.suite}, {board.dataset}, {board.codec}", done, len(asked))
        for view in task_views(board, wide=True):
            for column in view.columns:
                for row in view.rows:
                    if submission in ("", row.record.submission.name):
                        yield _result(board, view, column, row)


def _result(board: Board, view: TaskView, column: Column, row: Row) -> dict[str, Any]:
    cell, judged = column.cells[row.name], column.judged
    best, worst = judged.ranks.get(row.name, (None, None))
    change = judged.differences.get(row.name)
    smallest = math.inf if change is None else detectable(change)
    numbers = cell.interval
    return {
        **_row(row, board.control(row)),
        **_asked(view.name, view.version, column.card),
        "ranked": column.card.ranked,
        "headline": column.card.headline,
        "status": cell.status,
        "value": numbers and numbers.value,
        "low": numbers and numbers.low,
        "high": numbers and numbers.high,
        "error": numbers.error if numbers and math.isfinite(numbers.error) else None,
        "over": numbers.over if numbers else "",
        "n": numbers.n if numbers else 0,
        "rank": cell.rank,
        "best_rank": best,
        "worst_rank": worst,
        "p_holm": judged.adjusted.get(row.name),
        "detectable": smallest if math.isfinite(smallest) else None,
        "bound": cell.bound,
        "unscored": sum(cell.unscored.values()),
        "reason": cell.reason,
    }


def _values(row: Row) -> Iterator[dict[str, Any]]:
    said = {name: value for name, value in _row(row, "").items() if name in VALUES}
    for task, entry in row.record.tasks.items():
        for given in entry.columns.values():
            by = factor(given.column, row.record.codec.frame_rate)
            for utterance, about in row.record.dataset.utterances.items():
                value = given.values.get(utterance)
                if value is None and utterance not in given.unscored:
                    continue  # one that the task never tried
                yield {
                    **said,
                    **_asked(task, entry.version, given.column),
                    "utterance": utterance,
                    "speaker": about.speaker,
                    "seen": about.seen,
                    "seconds": about.seconds,
                    "frames": about.frames,
                    "value": None if value is None else value * by,
                    "weight": None if value is None else 1.0 if given.weights is None else given.weights[utterance],
                    "reason": given.unscored.get(utterance, ""),
                }


def _row(row: Row, control: str) -> dict[str, Any]:
    record = row.record
    entry, made = record.submission, record.environment
    return {
        "suite": record.suite,
        "dataset": record.dataset.name,
        "codec": record.codec.name,
        "submission": entry.name,
        "title": entry.title,
        "plugin": entry.plugin,
        "authors": entry.authors,
        "control": control,
        "division": division_of(record).name,
        "trained": row.trained,
        "selftest": row.believed,
        "seed": record.seed,
        "parameters": entry.parameter_count,
        "created": record.created,
        "commit": (made.commit or "") + ("+dirty" if made.dirty else ""),
        "device": made.device,
        "command": record.command,
        "digest": record.digest,
    }


def _asked(task: str, version: int, card: ColumnCard) -> dict[str, Any]:
    return {
        "task": task,
        "version": version,
        "column": card.name,
        "name": card.title,
        "unit": unit(card),
        "better": card.better,
        "aggregate": card.aggregate,
    }


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise BenchError("export needs pyarrow: pip install 'latentbench[data]'") from error
    return pyarrow


def _table(lines: Iterable[dict[str, Any]], types: dict[str, str]) -> pa.Table:
    pa = _arrow()
    # strangers' text may hold lone surrogates, which no file of these formats can
    rows = [{name: _encodable(value) for name, value in line.items()} for line in lines]
    return pa.Table.from_pylist(rows, pa.schema([(name, pa.type_for_alias(kind)) for name, kind in types.items()]))


def _encodable(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value
