"""Which records may stand in one table.

Records of one suite, dataset and codec form a board. Names are not enough: a row is left out, and said to be,
when it was made on other audio or on other codec weights than the newest row. Records that answer for a codec and no
model form one board for each suite and dataset, whose rows are codecs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bench.config import Control
from bench.record import Record, by_key
from leaderboard.across import compares_codecs

SIDE_BY_SIDE = "codecs side by side"
REPLICATE = "@seed"
"""What stands between a row's name and the seed it was made again with."""


@dataclass(frozen=True)
class Row:
    """One submission of a board, or one codec. `new`: from the folder laid over the committed one."""

    record: Record
    new: bool = False

    @property
    def name(self) -> str:
        return self.record.codec.name if self.is_codec else self.record.submission.name

    @property
    def is_codec(self) -> bool:
        """Whether the row is a codec's."""
        return compares_codecs(self.record)

    @property
    def trained(self) -> bool:
        """False for a codec with random weights: such a row is never ranked."""
        return self.record.codec.trained

    @property
    def speakers(self) -> dict[str, str]:
        """Utterance id → speaker."""
        return {u: entry.speaker for u, entry in self.record.dataset.utterances.items()}

    @property
    def believed(self) -> bool:
        """Whether the estimators of this very code passed their self-test."""
        return self.record.selftest is not None and self.record.selftest.passed


@dataclass(frozen=True)
class Board:
    """Rows that are compared with each other, by name. `left_out`: submission → why it is not."""

    suite: str
    dataset: str
    codec: str
    rows: tuple[Row, ...]
    left_out: dict[str, str]

    @property
    def of_codecs(self) -> bool:
        """Whether its rows are codecs."""
        return all(row.is_codec for row in self.rows)

    @property
    def newest(self) -> Record:
        """The row that the others must match: a model's on a trained codec, if there is one."""
        return newest(self.rows).record

    def control(self, row: Row) -> Control:
        """What a row that is never ranked is for; "" for a model's. A row made again with another seed is a
        replicate where its original is here."""
        declared = row.record.submission.control
        return declared or ("replicate" if REPLICATE in row.name and self.original(row) else "")

    def original(self, row: Row) -> Row | None:
        """The row that a replicate replicates: by name, or the one of equal parameters apart from seeds."""
        base, again, _ = row.name.partition(REPLICATE)
        if again:
            return next((r for r in self.rows if r.name == base), None)
        if row.record.submission.control != "replicate":
            return None
        same = [r for r in self.rows if not r.record.submission.control and _recipe(r) == _recipe(row)]
        return newest(same) if same else None


def _recipe(row: Row) -> tuple[str, Any]:
    return row.record.submission.plugin, _seedless(row.record.submission.parameters)


def _seedless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _seedless(part) for key, part in value.items() if not key.startswith("seed")}
    return value


def preferred(row: Row) -> tuple[bool, bool, str, str]:
    """What sorts a trained codec's rows over others, models over controls, then by date; ties go by name."""
    return row.trained, not row.record.submission.control, row.record.created, row.name


def newest(rows: Iterable[Row]) -> Row:
    """The latest row, a model's on a trained codec where there is one."""
    return max(rows, key=preferred)


def boards(committed: Iterable[Record], fresh: Iterable[Record] = ()) -> list[Board]:
    """The boards of committed records with fresh ones laid over them: of one key, the fresh one stands."""
    rows = {key: Row(record) for key, record in by_key(committed).items()}
    rows |= {key: Row(record, new=True) for key, record in by_key(fresh).items()}
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for key in sorted(rows):
        groups.setdefault(board_key(rows[key].record), []).append(rows[key])
    return [_board(*key, group) for key, group in groups.items()]


def board_key(record: Record) -> tuple[str, str, str]:
    """Suite, dataset and codec of the board that a record belongs to."""
    return (record.suite, record.dataset.name, SIDE_BY_SIDE if compares_codecs(record) else record.codec.name)


def _board(suite: str, dataset: str, codec: str, rows: list[Row]) -> Board:
    reference = newest(rows).record
    reasons = {row.name: _mismatch(row.record, reference) for row in rows}
    kept = tuple(row for row in rows if not reasons[row.name])
    return Board(suite, dataset, codec, kept, {name: why for name, why in reasons.items() if why})


def _mismatch(record: Record, reference: Record) -> str:
    if record.dataset.digest != reference.dataset.digest:
        return f"its {record.dataset.name} has other content than the newest row's"
    if record.dataset.split != reference.dataset.split:
        return f"scored on the {record.dataset.split} split, the newest row on the {reference.dataset.split} split"
    if set(record.dataset.utterances) != set(reference.dataset.utterances):
        return "scored on other utterances than the newest row"
    mine, theirs = record.codec, reference.codec
    if compares_codecs(record):
        return ""
    # a row on random weights is shown beside the others, labelled and unranked
    if mine.trained and (mine.weights_digest, mine.frame_rate) != (theirs.weights_digest, theirs.frame_rate):
        return f"its {mine.name} has other weights than the newest row's"
    return ""
