"""The model families side by side, and what was published of them held against the committed rows.

A published finding is a claim over one or two rows with its threshold declared here; it is "seen" or "not seen" where
the whole interval lies on one side, "open" where it does not, "no row" where a row is missing.

References:
    The experiments on Mimi latents that accompany the note (github.com/rtavasso/audioEngram).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tabulate import tabulate

from bench.errors import RecordError
from bench.record import ColumnValues, Record
from bench.stats import Interval, interval
from leaderboard.board import REPLICATE, Board, Row, boards
from leaderboard.compare import difference
from leaderboard.shown import bounds, factor, number, scaled, unit
from leaderboard.text import markdown

FAMILIES = (
    *("raw_ar_v1", "control_raw_ar_seed", "raw_ar_flow_v1", "raw_ar_fm_v1", "rvq_ar_v1", "calm_v1"),
    *("rssm_v1", "rssm_note_v1", "rssm_ae_v1"),
    *("engram_v1", "engram_no_memory_active_v1", "ae_phase1"),
)
"""Cards, one a row of the tables and one more for each seed."""
BASE = "raw_ar_v1"
COLUMNS = (
    *(("delta_nll", f"es_skill_{ms}ms") for ms in (80, 160, 320, 640)),
    ("delta_nll", "own_gain_80ms"),
    ("rollout_gap", "movement_sampled"),
    ("innovation_rate", "rate"),
)
COMPARED = COLUMNS[:5]
"""What is told as a difference to BASE."""
LEAST_NATS, LEAST_MSE = 0.05, 0.005
"""From where on a rate counts as paid and a squared error, in training variances, as bought."""
STILL, EXPLODED = 0.1, 2.0
"""Step lengths of rollouts, as a share of real ones."""
Verdict = Literal["seen", "not seen", "open", "no row"]


@dataclass(frozen=True)
class Finding:
    """What the rows say of a published claim."""

    claim: str
    published: str
    verdict: Verdict
    said: str


def report(records: Iterable[Record], suite: str = "mini") -> str:
    """Markdown: the families' table, paired differences, the findings, and the commands of rows that are missing.

    Raises:
        RecordError: no record of `suite` is a family's.
    """
    found = [board for board in boards(records) if board.suite == suite and any(_is_family(r) for r in board.rows)]
    if not found:
        raise RecordError(f"findings: no record of suite {suite!r} is of a family; {_command([BASE])} makes one")
    return "\n\n".join(part for board in found for part in _of_board(board, len(found) > 1))


def _of_board(board: Board, several: bool) -> list[str]:
    rows = [row for name in FAMILIES for row in board.rows if row.name.partition(REPLICATE)[0] == name]
    by_name = {row.name: row for row in rows}
    parts = [f"### {board.suite} · {board.dataset} · {board.codec}"] if several else []
    parts.append(_table(rows, COLUMNS, _value))
    if BASE in by_name and len(rows) > 1:
        others = [row for row in rows if row.name != BASE]
        parts.append(f"Difference to {BASE} on the same utterances:")
        parts.append(_table(others, COMPARED, lambda row, task, column: _change(by_name[BASE], row, task, column)))
    parts.append(f"{_label(rows)}; ≥ marks a lower bound.")
    parts.append("Published of these families, and what these rows say:")
    lines = [f"- **{f.verdict}**: {f.claim} ({f.published}). {f.said}" for f in findings(by_name)]
    parts.append("\n".join(lines))
    if missing := [name for name in FAMILIES if name not in by_name]:
        listed = ", ".join(f"`{name}`" for name in missing)
        parts.append(f"No row yet of {listed}: {_command(missing, board.suite)}")
    return parts


def _is_family(row: Row) -> bool:
    return row.name.partition(REPLICATE)[0] in FAMILIES


def _command(names: Sequence[str], suite: str = "mini") -> str:
    asked = " ".join(f"--submission {name}" for name in names)
    return f"`bench run {asked} --suite {suite} --records leaderboard/records`"


# --- tables ------------------------------------------------------------------------------------------------


def _table(
    rows: Sequence[Row],
    columns: Sequence[tuple[str, str]],
    cell: Callable[[Row, str, str], tuple[Interval, str] | None],
) -> str:
    """One row a record; columns that no row has stay out."""
    cards = {at: found.column for at in columns for row in rows if (found := _values(row, *at))}
    heads = [markdown(" ".join(filter(None, (card.title, unit(card))))) for card in cards.values()]
    body = []
    for row in rows:
        line = [markdown(row.name)]
        for at, card in cards.items():
            told = cell(row, *at)
            line.append("–" if told is None else told[1] + _written(told[0], card.decimals))
        body.append(line)
    align = ["left", *("right" for _ in cards)]
    return tabulate(body, headers=["", *heads], tablefmt="pipe", disable_numparse=True, colalign=align)


def _written(found: Interval, decimals: int) -> str:
    return f"{number(found.value, decimals)} {markdown(bounds(found, decimals))}"


def _label(rows: Sequence[Row]) -> str:
    told = next((found for row in rows for at in COLUMNS if (found := _value(row, *at))), None)
    return told[0].label if told else "no intervals"


def _values(row: Row | None, task: str, column: str) -> ColumnValues | None:
    entry = row.record.tasks.get(task) if row else None
    found = entry.columns.get(column) if entry and entry.status == "scored" else None
    return found if found and found.values else None


def _value(row: Row, task: str, column: str) -> tuple[Interval, str] | None:
    """The column's interval in shown units, and the mark of a bound."""
    found = _measured(row, task, column)
    if found is None:
        return None
    values = _values(row, task, column)
    noted = row.record.tasks[task].notes.get("bounds")
    mark = "≥ " if isinstance(noted, dict) and noted.get(column) == "lower" else ""
    assert values is not None
    return scaled(found, factor(values.column, row.record.codec.frame_rate)), mark


