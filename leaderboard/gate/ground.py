"""What makes records incomparable: each reason is one line, and all are said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from bench.record import ColumnValues, Record, TaskEntry
from leaderboard.gate.change import Key, where


def mixed_versions(records: Iterable[Record], whose: str) -> list[str]:
    """Tasks that rows of one suite hold in several versions."""
    found: dict[tuple[str, str], dict[int, Key]] = {}
    for record in records:
        for task, entry in record.tasks.items():
            found.setdefault((record.suite, task), {}).setdefault(entry.version, record.key)
    return [
        f"{whose} records mix versions of {task} in suite {suite}: "
        + ", ".join(f"{version} in {'/'.join(versions[version])}" for version in sorted(versions))
        for (suite, task), versions in sorted(found.items())
        if len(versions) > 1
    ]


def dirty(records: Iterable[Record], whose: str) -> list[str]:
    """Records made from a checkout with uncommitted changes: nobody can make them again."""
    return [
        f"{where(r.key)}: the {whose} record was made from a checkout with uncommitted changes at commit "
        f"{(r.environment.commit or 'unknown')[:12]}"
        for r in records
        if r.environment.dirty
    ]


def of_rows(key: Key, old: Record, new: Record) -> list[str]:
    """Why two records of one row have nothing in common to compare."""
    reasons = utterances(where(key), set(old.dataset.utterances), set(new.dataset.utterances))
    pairs = {
        "dataset content": (old.dataset.digest, new.dataset.digest),
        "codec weights": (old.codec.weights_digest, new.codec.weights_digest),
        "codec frame rate": (old.codec.frame_rate, new.codec.frame_rate),
    }
    return reasons + [
        f"{where(key)}: {what} differs: committed {str(was)[:12]}, fresh {str(now)[:12]}"
        for what, (was, now) in pairs.items()
        if was != now
    ]


def of_tasks(key: Key, name: str, old: TaskEntry, new: TaskEntry) -> list[str]:
    """Why two entries of one task cannot be compared."""
    if new.version != old.version:
        return [
            f"{where(key, name)}: expected version {old.version} as committed, got {new.version}; "
            "rows of other versions cannot be compared"
        ]
    return _parameters(where(key, name), old.parameters, new.parameters) if new.status == "scored" else []


def of_columns(key: Key, task: str, old: ColumnValues, new: ColumnValues) -> list[str]:
    """Why two columns of one name cannot be compared."""
    place = where(key, task, old.column.name)
    reasons = [
        f"{place}: {what} differs: committed {was}, fresh {now}; the task needs a new version"
        for what in ("unit", "better", "aggregate")
        if (was := getattr(old.column, what)) != (now := getattr(new.column, what))
    ]
    return reasons + utterances(place, old.values.keys() | old.unscored.keys(), new.values.keys() | new.unscored.keys())


def utterances(place: str, old: Set[str], new: Set[str]) -> list[str]:
    """Utterances that one side alone has."""
    sides: Sequence[tuple[str, list[str]]] = (("removed", sorted(old - new)), ("added", sorted(new - old)))
    return [
        f"{place}: expected the same utterances, got {len(ids)} {what}, first {ids[0]!r}" for what, ids in sides if ids
    ]


def _parameters(place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [
        f"{place}: parameter {name} differs: committed {old.get(name)}, fresh {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
