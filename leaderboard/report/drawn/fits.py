"""What fits went through: training and validation loss by step, a panel a row, since every family has its own loss."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from leaderboard.board import Row
from leaderboard.report.curves import Curve
from leaderboard.report.drawn.canvas import sheet
from leaderboard.report.drawn.ground import NOTHING, Ground
from leaderboard.report.drawn.inline import SERIES
from leaderboard.report.drawn.lines import NAME_SIZE
from leaderboard.report.figure import Figure
from leaderboard.shown import number

TITLE = "What fits went through"
CAPTION = (
    "Loss by training step, a panel a row: the line is the training loss, the marked line the validation loss that "
    "decides which step is kept. Every family minimises a loss of its own: heights are compared within a panel only."
)
HEADERS = ("row", "step", "training loss", "validation loss")
ACROSS = 3
MOST_LINES = 12
"""Of the table, a row, where there are no validations."""


def histories(ground: Ground, curves: Mapping[str, Curve]) -> list[Figure]:
    """Training curves of the rows that have one."""
    order: dict[str, Row] = {row.name: row for view in ground.views.values() for row in view.rows}
    rows = [row for name, row in order.items() if name in curves and curves[name].points("loss")]
    if not rows:
        return []
    shown = ground.chosen(rows)
    lines, across = math.ceil(len(shown) / ACROSS), min(ACROSS, len(shown))
    alt = _alt(ground, rows, curves)
    with sheet(0.8 + 1.45 * lines, across, lines, names=0.2) as page:
        for axes, row in zip(page.axes, shown, strict=False):
            label, curve = ground.names[row.name], curves[row.name]
            look = ground.looks[label]
            axes.plot(*zip(*curve.points("loss"), strict=True), color=look.color, lw=0.8, alpha=0.8)
            if held_out := curve.points("valid_loss"):
                mfc = "none" if look.hollow else look.color
                x, y = zip(*held_out, strict=True)
                axes.plot(x, y, color=look.color, marker=look.marker, ms=3, mfc=mfc, gid=SERIES + label)
            axes.set_title(label, loc="left", fontsize=NAME_SIZE)
            axes.tick_params(labelsize=NAME_SIZE)
            axes.locator_params(nbins=4)
        for axes in page.axes[len(shown) :]:
            axes.set_visible(False)
        for axes in page.axes[max(0, len(shown) - across) : len(shown)]:
            axes.set_xlabel("step", fontsize=NAME_SIZE)
        svg = page.svg(f"{ground.prefix}-fits", alt)
    body = [line for row in rows for line in _lines(row.name, curves[row.name])]
    return [Figure("fits", TITLE, CAPTION + ground.left_out(rows), alt, svg, HEADERS, body)]


def _lines(name: str, curve: Curve) -> list[list[str]]:
    """At the validations; where there are none, at a dozen steps."""
    loss, held_out = curve.points("loss"), dict(curve.points("valid_loss"))
    every = math.ceil(len(loss) / MOST_LINES)
    steps: Sequence[int] = list(held_out) or [step for step, _ in loss[every - 1 :: every]]
    out = []
    for step in steps:
        # the block that the step lies in
        at = next((value for end, value in loss if end >= step), None)
        said = (NOTHING if value is None else number(value, 3) for value in (at, held_out.get(step)))
        out.append([name, str(step), *said])
    return out


def _alt(ground: Ground, rows: Sequence[Row], curves: Mapping[str, Curve]) -> str:
    parts = [f"{TITLE}: {len(rows)} fits."]
    for row in rows[:8]:
        loss, held_out = curves[row.name].points("loss"), curves[row.name].points("valid_loss")
        said = f"{ground.names[row.name]}: training loss from {loss[0][1]:.3g} to {loss[-1][1]:.3g}"
        if held_out:
            step, least = min(held_out, key=lambda point: point[1])
            said += f", least validation loss {least:.3g} at step {step}"
        parts.append(said + ".")
    return " ".join(parts)
