"""What a check found, as text for people, within 80 columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from leaderboard.gate.change import Change, Key, Outcome
from leaderboard.gate.drift import WORDS, Cause
from leaderboard.gate.margins import FALSE_ALARMS
from leaderboard.shown import bounds, number, unit
from leaderboard.styles import WIDTH
from leaderboard.text import plain, wrapped

NAME_WIDTH = 18
FEW = 8
"""Rows not run that are worth a line each."""


def as_text(found: Outcome, wide: bool = False) -> str:
    """What changed, row by row and task by task; with `wide` also what did not."""
    groups: dict[tuple[Key, str], list[Change]] = {}
    for change in found.changes:
        if wide or change.verdict != "unchanged":
            groups.setdefault((change.key, change.task), []).append(change)
    parts = [_group(key, task, changes) for (key, task), changes in groups.items()]
    refused = "\n".join(wrapped(f"refused: {plain(line)}", WIDTH, indent="  ") for line in found.refused)
    return "\n\n".join(part for part in (*parts, refused, _summary(found, wide)) if part)


def _group(key: Key, task: str, changes: Sequence[Change]) -> str:
    suite, dataset, codec, submission = (plain(part, 60) for part in key)
    title = wrapped(f"{submission}: {plain(task, 60)} ({suite}, {dataset}, {codec})", WIDTH)
    parts = [title]
    if numbers := [_line(change) for change in changes if change.change is not None]:
        headers = ["", "committed\nfresh", "change\n95 % interval", "margin\ndetectable", "verdict\np"]
        align = ["left", "right", "right", "right", "right"]
        parts.append(tabulate(numbers, headers, tablefmt="simple", disable_numparse=True, colalign=align))
    for cause, names in by_cause(changes).items():
        parts.append(wrapped(f"{plain(', '.join(names))}: {WORDS[cause]}", WIDTH, indent="  "))
    for change in changes:
        if change.reason:
            text = f"{change.column} {change.verdict}: {plain(change.reason)}"
            parts.append(wrapped(text, WIDTH, indent="  "))
    return "\n".join(parts)


def by_cause(changes: Iterable[Change]) -> dict[Cause, list[str]]:
    """Why values differ → the columns that do."""
    found: dict[Cause, list[str]] = {}
    for change in changes:
        if change.cause:
            found.setdefault(change.cause, []).append(change.column)
    return found


def _line(change: Change) -> list[str]:
    if change.card is None or change.change is None or change.committed is None or change.fresh is None:
        return []
    card, delta, places = change.card, change.change, change.card.decimals
    units = [plain(unit(card), 16), "from 1" if card.better == "one" else ""]
    sign = "+" if delta.value > 0 else ""
    margin, finds = ("none" if x is None else number(x, places) for x in (change.margin, change.detectable))
    return [
        "\n".join([wrapped(plain(change.column, 60), NAME_WIDTH), *(u for u in units if u)]),
        f"{number(change.committed, places)}\n{number(change.fresh, places)}",
        f"{sign}{number(delta.value, places)}\n{bounds(delta, places)}",
        f"{margin}\n{finds}",
        f"{change.verdict}\n{p_text(change)}",
    ]


def p_text(change: Change) -> str:
    """p after Holm's correction, in words where it is very small; "" where there is none."""
    if change.p is None:
        return ""
    return "< 0.0001" if change.p < 1e-4 else f"{change.p:.4f}"


def headline(found: Outcome) -> str:
    """The counts of a check in one line."""
    rows = len({change.key for change in found.changes})
    counts = {v: sum(c.verdict == v for c in found.changes) for v in ("regressed", "improved", "unchanged")}
    refused = f", {len(found.refused)} refused" if found.refused else ""
    return ", ".join(f"{count} {verdict}" for verdict, count in counts.items()) + f"{refused}, in {rows} rows"


def remarks(found: Outcome, wide: bool = False) -> list[str]:
    """What stands below the changes, a line each; with `wide` every row that was not run."""
    share = f"{found.judged} columns differ; judged together, at a false-alarm rate of {100 * FALSE_ALARMS:g} % for all"
    return [
        *([share] if found.judged else []),
        *(f"note: {plain(note)}" for note in found.notes),
        *_not_run(found, wide),
        *(f"not run: {plain(' / '.join((*key, task)))}" for key, task in found.tasks_not_run),
        *(f"no committed row yet: {plain(' / '.join(key))}" for key in found.added),
    ]


def _not_run(found: Outcome, wide: bool) -> list[str]:
    """Committed rows that were not run: of boards that were run by name, of others counted."""
    boards = {change.key[:3] for change in found.changes}
    near = [key for key in found.not_run if wide or (key[:3] in boards and len(found.not_run) <= FEW)]
    lines = [f"not run: {plain(' / '.join(key))}" for key in near]
    if rest := len(found.not_run) - len(near):
        lines.append(f"{rest} committed rows were not run{'' if wide else '; --wide names them'}")
    return lines


def _summary(found: Outcome, wide: bool) -> str:
    return "\n".join(wrapped(line, WIDTH, indent="  ") for line in (headline(found), *remarks(found, wide)))
