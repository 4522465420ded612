"""Pre-registered bets, and what records say of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from bench.config import Card, read_card
from bench.record import ColumnValues, Record
from bench.stats import Interval, interval
from leaderboard.compare import difference

FILE = Path(__file__).with_name("bets.toml")
PER_DIMENSION = "nats/frame and dimension"


class Bet(Card):
    """One claim. With `needs` nothing here can decide it yet; with `against` it is about a paired difference."""

    name: str
    claim: str
    probability: Annotated[float, Field(gt=0, lt=1)]
    submission: str = ""
    against: str = ""
    task: str = ""
    column: str = ""
    threshold: float = 0.0
    unit: Literal["", "nats/frame", "nats/frame and dimension"] = ""
    why: str = ""
    needs: str = ""


class Bets(Card):
    """The file."""

    bets: tuple[Bet, ...]


@dataclass(frozen=True)
class Outcome:
    """What the records say of a bet; without a measurement, `reason` says why."""

    bet: Bet
    verdict: Literal["holds", "fails", "open"]
    measured: Interval | None = None
    reason: str = ""


def read_bets(path: Path = FILE) -> tuple[Bet, ...]:
    """The bets of a file.

    Raises:
        CardError: it cannot be read, or has missing or unknown keys; one line that names file and key.
    """
    return read_card(path, Bets).bets


def outcome(bet: Bet, records: Mapping[str, Record]) -> Outcome:
    """Decide one bet.

    Args:
        records: by submission, all of one codec and dataset.
    """
    if bet.needs:
        return Outcome(bet, "open", reason=f"needs {bet.needs}")
    values: dict[str, ColumnValues] = {}
    for name in filter(None, (bet.submission, bet.against)):
        found, why = _column(bet, records.get(name), name)
        if found is None:
            return Outcome(bet, "open", reason=why)
        values[name] = found
    record = records[bet.submission]
    if not record.codec.trained:
        return Outcome(bet, "open", reason="the codec is untrained")
    speakers = {u: entry.speaker for u, entry in record.dataset.utterances.items()}
    mine = values[bet.submission]
    if bet.against:
        theirs = values[bet.against]
        if theirs.values.keys() != mine.values.keys():
            return Outcome(bet, "open", reason="the two rows score different utterances")
        measured = difference(mine.column, theirs, mine, speakers)
    else:
        measured = interval(mine.values, speakers, mine.weights, mine.column.aggregate)
    bar = bet.threshold * (record.codec.dim if bet.unit == PER_DIMENSION else 1)
    if measured.n < 2 or measured.low <= bar <= measured.high:
        return Outcome(bet, "open", measured)
    return Outcome(bet, "holds" if measured.low > bar else "fails", measured)


def _column(bet: Bet, record: Record | None, name: str) -> tuple[ColumnValues | None, str]:
    if record is None or bet.task not in record.tasks:
        return None, f"no row of {name} with {bet.task}"
    entry = record.tasks[bet.task]
    if entry.status != "scored":
        return None, f"{bet.task} of {name} {entry.status}: {entry.reason}"
    found = entry.columns.get(bet.column)
    if found is None or not found.values:
        return None, entry.skipped_columns.get(bet.column, f"{name} has no {bet.column}")
    return found, ""
