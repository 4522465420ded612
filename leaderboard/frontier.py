"""What a sweep of a model's knobs of generation found: cost and quality of every setting, and the best of them.

Read from the notes of the task `cost_at_quality`, which may be anyone's: what is not as it should be is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from leaderboard.board import Row

COST = "cost_at_quality"
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Setting(BaseModel):
    """One setting: GFLOP a second of audio, and the quality of what it makes."""

    settings: str = ""
    gflops: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    quality: Finite


class Target(BaseModel):
    """Of which quality, and where floor, ceiling and the suite's target lie."""

    quality: str
    floor: Finite
    ceiling: Finite
    value: Finite

    @property
    def better(self) -> int:
        """1 where more of it is better, else −1."""
        return 1 if self.ceiling > self.floor else -1


class Swept(NamedTuple):
    """A row's settings by cost, those that no cheaper one is as good as, and the target."""

    row: Row
    points: Sequence[Setting]
    best: Sequence[Setting]
    target: Target


_SETTINGS = TypeAdapter(list[Setting])


def swept(row: Row) -> Swept | None:
    """None where the row was not swept, or its decode has no cost that counts."""
    entry = row.record.tasks.get(COST)
    if entry is None:
        return None
    try:
        points = _SETTINGS.validate_python(entry.notes.get("points", []))
        target = Target.model_validate(entry.notes.get("target"))
    except ValidationError:
        return None
    points = sorted(points, key=lambda p: (p.gflops, p.quality))
    return Swept(row, points, frontier(points, target.better), target) if points else None


def frontier(points: Sequence[Setting], better: int) -> list[Setting]:
    """Of points by cost those that are better than every cheaper one.

    >>> frontier([Setting(gflops=c, quality=q) for c, q in ((1, 5), (2, 3), (3, 6))], 1)[-1].gflops
    3.0
    """
    best: list[Setting] = []
    for point in points:
        if not best or better * point.quality > better * best[-1].quality:
            best.append(point)
    return best
