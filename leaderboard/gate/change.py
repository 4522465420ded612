"""What the gate finds: one change a column, and the outcome of a whole check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from bench.config import ColumnCard
from bench.stats import Interval
from leaderboard.gate.drift import Cause
from leaderboard.gate.margins import Error

Verdict = Literal["regressed", "improved", "unchanged"]
Seeded = Literal["", "counted", "not measured"]
Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Change:
    """One column of one row. Numbers are in the shown unit.

    Attributes:
        change: fresh − committed; where one is best, of the distances from one.
        margin: how much worse the column may get.
        noise: the errors of the change, with the seeds' where that belongs; None where one utterance has none.
        p: of "worse by at most the margin", after Holm's correction over all columns that differ; None where none does.
        detectable: the true worsening that the check would find with 80 % power.
        surely: the same with 95 %.
        seeded: whether the noise of another seed is part of `noise`; "" where nothing was fitted again.
        cause: why the values differ; "" where they do not.
        reason: stands for the numbers of a column that no longer gives them.
    """

    key: Key
    task: str
    column: str
    verdict: Verdict
    card: ColumnCard | None = None
    committed: float | None = None
    fresh: float | None = None
    change: Interval | None = None
    margin: float | None = None
    noise: Error | None = None
    p: float | None = None
    detectable: float | None = None
    surely: float | None = None
    seeded: Seeded = ""
    cause: Cause = ""
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """What a check found.

    Attributes:
        refused: why records, rows, tasks or columns cannot be compared; one line each.
        not_run: committed rows without a fresh one.
        tasks_not_run: scored tasks of a committed row that its fresh record does not hold.
        added: fresh rows without a committed one.
        notes: what a reader should know and no verdict depends on.
        judged: how many columns differ, and share the rate of false alarms.
    """

    changes: Sequence[Change] = ()
    refused: Sequence[str] = ()
    not_run: Sequence[Key] = ()
    tasks_not_run: Sequence[tuple[Key, str]] = ()
    added: Sequence[Key] = ()
    notes: Sequence[str] = field(default_factory=tuple)
    judged: int = 0

    @property
    def regressed(self) -> list[Change]:
        return [change for change in self.changes if change.verdict == "regressed"]

    @property
    def code(self) -> int:
        """The exit code: 2, something cannot be compared; 1, something regressed; 0, nothing did."""
        return 2 if self.refused else 1 if self.regressed else 0


def where(key: Key, *parts: str) -> str:
    """A row, and a task or column of it, in words."""
    return " ".join(part for part in ("/".join(key), *parts) if part)
