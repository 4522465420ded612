"""What a distortion costs: the codec's codes stage by stage, and each model's innovation channel where it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, NamedTuple

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from leaderboard.board import Row
from leaderboard.report.drawn.canvas import sheet
from leaderboard.report.drawn.ground import NOTHING, Ground, entry, interval_of
from leaderboard.report.drawn.ink import DASHED, FG, SOLID, Look
from leaderboard.report.drawn.inline import SERIES
from leaderboard.report.drawn.lines import LINE_HEIGHT, names
from leaderboard.report.figure import Figure
from leaderboard.shown import factor, number, unit
from leaderboard.view import Column, TaskView

TASK = "matched_rate"
SENT, CODED = "codes, as sent", "codes, coded"
TITLE = "Rate against distortion"
CAPTION = (
    "Log-mel distance from the codec's own decoding over bits a second. The line: the codec's codes, stage by stage, "
    "counted as they are sent and by their ideal code length. The points: the innovation channel of each model, with "
    "95 % intervals. A point is a divergence of densities and a line counts symbols: they are shown beside each other, "
    "and not ranked."
)
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Budget(BaseModel):
    """One budget of a curve: rates in the record's unit, and the log-mel distance."""

    rate: Rate
    mel: Rate
    code_length: Rate | None = None


class Drawn(NamedTuple):
    """A series of (bit/s, distance)."""

    name: str
    points: list[tuple[float, float]]
    look: Look


_CURVE = TypeAdapter(list[Budget])


def curve(row: Row, note: str) -> list[Budget]:
    """A noted curve; nothing where the note is not one."""
    found = entry(row, TASK)
    try:
        return _CURVE.validate_python(found.notes.get(note, []) if found is not None else [])
    except ValidationError:
        return []


def tradeoff(ground: Ground) -> list[Figure]:
    """Rate against distortion."""
    view = ground.first(TASK)
    if view is None:
        return []
    columns = {c.card.name: c for c in view.columns}
    rate = columns.get("point_rate") or columns.get("codec_rate")
    if rate is None:
        return []
    own = {row.name: points for row in view.rows if (points := _own(row, rate))}
    rows = [row for row in view.rows if row.name in own]
    lines = _codec(view, rate)
    if not rows and not lines:
        return []
    shown = ground.chosen(rows)
    alt = _alt(ground, own, lines, unit(rate.card))
    with sheet(max(3.6, 0.9 + 1.15 * LINE_HEIGHT * (len(shown) + len(lines)))) as page:
        (axes,) = page.axes
        ends = {}
        for name, points, look in lines:
            axes.plot(*zip(*points, strict=True), color=look.color, marker=look.marker, ls=look.line, gid=SERIES + name)
            ends[name] = points[-1]
        for row in shown:
            label = ground.names[row.name]
            look = ground.looks[label]
            mfc = "none" if look.hollow else look.color
            x, y = zip(*own[row.name], strict=True)
            axes.plot(x, y, color=look.color, marker=look.marker, mfc=mfc, ls=look.line, gid=SERIES + label)
            found = [interval_of(columns.get(name), row) for name in ("point_rate", "point_mel")]
            if found[0] and found[1] and len(own[row.name]) == 1:
                bars = [[[i.value - i.low], [i.high - i.value]] for i in (found[0], found[1])]
                axes.errorbar(x, y, xerr=bars[0], yerr=bars[1], color=look.color, linewidth=0.8, fmt="none")
            ends[label] = own[row.name][-1]
        axes.set_xlabel(f"rate in {unit(rate.card)}")
        axes.set_title("log-mel distance, log10", loc="left")
        axes.set_ylim(bottom=0)
        axes.set_xlim(left=0)
        names(axes, ends, {**ground.looks, **{name: look for name, _, look in lines}})
        svg = page.svg(f"{ground.prefix}-rate-distortion", alt)
    caption = CAPTION + ground.left_out(rows)
    headers = ["row", f"rate {unit(rate.card)}".rstrip(), "log-mel distance"]
    body = [[name, *_numbers(point)] for name, points, _ in lines for point in points]
    body += [[row.name, *_numbers(point)] for row in rows for point in own[row.name]]
    return [Figure("rate-distortion", TITLE, caption, alt, svg, headers, body)]


def _own(row: Row, rate: Column) -> list[tuple[float, float]]:
    by = factor(rate.card, row.record.codec.frame_rate)
    return sorted((by * b.rate, b.mel) for b in curve(row, "own_curve"))


def _codec(view: TaskView, rate: Column) -> list[Drawn]:
    """The codec's curves, of the first row that has them: a trained codec's are the same for all rows."""
    row = next((r for r in view.rows if r.trained and len(curve(r, "codec_curve")) > 1), None)
    if row is None:
        return []
    by, budgets = factor(rate.card, row.record.codec.frame_rate), curve(row, "codec_curve")
    sent = [(by * b.rate, b.mel) for b in budgets]
    coded = [(by * b.code_length, b.mel) for b in budgets if b.code_length is not None]
    out = [Drawn(SENT, sent, Look(FG, ".", SOLID, False))]
    return out + ([Drawn(CODED, coded, Look(FG, "x", DASHED, False))] if len(coded) > 1 else [])


def _numbers(point: tuple[float, float]) -> list[str]:
    return [number(point[0], 1), number(point[1], 3)]


def _alt(ground: Ground, own: Mapping[str, list[tuple[float, float]]], lines: list[Drawn], in_unit: str) -> str:
    parts = [f"{TITLE}."]
    for name, points, _ in lines:
        (a, b), (c, d) = points[0], points[-1]
        parts.append(f"{name}: from {b:.3g} at {a:.4g} {in_unit} to {d:.3g} at {c:.4g} {in_unit}.")
    for name, points in own.items():
        said = "; ".join(f"{mel:.3g} at {rate:.4g} {in_unit}" for rate, mel in points[:8])
        parts.append(f"{ground.names[name]}: {said}.")
    return " ".join(parts) if len(parts) > 1 else NOTHING
