"""What a check found, as the Markdown of a pull request's comment: what regressed first, and how to make it again.

Strangers' text stands in code, escaped: it shows its characters, and makes no link, mention, tag or table cell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from leaderboard.gate.change import Change, Key, Outcome
from leaderboard.gate.diff import by_cause, headline, p_text, remarks
from leaderboard.gate.drift import WORDS
from leaderboard.shown import bounds, number, unit
from leaderboard.text import markdown, plain

T = TypeVar("T")
LONGEST = 65_536
"""Characters that GitHub takes."""
MARK = "<!-- bench check -->"
"""The first line, by which a later run finds the comment that it replaces."""
MOST_LINES = 60
_LEFT_OUT = "*Left out, since a comment may not be longer: {}. The workflow's artefacts hold everything.*"
_LONGEST_NOTE = 400


def as_comment(found: Outcome, commands: Mapping[Key, str], beside: str = "") -> str:
    """The comment, below GitHub's limit: sections that would not fit are named instead.

    Args:
        commands: row → the command that makes its fresh record again.
        beside: the boards with the fresh rows among the committed ones, in Markdown.
    """
    verdict = {0: "nothing got worse", 1: "something got worse", 2: "cannot be compared"}[found.code]
    sections = {
        "": f"{MARK}\n### `bench check`: {verdict}\n\n{headline(found)}.",
        "what was refused": _refused(found.refused),
        "what regressed": _changes("Regressed", found.regressed),
        "how to make the rows again": _reproduce(found, commands),
        "what else changed": _folded(
            "Other changes", _changes("", [c for c in found.changes if c.verdict != "regressed" and c.cause])
        ),
        "the tables": _folded("The fresh rows among the committed ones", beside),
        "remarks": "\n".join(f"- {code(line)}" for line in _first(remarks(found), MOST_LINES)),
    }
    out, lacking = "", []
    for name, text in sections.items():
        if text and len(out) + len(text) > LONGEST - _LONGEST_NOTE:
            lacking.append(name)
        elif text:
            out += f"{text}\n\n"
    if lacking:
        out += _LEFT_OUT.format(", ".join(lacking)) + "\n"
    return out.rstrip("\n") + "\n"


def code(text: str, longest: int = 300) -> str:
    """Strangers' text as inline code.

    >>> code("@all <b> https://x.y | z")
    '<code>@all &lt;b&gt; https:&#47;&#47;x.y \\\\| z</code>'
    """
    safe = markdown(plain(text, longest)).replace("://", ":&#47;&#47;").replace("www.", "www&#46;")
    return f"<code>{safe}</code>"


def _refused(lines: Sequence[str]) -> str:
    if not lines:
        return ""
    listed = "\n".join(f"- {code(line)}" for line in _first(lines, MOST_LINES))
    return f"#### Refused\n\n{listed}"


def _changes(title: str, changes: Sequence[Change]) -> str:
    """A table, the largest change against its noise first, and the causes."""
    if not changes:
        return ""
    header = ["row", "column", "committed", "fresh", "change [95 %]", "margin", "detectable", "p", "verdict"]
    ordered = sorted(changes, key=lambda c: (c.p is not None, 1.0 if c.p is None else c.p, c.key, c.task, c.column))
    rows = [_row(change) for change in ordered[:MOST_LINES]]
    lines = ["| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *rows)]
    more = [f"\n… and {len(ordered) - MOST_LINES} more."] if len(ordered) > MOST_LINES else []
    causes = [
        f"- {WORDS[cause]}: {', '.join(code(n, 60) for n in dict.fromkeys(names))}"
        for cause, names in by_cause(ordered[:MOST_LINES]).items()
    ]
    heading = [f"#### {title}", ""] if title else []
    return "\n".join([*heading, *lines, *more, "", *causes]).rstrip("\n")


def _folded(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{text}\n\n</details>" if text else ""


def _row(change: Change) -> list[str]:
    name, column = code(change.key[3], 60), code(f"{change.task}.{change.column}", 90)
    card, delta = change.card, change.change
    if card is None or delta is None or change.committed is None or change.fresh is None:
        return [name, column, "", "", code(change.reason), "", "", "", change.verdict]
    places, of = card.decimals, f" {code(unit(card), 16)}" if unit(card) else ""
    margin, finds = ("" if x is None else number(x, places) for x in (change.margin, change.detectable))
    said = f"{'+' if delta.value > 0 else ''}{number(delta.value, places)} {bounds(delta, places)}{of}"
    said += f" {code(change.reason)}" if change.reason else ""
    numbers = [number(change.committed, places), number(change.fresh, places)]
    return [name, column, *numbers, said, margin, finds, p_text(change).replace("<", "&lt;"), change.verdict]


def _reproduce(found: Outcome, commands: Mapping[Key, str]) -> str:
    touched = dict.fromkeys(c.key for c in [*found.regressed, *found.changes] if c.key in commands and c.cause)
    if not touched:
        return ""
    lines = [f"- {code(key[3], 60)}: {code(commands[key], 1000)}" for key in _first(touched, 20)]
    return "\n".join(["#### Make them again", "", *lines, "", "Then `bench check` says the same."])


def _first(lines: Iterable[T], most: int) -> list[T]:
    return list(lines)[:most]
