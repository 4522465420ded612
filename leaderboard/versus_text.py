"""Two rows held against each other, as text for a terminal of 80 columns, as Markdown and as JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tabulate import tabulate

from leaderboard.shown import SIGNS, arrow, bounds, number, unit
from leaderboard.styles import WIDTH, Style
from leaderboard.text import plain, shortened, wrapped
from leaderboard.versus import Measure, Versus

TITLE_WIDTH = 18
NAME_WIDTH = 13
BEST = "*"


def as_text(found: Versus, style: Style) -> str:
    """The verdict in a sentence, the numbers in a table, and what it does not say."""
    names = {row.name: plain(row.name, 60) for row in (found.first, found.second)}
    first, second = names[found.first.name], names[found.second.name]
    board = found.board
    title = f"{second} − {first}: {plain(board.suite)} · {plain(board.dataset)} · {plain(board.codec)}"
    said = [*in_words(found), ""] if found.measures else []
    parts = [style.heading(1, style.escape(title)), "\n".join(_line(line, style) for line in said).rstrip()]
    if found.measures:
        parts.append(_table(found, style))
    parts.append("\n".join(style.item(style.escape(line)) for line in _notes(found)))
    return "\n\n".join(part for part in parts if part)


def in_words(found: Versus) -> list[str]:
    """What the paired differences say, in sentences."""
    first, second = (plain(row.name, 60) for row in (found.first, found.second))
    ranked = [m for m in found.measures if m.verdict != "not ranked"]
    if not ranked:
        return ["No measure that ranks has values in both rows."]
    count = Counter(m.verdict for m in ranked)
    lines = [
        f"Of {len(ranked)} ranked measures {first} is better in {count['first']}, {second} in {count['second']}; "
        f"{count['not told apart']} cannot be told apart."
    ]
    for verdict, name in (("first", first), ("second", second)):
        titles = [plain(m.card.title, 60) for m in ranked if m.verdict == verdict]
        lines += [f"{name}: {'; '.join(titles)}."] if titles else []
    if unsure := [m for m in ranked if _within_seeds(m)]:
        moved = "; ".join(plain(m.card.title, 60) for m in unsure)
        lines.append(f"Another seed alone has moved one of the rows by as much (~): {moved}.")
    return lines


def _within_seeds(m: Measure) -> bool:
    decided = m.verdict in ("first", "second")
    return decided and m.seed_noise is not None and abs(m.change.value) <= m.seed_noise


def _line(text: str, style: Style) -> str:
    return wrapped(style.escape(text), WIDTH) if style.width else style.escape(text)


def _table(found: Versus, style: Style) -> str:
    narrow = shortened([found.first.name, found.second.name], NAME_WIDTH)
    first, second = (narrow[row.name] for row in (found.first, found.second))
    return tabulate(
        [_cells(m, style) for m in found.measures],
        headers=[
            "",
            style.escape(first),
            style.escape(second),
            f"difference{style.line_break}[95 %]",
            f"p{style.line_break}Holm",
        ],
        tablefmt=style.tablefmt,
        disable_numparse=True,
        colalign=["left", "right", "right", "right", "right"],
    )


def _cells(m: Measure, style: Style) -> list[str]:
    places, card = m.card.decimals, m.card
    below = " ".join(part for part in (plain(unit(card), 12), arrow(card)) if part)
    title = plain(card.title, 60)
    lines = [*wrapped(title, TITLE_WIDTH).split("\n"), below] if style.width else [title, below]
    sign = "+" if m.change.value > 0 else ""
    values = [
        f"{SIGNS[bound]}{number(side.value, places)}" for bound, side in zip(m.bounds, (m.first, m.second), strict=True)
    ]
    winner = {"first": 0, "second": 1}.get(m.verdict)
    if winner is not None:
        values[winner] = f"{'~' if _within_seeds(m) else BEST} {values[winner]}"
    change = [f"{sign}{number(m.change.value, places)}", bounds(m.change, places)]
    return [
        style.line_break.join(style.escape(part) for part in lines if part),
        *(style.escape(value) for value in values),
        style.line_break.join(style.escape(part) for part in change),
        style.escape(_p(m.adjusted)),
    ]


def _p(p: float | None) -> str:
    if p is None:
        return "–"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _notes(found: Versus) -> list[str]:
    lines = []
    unsure = any(_within_seeds(m) for m in found.measures)
    if found.measures:
        label = max((m.change for m in found.measures), key=lambda change: change.n).label
        lines.append(f"difference: {plain(found.second.name, 60)} − {plain(found.first.name, 60)}, paired; {label}")
        lines.append("p, Holm: of the ranked measures here, corrected for their number")
    if any(m.verdict in ("first", "second") for m in found.measures):
        lines.append("* better, by a p below 0.05" + ("; ~ by no more than another seed moves" if unsure else ""))
    if any(m.card.better == "one" for m in found.measures):
        lines.append("→1: the difference is of the distances from 1")
    if any(m.card.aggregate == "median" for m in found.measures):
        medians = ", ".join(plain(m.card.title, 60) for m in found.measures if m.card.aggregate == "median")
        lines.append(f"a median of the differences, not a difference of medians: {medians}")
    if any(bound for m in found.measures for bound in m.bounds):
        lines.append("≥ ≤ a bound of the value; a row that a bound leaves behind may still be ahead: not told apart")
    lines += [
        f"{plain(m.card.title, 60)}: {m.only_one} utterances have a value in one row only and are left out"
        for m in found.measures
        if m.only_one
    ]
    for row in (found.first, found.second):
        if kind := found.board.control(row):
            lines.append(f"{plain(row.name, 60)} is a control ({kind}), never ranked")
        if not row.trained:
            lines.append(f"{plain(row.name, 60)} is of a codec with random weights, never ranked")
        if not row.believed:
            lines.append(f"{plain(row.name, 60)} has no passed self-test for its code")
    reasons: dict[str, list[str]] = {}
    for name, why in found.missing.items():
        reasons.setdefault(plain(why), []).append(plain(name, 80))
    return lines + [f"not compared: {', '.join(names)}: {why}" for why, names in reasons.items()]


def as_json(found: Sequence[Versus]) -> str:
    """A list of comparisons, one a board, with unrounded numbers in the shown unit."""
    return json.dumps([_document(one) for one in found], indent=1, ensure_ascii=False)


def _document(found: Versus) -> dict[str, Any]:
    return {
        "suite": found.board.suite,
        "dataset": found.board.dataset,
        "codec": found.board.codec,
        "first": found.first.name,
        "second": found.second.name,
        "measures": [_measure(m) for m in found.measures],
        "not_compared": found.missing,
    }


def _measure(m: Measure) -> dict[str, Any]:
    return {
        "task": m.task,
        "column": m.card.name,
        "unit": unit(m.card),
        "better": m.card.better,
        "ranked": m.adjusted is not None,
        "first": m.first.value,
        "second": m.second.value,
        **{k: v if not isinstance(v, float) or math.isfinite(v) else None for k, v in asdict(m.change).items()},
        "p": m.p,
        "p_holm": m.adjusted,
        "verdict": m.verdict,
        "detectable": m.detectable if math.isfinite(m.detectable) else None,
        "seed_noise": m.seed_noise,
        "bounds": list(m.bounds),
        "utterances": m.utterances,
        "only_one": m.only_one,
    }
