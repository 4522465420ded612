"""Has a row got worse? Fresh records against committed ones, column by column, on the same utterances.

A column regresses when the whole 95 % interval of its paired worsening lies beyond the column's margin: worse
by more than is tolerated, and by more than these utterances could show by chance. Improvement is the mirror
image. A column or task that was run, gave a value and no longer does, or does for fewer utterances, regresses
too. A task that was not run has no verdict.

Comparing what cannot be compared (other task versions, parameters, utterances, audio or codec weights) is an
error, never a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from bench.config import ColumnCard
from bench.errors import RecordError
from bench.record import ColumnValues, Record, TaskEntry, by_key
from bench.stats import Interval, interval
from leaderboard.compare import difference
from leaderboard.shown import factor, scaled

Verdict = Literal["regressed", "improved", "unchanged"]
Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Change:
    """One column of one row. Numbers are in the shown unit.

    `change` is fresh − committed; where one is best, of the distances from one. `margin` is how much worse the
    column may get. `reason` stands for the numbers of a column that no longer gives them.
    """

    key: Key
    task: str
    column: str
    verdict: Verdict
    card: ColumnCard | None = None
    committed: float | None = None
    fresh: float | None = None
    change: Interval | None = None
    margin: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """What `compare` found. `not_run`: committed rows without a fresh one; `tasks_not_run`: scored tasks of a
    committed row that its fresh record does not hold; `added`: fresh rows without a committed one; `notes`:
    what a reader should know and no verdict depends on."""

    changes: Sequence[Change]
    not_run: Sequence[Key] = ()
    tasks_not_run: Sequence[tuple[Key, str]] = ()
    added: Sequence[Key] = ()
    notes: Sequence[str] = field(default_factory=list)

    @property
    def regressed(self) -> list[Change]:
        return [change for change in self.changes if change.verdict == "regressed"]


def compare(committed: Sequence[Record], fresh: Sequence[Record]) -> Comparison:
    """Every column of every row that both sets hold.

    Raises:
        RecordError: no row in common, or a row whose two records cannot be compared; says which and why.
    """
    old, new = by_key(committed), by_key(fresh)
    common = sorted(old.keys() & new.keys())
    if not common:
        rows = ", ".join("/".join(key) for key in sorted(new)) or "none"
        raise RecordError(f"no fresh row has a committed one to compare with; fresh rows: {rows}")
    changes: list[Change] = []
    notes: list[str] = []
    for key in common:
        _require_same_ground(key, old[key], new[key])
        for name, entry in old[key].tasks.items():
            changes += _task(key, name, entry, new[key], old[key], notes)
    lacking = [
        (key, name)
        for key in common
        for name, entry in old[key].tasks.items()
        if entry.status == "scored" and name not in new[key].tasks
    ]
    return Comparison(changes, sorted(old.keys() - new.keys()), lacking, sorted(new.keys() - old.keys()), notes)


def _where(key: Key, task: str = "", column: str = "") -> str:
    return " ".join(part for part in ("/".join(key), task, column) if part)


def _require_same_ground(key: Key, old: Record, new: Record) -> None:
    _require_utterances(_where(key), set(old.dataset.utterances), set(new.dataset.utterances))
    pairs = {
        "dataset content": (old.dataset.digest, new.dataset.digest),
        "codec weights": (old.codec.weights_digest, new.codec.weights_digest),
        "codec frame rate": (old.codec.frame_rate, new.codec.frame_rate),
    }
    for what, (was, now) in pairs.items():
        if was != now:
            raise RecordError(f"{_where(key)}: {what} differs: committed {str(was)[:12]}, fresh {str(now)[:12]}")


def _require_utterances(where: str, old: set[str], new: set[str]) -> None:
    for what, ids in (("removed", sorted(old - new)), ("added", sorted(new - old))):
        if ids:
            raise RecordError(f"{where}: expected the same utterances, got {len(ids)} {what}, first {ids[0]!r}")


def _task(
    key: Key, name: str, old: TaskEntry, new_record: Record, old_record: Record, notes: list[str]
) -> list[Change]:
    new = new_record.tasks.get(name)
    if old.status != "scored" or new is None:
        return []
    if new.version != old.version:
        raise RecordError(
            f"{_where(key, name)}: expected version {old.version} as committed, got {new.version}; "
            "rows of other versions cannot be compared"
        )
    if new.status != "scored":
        why = f"{new.status}: {new.reason}"
        return [_lost(key, name, column, values, why) for column, values in old.columns.items()]
    _require_same_parameters(_where(key, name), old.parameters, new.parameters)
    if new.scorer_digest != old.scorer_digest and (note := f"{name}: the scorer's code differs") not in notes:
        notes.append(note)
    speakers = {u: entry.speaker for u, entry in old_record.dataset.utterances.items()}
    changes: list[Change] = []
    for column, values in old.columns.items():
        if column not in new.columns:
            reason = new.skipped_columns.get(column)
            why = "not in the fresh record" if reason is None else f"skipped: {reason}"
            changes.append(_lost(key, name, column, values, why))
        elif change := _column(key, name, values, new.columns[column], speakers, old_record.codec.frame_rate):
            changes.append(change)
    return changes


def _require_same_parameters(where: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            raise RecordError(f"{where}: parameter {name} differs: committed {old.get(name)}, fresh {new.get(name)}")


def _lost(key: Key, task: str, column: str, values: ColumnValues, reason: str) -> Change:
    return Change(key, task, column, "regressed", values.column, reason=reason)


def _column(
    key: Key, task: str, old: ColumnValues, new: ColumnValues, speakers: Mapping[str, str], frame_rate: float
) -> Change | None:
    """The change of one column, or None where none is judged."""
    card, where = old.column, _where(key, task, old.column.name)
    for what in ("unit", "better", "aggregate"):
        was, now = getattr(card, what), getattr(new.column, what)
        if was != now:
            raise RecordError(f"{where}: {what} differs: committed {was}, fresh {now}; the task needs a new version")
    _require_utterances(where, old.values.keys() | old.unscored.keys(), new.values.keys() | new.unscored.keys())
    lost = sorted(old.values.keys() & new.unscored.keys())
    judged = card.better != "none" and card.margin is not None
    both = old.values.keys() & new.values.keys()
    if not both or not (judged or lost):
        return _lost(key, task, card.name, old, _fewer(lost, new)) if lost else None
    by = factor(card, frame_rate)
    was, now = _kept(old, both), _kept(new, both)
    before, after = (interval(v.values, speakers, v.weights, card.aggregate).value * by for v in (was, now))
    change = difference(card, was, now, speakers)
    verdict: Verdict = "regressed" if lost else judge(card, change)
    margin = None if card.margin is None else card.margin * by
    reason = _fewer(lost, new) if lost else ""
    return Change(key, task, card.name, verdict, card, before, after, scaled(change, by), margin, reason)


def _fewer(lost: Sequence[str], new: ColumnValues) -> str:
    return f"{len(lost)} utterances lost their value, first {lost[0]!r}: {new.unscored[lost[0]]}"


def _kept(values: ColumnValues, ids: set[str]) -> ColumnValues:
    weights = None if values.weights is None else {u: w for u, w in values.weights.items() if u in ids}
    return ColumnValues(
        column=values.column, values={u: v for u, v in values.values.items() if u in ids}, weights=weights
    )


def judge(card: ColumnCard, change: Interval) -> Verdict:
    """The verdict on fresh − committed in the record's unit (of distances from one, where one is best).

    One utterance or speaker has no interval and so no verdict.
    """
    if card.margin is None or card.better == "none" or change.n < 2:
        return "unchanged"
    low, high = (-change.high, -change.low) if card.better == "higher" else (change.low, change.high)
    if low > card.margin:
        return "regressed"
    return "improved" if high < -card.margin else "unchanged"
