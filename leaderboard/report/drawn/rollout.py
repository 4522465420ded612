"""What becomes of a model that reads its own samples, frame by frame: the notes of the task `rollout_gap`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from leaderboard.board import Row
from leaderboard.report.drawn.canvas import sheet
from leaderboard.report.drawn.ground import NOTHING, Ground, entry, range_said
from leaderboard.report.drawn.lines import LINE_HEIGHT, Point, line, names
from leaderboard.report.figure import Figure
from leaderboard.shown import factor, number, unit
from leaderboard.view import TaskView

TASK = "rollout_gap"
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Noted(BaseModel):
    """A point of a curve, in the record's unit."""

    ms: Finite
    value: Finite
    low: Finite
    high: Finite


class Measure(NamedTuple):
    """A curve of the notes; `column` is one in the same unit, "" where it has none."""

    note: str
    column: str
    name: str
    title: str
    axis: str
    caption: str


GAP = Measure(
    "gap_sampled",
    "gap_sampled_160ms",
    "rollout-gap",
    "Rollout error against the horizon",
    "gap",
    "What the model loses in telling the true frame after its own samples rather than the true frames, over the time "
    "since it was left alone; bands are 95 % intervals. A perfect model's is above zero too.",
)
SKILL = Measure(
    "es_skill",
    "",
    "rollout-skill",
    "Skill of rollouts against the horizon",
    "energy-score skill",
    "1 less the energy score of the model's samples over that of training frames drawn at random, over the time since "
    "it was left alone; bands are 95 % intervals. Zero: no better than frames without order.",
)
_CURVE = TypeAdapter(list[Noted])
MOST_OPACITY = 0.8
"""Of all bands together: many that lie on each other must not hide the lines."""


def gap(ground: Ground) -> list[Figure]:
    """Rollout error against the horizon."""
    return _figure(ground, GAP)


def skill(ground: Ground) -> list[Figure]:
    """Energy-score skill against the horizon."""
    return _figure(ground, SKILL)


def curve(row: Row, note: str) -> list[Noted]:
    """The noted curve by time; nothing where the note is not a curve."""
    found = entry(row, TASK)
    noted = found.notes.get("curves") if found is not None else None
    try:
        points = _CURVE.validate_python(noted.get(note, []) if isinstance(noted, dict) else [])
    except ValidationError:
        return []
    return sorted(points, key=lambda p: p.ms)


def _figure(ground: Ground, what: Measure) -> list[Figure]:
    view = ground.first(TASK)
    if view is None:
        return []
    curves: dict[str, list[Point]] = {}
    shown_unit = ""
    for row in view.rows:
        found, (by, in_unit) = curve(row, what.note), _scale(view, row, what.column)
        if len(found) > 1:
            curves[row.name] = [Point(p.ms, by * p.value, by * p.low, by * p.high) for p in found]
            shown_unit = in_unit
    rows = [row for row in view.rows if row.name in curves]
    if not rows:
        return []
    far = _far(ground, rows, curves)
    shown = ground.chosen([row for row in rows if row not in far])
    alt = _alt(ground, what, curves, shown_unit)
    with sheet(max(3.4, 0.9 + 1.15 * LINE_HEIGHT * max(len(shown), 4))) as page:
        (axes,) = page.axes
        for row in sorted(shown, key=lambda r: not ground.board.control(r)):
            label = ground.names[row.name]
            line(axes, label, curves[row.name], ground.looks[label], band=min(0.12, MOST_OPACITY / len(shown)))
        axes.set_xlabel("time since the last true frame in ms")
        axes.set_title(" in ".join(filter(None, (what.axis, shown_unit))), loc="left")
        axes.set_xlim(left=0, right=max(p.x for row in shown for p in curves[row.name]) * 1.02)
        names(axes, {ground.names[row.name]: curves[row.name][-1][:2] for row in shown}, ground.looks)
        svg = page.svg(f"{ground.prefix}-{what.name}", alt)
    times = sorted({p.x for points in curves.values() for p in points})
    headers = ["row", *(" ".join(filter(None, (f"{ms:g} ms", shown_unit))) for ms in times)]
    caption = what.caption + ground.controls_said(shown)
    if far:
        caption += f" Too far off to be drawn: {', '.join(ground.names[row.name] for row in far)}."
    caption += ground.left_out([row for row in rows if row not in far])
    return [Figure(what.name, what.title, caption, alt, svg, headers, _body(rows, curves, times, what.column))]


def _far(ground: Ground, rows: Sequence[Row], curves: Mapping[str, Sequence[Point]]) -> list[Row]:
    """Controls that lie further from all models than these from each other: they would press the models flat."""
    models = [p.y for row in rows if not ground.board.control(row) for p in curves[row.name]]
    if not models or min(models) == max(models):
        return []
    span = max(models) - min(models)
    low, high = min(models) - span, max(models) + span
    controls = [row for row in rows if ground.board.control(row)]
    return [row for row in controls if not all(low <= p.y <= high for p in curves[row.name])]


def _scale(view: TaskView, row: Row, column: str) -> tuple[float, str]:
    """From the notes' unit, which is that of `column`, to the table's, and its name."""
    card = next((c.card for c in view.columns if c.card.name == column), None)
    return (1.0, "") if card is None else (factor(card, row.record.codec.frame_rate), unit(card))


def _body(
    rows: Sequence[Row], curves: Mapping[str, Sequence[Point]], times: Sequence[float], column: str
) -> list[list[str]]:
    decimals = 1 if column else 3
    out = []
    for row in rows:
        at = {p.x: p for p in curves[row.name]}
        out.append([row.name, *(_said(at.get(ms), decimals) for ms in times)])
    return out


def _said(found: Point | None, decimals: int) -> str:
    if found is None:
        return NOTHING
    y, low, high = (number(value, decimals) for value in (found.y, found.low, found.high))
    return f"{y} [{low}, {high}]"


def _alt(ground: Ground, what: Measure, curves: Mapping[str, Sequence[Point]], in_unit: str) -> str:
    last = max(points[-1].x for points in curves.values())
    at_end = {ground.names[name]: points[-1].y for name, points in curves.items() if points[-1].x == last}
    said = range_said(at_end, in_unit)
    return f"{what.title}: lines of {len(curves)} rows. The {what.axis} after {last:g} ms: {said}."
