"""Has a row got worse? Fresh records against committed ones, column by column, on the same utterances.

A column regresses when it got worse by more than its margin and noise explain (`leaderboard.gate.margins`); improvement
is the mirror image. A column or task that was run, gave a value and no longer does, or does for fewer utterances,
regresses too. A task that was not run has no verdict. What cannot be compared (other task versions, parameters,
utterances, audio or codec weights; impossible values) has no verdict either: it is refused, and said.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field, replace

from bench.record import ColumnValues, Record, by_key
from bench.stats import aggregate, arrays
from leaderboard.compare import difference
from leaderboard.comparisons import holm
from leaderboard.gate import ground
from leaderboard.gate.change import Change, Key, Outcome, Verdict, where
from leaderboard.gate.drift import cause, fitted_again
from leaderboard.gate.impossible import RULES, Rule, broken
from leaderboard.gate.margins import FALSE_ALARMS, POWER, SURE, Seeds, detectable, error, p_beyond, worsening
from leaderboard.gate.rescored import Moved
from leaderboard.shown import factor, scaled

Noise = Callable[[Record, str, ColumnValues], "Seeds | str"]
"""(row, task, column) → what seeds move it by, or why that is not known."""


def unmeasured(record: Record, task: str, values: ColumnValues) -> Seeds | str:
    """No noise was measured for any column."""
    del task, values
    return f"no noise was measured for suite {record.suite}"


@dataclass
class _Found:
    """What a check collects on its way, and what it was told of rescored outputs."""

    moved: Moved
    changes: list[Change] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def compare(
    committed: Sequence[Record],
    fresh: Sequence[Record],
    noise: Noise = unmeasured,
    every: bool = False,
    allow_dirty: bool = False,
    rules: Sequence[Rule] = RULES,
    moved: Moved | None = None,
) -> Outcome:
    """Every column of every row that both sets hold.

    Args:
        noise: what another seed moves a column by; asked for columns that were fitted again.
        every: refuse, too, when a committed row or a task of one was not run.
        allow_dirty: take records of a checkout with uncommitted changes.
        rules: of impossible values, held against the fresh records.
        moved: what `bench score` found of committed records.
    """
    old, new = by_key(committed), by_key(fresh)
    common = sorted(old.keys() & new.keys())
    found = _Found(moved=moved or {}, refused=_refusals(committed, fresh, allow_dirty, rules))
    if not common:
        rows = ", ".join("/".join(key) for key in sorted(new)) or "none"
        found.refused.append(f"no fresh row has a committed one to compare with; fresh rows: {rows}")
    for key in common:
        if reasons := ground.of_rows(key, old[key], new[key]):
            found.refused += reasons
            continue
        for name, entry in old[key].tasks.items():
            if entry.status == "scored" and name in new[key].tasks:
                _task(name, old[key], new[key], noise, found)
    not_run = sorted(old.keys() - new.keys())
    lacking = [
        (key, name)
        for key in common
        for name, entry in old[key].tasks.items()
        if entry.status == "scored" and name not in new[key].tasks
    ]
    if every:
        found.refused += [f"{where(key)}: a committed row that was not run" for key in not_run]
        found.refused += [f"{where(key, task)}: a committed task that was not run" for key, task in lacking]
    changes, judged = _verdicts(found.changes)
    added = sorted(new.keys() - old.keys())
    return Outcome(changes, tuple(found.refused), not_run, lacking, added, tuple(found.notes), judged)


def _refusals(
    committed: Sequence[Record], fresh: Sequence[Record], allow_dirty: bool, rules: Sequence[Rule]
) -> list[str]:
    """What is wrong with the records by themselves."""
    out = ground.mixed_versions(committed, "committed") + ground.mixed_versions(fresh, "fresh")
    if not allow_dirty:
        out += ground.dirty(committed, "committed") + ground.dirty(fresh, "fresh")
    for record in fresh:
        out += broken(record, rules)
    return out


def _task(name: str, old: Record, new: Record, noise: Noise, found: _Found) -> None:
    before, after = old.tasks[name], new.tasks[name]
    if reasons := ground.of_tasks(old.key, name, before, after):
        found.refused += reasons
        return
    if after.status != "scored":
        why = f"{after.status}: {after.reason}"
        found.changes += [_lost(old.key, name, values, why) for values in before.columns.values()]
        return
    if after.scorer_digest != before.scorer_digest:
        found.note(f"{name}: the scorer's code differs")
    for column, values in before.columns.items():
        if column not in after.columns:
            reason = after.skipped_columns.get(column)
            why = "not in the fresh record" if reason is None else f"skipped: {reason}"
            found.changes.append(_lost(old.key, name, values, why))
        elif reasons := ground.of_columns(old.key, name, values, after.columns[column]):
            found.refused += reasons
        elif change := _column(name, column, old, new, noise, found):
            found.changes.append(change)


def _lost(key: Key, task: str, values: ColumnValues, reason: str) -> Change:
    return Change(key, task, values.column.name, "regressed", values.column, reason=reason)


def _column(name: str, column: str, old: Record, new: Record, noise: Noise, found: _Found) -> Change | None:
    """The change of one column without its verdict, or None where none is judged."""
    before, after = (record.tasks[name].columns[column] for record in (old, new))
    card, key = before.column, old.key
    lost = sorted(before.values.keys() & after.unscored.keys())
    judged = card.better != "none" and card.margin is not None
    both = before.values.keys() & after.values.keys()
    if not both or not (judged or lost):
        return _lost(key, name, before, _fewer(lost, after)) if lost else None
    by = factor(card, old.codec.frame_rate)
    speakers = {u: entry.speaker for u, entry in old.dataset.utterances.items()}
    was, now = kept(before, both), kept(after, both)
    change = difference(card, was, now, speakers)
    out = Change(
        *(key, name, card.name, "unchanged", card),
        committed=_value(was) * by,
        fresh=_value(now) * by,
        change=scaled(change, by),
        margin=None if card.margin is None else card.margin * by,
        cause=""
        if was.values == now.values and was.weights == now.weights
        else cause(old, new, name, found.moved.get((old.digest, name, column))),
    )
    if lost:
        return replace(out, verdict="regressed", reason=_fewer(lost, after))
    if change.n < 2:
        return out
    seeds: Seeds | None = None
    if out.cause and fitted_again(old, new, name):
        known = noise(old, name, before)
        if isinstance(known, str):
            found.note(f"{known}; the rate of false alarms is not kept where something was fitted again")
            out = replace(out, seeded="not measured")
        else:
            seeds, out = known, replace(out, seeded="counted")
    of = error(change, seeds)
    return replace(out, noise=replace(of, sampling=of.sampling * by, seeds=of.seeds * by))


def _value(values: ColumnValues) -> float:
    v, w = arrays(sorted(values.values), values.values, values.weights)
    return aggregate(v, w, values.column.aggregate)


def _fewer(lost: Sequence[str], new: ColumnValues) -> str:
    return f"{len(lost)} utterances lost their value, first {lost[0]!r}: {new.unscored[lost[0]]}"


def kept(values: ColumnValues, ids: Set[str]) -> ColumnValues:
    """A column's values of these utterances alone."""
    weights = None if values.weights is None else {u: w for u, w in values.weights.items() if u in ids}
    return ColumnValues(
        column=values.column, values={u: v for u, v in values.values.items() if u in ids}, weights=weights
    )