def _change(base: Row, row: Row, task: str, column: str) -> tuple[Interval, str] | None:
    found = _difference(base, row, task, column)
    values = _values(row, task, column)
    if found is None or values is None:
        return None
    return scaled(found, factor(values.column, row.record.codec.frame_rate)), ""


def _measured(row: Row | None, task: str, column: str) -> Interval | None:
    """In the record's unit."""
    found = _values(row, task, column)
    if row is None or found is None:
        return None
    return interval(found.values, row.speakers, found.weights, found.column.aggregate)


def _difference(first: Row | None, second: Row | None, task: str, column: str) -> Interval | None:
    """second − first in the record's unit; None where they cannot be compared."""
    a, b = _values(first, task, column), _values(second, task, column)
    if first is None or second is None or a is None or b is None:
        return None
    same = first.record.tasks[task].version == second.record.tasks[task].version
    if not same or a.column.unit != b.column.unit or a.values.keys() != b.values.keys():
        return None
    return difference(b.column, a, b, second.speakers)


# --- published findings ------------------------------------------------------------------------------------


def findings(rows: Mapping[str, Row]) -> list[Finding]:
    """The four claims, each with its verdict.

    Args:
        rows: by name, of one board.
    """
    return [_unused(rows), _still(rows), _exploded(rows), _vanished(rows)]


def _unused(rows: Mapping[str, Row]) -> Finding:
    claim = "rssm_ae_v1 pays for z_rec and does not use it"
    published = "KL 2.0 nats a frame, error with the prior over error with the posterior 0.99999"
    row = rows.get("rssm_ae_v1")
    paid, bought = (_measured(row, "innovation_rate", name) for name in ("rate_rec", "usefulness_mse"))
    if row is None or paid is None or bought is None:
        return Finding(claim, published, "no row", _lacks(["rssm_ae_v1"]))
    said = f"z_rec {_written(paid, 3)} nats/frame; the posterior saves {_written(bought, 4)} training variances"
    if paid.high < LEAST_NATS:
        return Finding(claim, published, "not seen", f"{said}: nothing is paid.")
    verdict = _side(bought, LEAST_MSE, below="seen", above="not seen")
    if verdict == "seen" and paid.low < LEAST_NATS:
        verdict = "open"
    return Finding(claim, published, verdict, f"{said}; the bar is {LEAST_MSE:g}.")


def _still(rows: Mapping[str, Row]) -> Finding:
    claim = "after rollout training rssm_ae_v1 stands still"
    published = "mean step 10.8 before, 0.025 after"
    found = _measured(rows.get("rssm_ae_v1"), "rollout_gap", "movement_mean")
    if found is None:
        return Finding(claim, published, "no row", _lacks(["rssm_ae_v1"]))
    verdict = _side(found, STILL, below="seen", above="not seen")
    said = f"Rollouts of means take steps of {_written(found, 3)} of the real ones; the bar is {STILL:g}."
    return Finding(claim, published, verdict, said)


def _exploded(rows: Mapping[str, Row]) -> Finding:
    claim = "rollouts of the means of raw_ar_v1 explode"
    published = "ΔNLL +761,868 nats at K = 16"
    row = rows.get(BASE)
    found = _measured(row, "rollout_gap", "movement_mean")
    if row is None or found is None:
        return Finding(claim, published, "no row", _lacks([BASE]))
    verdict = _side(found, EXPLODED, below="not seen", above="seen")
    said = f"Rollouts of means take steps of {_written(found, 3)} of the real ones; the bar is {EXPLODED:g}"
    if (gap := _measured(row, "rollout_gap", "gap_mean_1280ms")) is not None:
        said += f", and the gap at 1280 ms is {_written(gap, 1)} nats/frame"
    return Finding(claim, published, verdict, said + ".")


def _vanished(rows: Mapping[str, Row]) -> Finding:
    claim = "what memory gains engram_v1 over the same network without it is gone in rollouts"
    published = "−44.5 to −48.0 nats teacher-forced, less than 1 nat in rollouts"
    names = ["engram_no_memory_active_v1", "engram_v1"]
    without, having = (rows.get(name) for name in names)
    forced = _difference(without, having, "delta_nll", "own_gain_80ms")
    rolled = _difference(without, having, "delta_nll", "es_skill_640ms")
    if forced is None or rolled is None:
        return Finding(claim, published, "no row", _lacks([n for n in names if n not in rows] or names))
    said = f"Own gain at 80 ms {_written(forced, 3)} nats/frame, energy-score skill at 640 ms {_written(rolled, 4)}"
    if forced.high <= 0:
        return Finding(claim, published, "not seen", f"{said}: memory gains nothing that could vanish.")
    if forced.low <= 0 or forced.n < 2:
        return Finding(claim, published, "open", f"{said}: the gain itself is not told from 0.")
    return Finding(claim, published, "not seen" if rolled.low > 0 else "seen", f"{said}.")


def _side(found: Interval, bar: float, below: Verdict, above: Verdict) -> Verdict:
    if found.n < 2 or found.low <= bar <= found.high:
        return "open"
    return below if found.high < bar else above


def _lacks(names: Sequence[str]) -> str:
    return f"{_command(names)} makes what is missing."
