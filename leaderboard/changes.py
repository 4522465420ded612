"""A comparison as text for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from leaderboard.regress import Change, Comparison, Key
from leaderboard.shown import bounds, number, unit
from leaderboard.styles import WIDTH
from leaderboard.text import plain, wrapped

NAME_WIDTH = 20


def as_text(found: Comparison, wide: bool = False) -> str:
    """What changed, row by row and task by task; with `wide` also what did not."""
    groups: dict[tuple[Key, str], list[Change]] = {}
    for change in found.changes:
        if wide or change.verdict != "unchanged":
            groups.setdefault((change.key, change.task), []).append(change)
    parts = [_group(key, task, changes) for (key, task), changes in groups.items()]
    return "\n\n".join([*parts, _summary(found)])


def _group(key: Key, task: str, changes: Sequence[Change]) -> str:
    suite, dataset, codec, submission = (plain(part, 60) for part in key)
    title = wrapped(f"{submission}: {plain(task, 60)} ({suite}, {dataset}, {codec})", WIDTH)
    parts = [title]
    if numbers := [_line(change) for change in changes if change.change is not None]:
        headers = ["", "committed\nfresh", "change\n95 % interval", "verdict\nmargin"]
        align = ["left", "right", "right", "right"]
        parts.append(tabulate(numbers, headers, tablefmt="simple", disable_numparse=True, colalign=align))
    for change in changes:
        if change.reason:
            text = f"{change.column} {change.verdict}: {plain(change.reason)}"
            parts.append(wrapped(text, WIDTH, indent="  "))
    return "\n".join(parts)


def _line(change: Change) -> list[str]:
    if change.card is None or change.change is None or change.committed is None or change.fresh is None:
        return []
    card, delta, places = change.card, change.change, change.card.decimals
    units = [plain(unit(card), 16), "from 1" if card.better == "one" else ""]
    sign = "+" if delta.value > 0 else ""
    margin = "none" if change.margin is None else number(change.margin, places)
    return [
        "\n".join([wrapped(plain(change.column, 60), NAME_WIDTH), *(u for u in units if u)]),
        f"{number(change.committed, places)}\n{number(change.fresh, places)}",
        f"{sign}{number(delta.value, places)}\n{bounds(delta, places)}",
        f"{change.verdict}\n{margin}",
    ]


def _summary(found: Comparison) -> str:
    rows = len({change.key for change in found.changes})
    counts = {v: sum(c.verdict == v for c in found.changes) for v in ("regressed", "improved", "unchanged")}
    lines = [", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + f", in {rows} rows"]
    lines += [f"note: {plain(note)}" for note in found.notes]
    lines += [f"not run: {plain(' / '.join(key))}" for key in found.not_run]
    lines += [f"not run: {plain(' / '.join((*key, task)))}" for key, task in found.tasks_not_run]
    lines += [f"no committed row yet: {plain(' / '.join(key))}" for key in found.added]
    return "\n".join(wrapped(line, WIDTH, indent="  ") for line in lines)


def as_json(found: Comparison) -> str:
    """Every change with unrounded numbers in the shown unit."""
    document = {
        "regressed": len(found.regressed),
        "changes": [_change(change) for change in found.changes],
        "not_run": [list(key) for key in found.not_run],
        "tasks_not_run": [[*key, task] for key, task in found.tasks_not_run],
        "added": [list(key) for key in found.added],
        "notes": list(found.notes),
    }
    return json.dumps(document, indent=1, ensure_ascii=False)


def _change(change: Change) -> dict[str, Any]:
    suite, dataset, codec, submission = change.key
    interval = change.change
    return {
        "suite": suite,
        "dataset": dataset,
        "codec": codec,
        "submission": submission,
        "task": change.task,
        "column": change.column,
        "unit": unit(change.card) if change.card else "",
        "verdict": change.verdict,
        "committed": change.committed,
        "fresh": change.fresh,
        "change": None if interval is None else interval.value,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "margin": change.margin,
        "reason": change.reason,
    }
