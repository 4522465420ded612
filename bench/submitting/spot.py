"""A part of a row made again: its cheapest task, and whether the values are the record's.

On the machine that made the record, with its packages and threads, they are equal to the last bit. Elsewhere sums are
taken in another order and a fit may end elsewhere; the mean over the utterances that are compared may then be away by
the column's margin, which `bench check` allows too, and where a column has none by half the width of its interval.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench import environment
from bench.conformance.rule import Broken
from bench.record import ARITHMETIC, ColumnValues, Record
from bench.runner import Row
from bench.stats import interval


def check(record: Record, row: Row, count: int) -> str:
    """What was compared, and how far apart it was.

    Args:
        row: of the record's command, not fitted.
        count: utterances of each column that are compared, evenly spaced over the split.

    Raises:
        Broken: a value that is not the record's.
        BenchError: the task cannot be scored here.
    """
    name = cheapest(record)
    found = row.score_again(name)
    here = environment.capture(row.device)
    exact = all(getattr(here, what) == getattr(record.environment, what) for what in ARITHMETIC)
    speakers = {u: entry.speaker for u, entry in record.dataset.utterances.items()}
    if exact and row.fitted["digest"] != record.submission.weights_digest:
        raise Broken("the fit gives other weights than the record's, on the machine that made it")
    compared, furthest = 0, 0.0
    for column, before in record.tasks[name].columns.items():
        if not before.values:
            continue
        after = found.get(column, {})
        chosen = spaced(sorted(before.values), count)
        if missing := [u for u in chosen if u not in after]:
            raise Broken(f"{name}: {column} has no value of {missing[0]} now")
        away = abs(sum(after[u] - before.values[u] for u in chosen)) / len(chosen)
        changed = sum(after[u] != before.values[u] for u in chosen)
        if exact and changed:
            raise Broken(
                f"{name}: {column} differs in {changed} of {len(chosen)} utterances, by {away:.3g} in the mean"
            )
        allowed = _allowed(before, speakers)
        if away > allowed:
            raise Broken(
                f"{name}: {column} is away by {away:.3g} in the mean, allowed {allowed:.3g} on another machine"
            )
        compared, furthest = compared + 1, max(furthest, away / allowed if allowed else 0.0)
    if not compared:
        raise Broken(f"{name}: no column has values to compare")
    few = min(count, len(record.dataset.utterances))
    how = "equal to the last bit" if exact else f"on another machine, within {furthest:.2f} of what is allowed"
    return f"{name}, {compared} columns, {few} utterances: {how}"


def cheapest(record: Record) -> str:
    """The scored task that took the least time.

    Raises:
        Broken: none was scored.
    """
    scored = [name for name, entry in record.tasks.items() if entry.status == "scored" and entry.columns]
    if not scored:
        raise Broken("no task was scored")
    return min(scored, key=lambda n: (record.stages[n].seconds if n in record.stages else float("inf"), n))


def spaced(names: list[str], count: int) -> list[str]:
    """`count` of `names`, evenly spaced, or all.

    >>> spaced(["a", "b", "c", "d", "e"], 2)
    ['a', 'c']
    """
    few = min(count, len(names))
    return [names[i * len(names) // few] for i in range(few)]


def _allowed(column: ColumnValues, speakers: Mapping[str, str]) -> float:
    if column.column.margin is not None:
        return column.column.margin
    found = interval(column.values, speakers, column.weights, column.column.aggregate)
    return (found.high - found.low) / 2
