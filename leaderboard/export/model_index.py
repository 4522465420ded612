"""A row as metadata of a Hugging Face model card, by huggingface_hub's own classes.

Each headline column of each task is one result: the suite's dataset and split, the task's name and version,
the value in the shown unit, and among the metric's arguments its interval, the rank mark, and the command and digest
with which anybody can verify it. `verified` stays unset: only the hub may set it.

References:
    "Model Cards", Hugging Face documentation, section Evaluation results (the `model-index` of Papers with Code).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from bench.errors import BenchError, UnknownName
from bench.record import Record
from leaderboard.board import Board, Row, boards
from leaderboard.shown import unit
from leaderboard.text import plain
from leaderboard.view import Column, TaskView, task_views

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

TAGS = ["audio", "latentbench"]


def metadata(records: Iterable[Record], submission: str) -> str:
    """The YAML block that opens a model card, fences included.

    Args:
        records: the row's and those it is ranked among.
        submission: the row's name.

    Raises:
        UnknownName: no row has it.
        BenchError: huggingface_hub is not installed, or the row has no value.
    """
    return f"---\n{card(records, submission).to_yaml().rstrip()}\n---"


def card(records: Iterable[Record], submission: str) -> ModelCardData:
    """The same as an object of huggingface_hub. Raises as `metadata`."""
    try:
        from huggingface_hub import ModelCardData
    except ImportError as error:
        raise BenchError("model-index needs huggingface_hub: pip install 'latentbench[data]'") from error
    every = boards(records)
    found = [board for board in every if any(row.name == submission for row in board.rows)]
    if not found:
        raise UnknownName("row", submission, sorted({row.name for board in every for row in board.rows}))
    rows = [row for board in found for row in board.rows if row.name == submission]
    results = [result for board in found for result in _results(board, submission)]
    if not results:
        raise BenchError(f"model-index: {submission} has no value in any headline column")
    title = plain(rows[0].record.submission.title, 200) or submission
    return ModelCardData(model_name=title, tags=TAGS, eval_results=results)


def _results(board: Board, submission: str) -> Iterator[EvalResult]:
    for view in task_views(board):
        for row in view.rows:
            for column in view.columns:
                if row.name == submission and column.cells[row.name].interval is not None:
                    yield _result(board, view, row, column)


def _result(board: Board, view: TaskView, row: Row, column: Column) -> EvalResult:
    from huggingface_hub import EvalResult

    record, cell, asked = row.record, column.cells[row.name], column.card
    found = cell.interval
    assert found is not None
    arguments: dict[str, Any] = {
        "unit": unit(asked),
        "better": asked.better,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "over": found.over,
        "rank": cell.rank,
        "bound": cell.bound,
        "unscored": sum(cell.unscored.values()),
        "task_version": view.version,
        "codec": record.codec.name,
        "command": record.command,
        "record_digest": record.digest,
    }
    return EvalResult(
        # results of one type and dataset are one entry of the index: each task is a type of its own
        task_type=f"latentbench-{view.name}",
        task_name=f"{view.name} (LatentBench {record.environment.latentbench}, suite {board.suite})",
        dataset_type=record.dataset.name,
        dataset_name=record.dataset.name,
        dataset_config=board.suite,
        dataset_split=record.dataset.split,
        dataset_revision=record.dataset.digest,
        metric_type=f"{view.name}.{asked.name}",
        metric_name=plain(asked.title),
        metric_value=found.value,
        metric_args={name: value for name, value in arguments.items() if value not in ("", None)},
    )
