"""Which records may stand in one table.

Records of one suite, dataset and codec form a board. Names are not enough: a row is left out, and said to be,
when it was made on other audio or on other codec weights than the newest row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.record import Record, by_key


@dataclass(frozen=True)
class Row:
    """One submission of a board. `new`: from the folder laid over the committed one."""

    record: Record
    new: bool = False

    @property
    def name(self) -> str:
        return self.record.submission.name

    @property
    def trained(self) -> bool:
        """False for a codec with random weights: such a row is never ranked."""
        return self.record.codec.trained

    @property
    def speakers(self) -> dict[str, str]:
        """Utterance id → speaker."""
        return {u: entry.speaker for u, entry in self.record.dataset.utterances.items()}


@dataclass(frozen=True)
class Board:
    """Rows that are compared with each other, by name. `left_out`: submission → why it is not."""

    suite: str
    dataset: str
    codec: str
    rows: tuple[Row, ...]
    left_out: dict[str, str]

    @property
    def newest(self) -> Record:
        """The row that the others must match; a trained codec's, if there is one."""
        return newest(self.rows).record


def newest(rows: Iterable[Row]) -> Row:
    """The latest row of a trained codec, or else the latest; ties go by name."""
    return max(rows, key=lambda r: (r.trained, r.record.created, r.name))


def boards(committed: Iterable[Record], fresh: Iterable[Record] = ()) -> list[Board]:
    """The boards of committed records with fresh ones laid over them: of one key, the fresh one stands."""
    rows = {key: Row(record) for key, record in by_key(committed).items()}
    rows |= {key: Row(record, new=True) for key, record in by_key(fresh).items()}
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for key in sorted(rows):
        groups.setdefault(key[:3], []).append(rows[key])
    return [_board(*key, group) for key, group in groups.items()]


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
    # a row on random weights is shown beside the others, labelled and unranked
    if mine.trained and (mine.weights_digest, mine.frame_rate) != (theirs.weights_digest, theirs.frame_rate):
        return f"its {mine.name} has other weights than the newest row's"
    return ""