def _verdicts(changes: Sequence[Change]) -> tuple[list[Change], int]:
    """Every change with its verdict: Holm over all that differ and have a standard error. One utterance has none.

    Columns whose every value is what it was cannot cry wolf, and so take no share of the rate.
    """
    measured = {str(i): c for i, c in enumerate(changes) if c.noise is not None}
    judged = {i: c for i, c in measured.items() if c.cause}
    worse, better = dict[str, float](), dict[str, float]()
    for i, c in judged.items():
        assert c.card and c.change and c.margin is not None and c.noise
        amount = worsening(c.card, c.change.value)
        worse[i], better[i] = p_beyond(amount, c.margin, c.noise), p_beyond(-amount, c.margin, c.noise)
    worse, better = holm(worse), holm(better)
    out = list(changes)
    for i, c in measured.items():
        assert c.margin is not None and c.noise
        verdict: Verdict = "unchanged"
        if i in judged and min(worse[i], better[i]) <= FALSE_ALARMS:
            verdict = "regressed" if worse[i] <= FALSE_ALARMS else "improved"
        found, surely = (detectable(c.margin, c.noise, max(1, len(judged)), power) for power in (POWER, SURE))
        out[int(i)] = replace(c, verdict=verdict, p=worse.get(i), detectable=found, surely=surely)
    return out, len(judged)
