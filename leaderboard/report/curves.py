"""What fits went through, as runs leave it beside their records: RECORDS/curves/<record>.json.

A file that is missing, broken or of other weights than the row's costs one figure's panel, and is said where it is
more than missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bench.errors import RecordError
from leaderboard.board import Board

FOLDER = "curves"


class Series(BaseModel):
    """One measure by step; null where it was not finite."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str = ""
    unit: str = ""
    steps: list[Annotated[int, Field(ge=0)]]
    values: list[Annotated[float, Field(allow_inf_nan=False)] | None]

    @model_validator(mode="after")
    def _as_long(self) -> Series:
        if len(self.steps) != len(self.values):
            raise ValueError(f"{self.name}: {len(self.values)} values at {len(self.steps)} steps")
        return self

    def points(self) -> list[tuple[int, float]]:
        """(step, value) where there is one."""
        return [(step, value) for step, value in zip(self.steps, self.values, strict=True) if value is not None]


class Curve(BaseModel):
    """What the fit of one row went through."""

    model_config = ConfigDict(frozen=True)

    schema_version: Literal[1]
    seed: int
    code_digest: str
    weights_digest: str
    series: list[Series]

    def points(self, name: str) -> list[tuple[int, float]]:
        """(step, value) of the series `name`; nothing where there is no such."""
        return next((series.points() for series in self.series if series.name == name), [])


def read(path: Path) -> Curve:
    """Read one file.

    Raises:
        RecordError: unreadable, no curve, or of a newer schema.
    """
    try:
        return Curve.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecordError(f"{path.name}: {error.strerror or error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{path.name}: not a curve: {where}: {first['msg']}") from error


def of_board(board: Board, records: Path) -> tuple[dict[str, Curve], Mapping[str, str]]:
    """The curves beside the records of a board.

    Args:
        records: the folder of the records.

    Returns:
        Row → its curve; and row → why a file that is there is not shown.
    """
    found: dict[str, Curve] = {}
    faults: dict[str, str] = {}
    for row in board.rows:
        path = records / FOLDER / f"{Path(row.record.filename).stem}.json"
        try:
            # a name longer than a file's may be raises here; nothing was ever written under it
            if not path.is_file():
                continue
            curve = read(path)
        except OSError:
            continue
        except RecordError as error:
            faults[row.name] = str(error)
            continue
        if curve.weights_digest != row.record.submission.weights_digest:
            faults[row.name] = f"{path.name}: of other weights than the row's"
        else:
            found[row.name] = curve
    return found, faults
