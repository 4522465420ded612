"""One change as a sentence, the same in every machine's format."""

from __future__ import annotations

from leaderboard.gate.change import Change, Key
from leaderboard.gate.diff import p_text
from leaderboard.gate.drift import WORDS
from leaderboard.shown import bounds, number, unit
from leaderboard.text import plain


def row_name(key: Key) -> str:
    """`submission (suite, dataset, codec)`, made harmless."""
    suite, dataset, codec, submission = (plain(part, 60) for part in key)
    return f"{submission} ({suite}, {dataset}, {codec})"


def column_name(change: Change) -> str:
    """`task.column`, made harmless."""
    return f"{plain(change.task, 60)}.{plain(change.column, 60)}"


def sentence(change: Change) -> str:
    """What became of a column, in one line."""
    out = f"{column_name(change)} {change.verdict}"
    if change.card and change.change and change.committed is not None and change.fresh is not None:
        places = change.card.decimals
        of = f" {plain(unit(change.card), 16)}" if unit(change.card) else ""
        sign = "+" if change.change.value > 0 else ""
        out += f": {number(change.committed, places)} -> {number(change.fresh, places)}{of}"
        out += f", change {sign}{number(change.change.value, places)} {bounds(change.change, places)}"
        if change.margin is not None:
            out += f", margin {number(change.margin, places)}"
        if change.p is not None:
            out += f", p {p_text(change)}"
        if change.detectable is not None:
            out += f", detectable {number(change.detectable, places)}"
    if change.reason:
        out += f": {plain(change.reason)}"
    if change.cause:
        out += f" ({WORDS[change.cause]})"
    return out
