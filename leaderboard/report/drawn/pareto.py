"""Quality of what is generated over what it costs: every setting a point, a line through the best of each model."""

from __future__ import annotations

from typing import Any

from leaderboard.frontier import Swept, swept
from leaderboard.report.drawn.canvas import sheet
from leaderboard.report.drawn.ground import Ground
from leaderboard.report.drawn.ink import DASHDOT, FG
from leaderboard.report.drawn.inline import SERIES
from leaderboard.report.drawn.lines import LINE_HEIGHT, NAME_SIZE, names
from leaderboard.report.figure import Figure
from leaderboard.shown import number
from leaderboard.text import plain

TITLE = "Quality against cost"
CAPTION = (
    "Quality of continuations over the FLOPs of a second of audio, the codec's decoder apart; both axes may be "
    "logarithmic. A point is a setting of a model, a line joins those that no cheaper one is as good as. Horizontal: "
    "the suite's target, the codec's resynthesis and frames without order."
)
HEADERS = ("row", "settings", "GFLOP a second", "quality", "on the frontier")


def frontier(ground: Ground) -> list[Figure]:
    """Quality against FLOPs."""
    view = ground.first("cost_at_quality")
    rows = [row for row in view.rows if not ground.board.control(row)] if view is not None else []
    found = [one for row in rows if (one := swept(row))]
    # a quality of another name has another scale
    found = [one for one in found if one.target.quality == found[0].target.quality]
    if not found:
        return []
    shown = [one for one in found if one.row in ground.chosen([one.row for one in found])]
    alt = _alt(ground, found)
    with sheet(max(3.8, 0.9 + 1.3 * LINE_HEIGHT * len(shown))) as page:
        (axes,) = page.axes
        ends = {}
        for one in shown:
            label = ground.names[one.row.name]
            look = ground.looks[label]
            points, best = ([(p.gflops, p.quality) for p in each] for each in (one.points, one.best))
            axes.plot(*zip(*points, strict=True), color=look.color, marker=look.marker, ls="", alpha=0.55, ms=3.5)
            axes.plot(*zip(*best, strict=True), color=look.color, marker=look.marker, ls=look.line, gid=SERIES + label)
            ends[label] = best[-1]
        target = found[0].target
        axes.set_xscale("log")
        if min(*(p.quality for one in shown for p in one.points), target.ceiling, target.floor, target.value) > 0:
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter("")
        for name, value in (("target", target.value), ("codec", target.ceiling), ("floor", target.floor)):
            axes.axhline(value, color=FG, linewidth=0.8, linestyle="-" if name == "target" else DASHDOT)
            place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "bottom", "fontsize": NAME_SIZE}
            axes.annotate(name, (0.005, value), **place)
        axes.set_xlabel("GFLOP a second of audio")
        better = "more is better" if target.better > 0 else "less is better"
        axes.set_title(f"{plain(target.quality, 40)} of continuations, {better}", loc="left")
        names(axes, ends, ground.looks)
        svg = page.svg(f"{ground.prefix}-quality-cost", alt)
    body = [
        [
            one.row.name,
            p.settings or "its own",
            number(p.gflops, 4),
            number(p.quality, 2),
            "yes" if p in one.best else "",
        ]
        for one in found
        for p in one.points
    ]
    caption = CAPTION + ground.left_out([one.row for one in found])
    return [Figure("quality-cost", TITLE, caption, alt, svg, HEADERS, body)]


def _alt(ground: Ground, found: list[Swept]) -> str:
    target = found[0].target
    best = {ground.names[one.row.name]: one.best[-1] for one in found}
    first = max(best, key=lambda name: target.better * best[name].quality)
    quality = plain(target.quality, 40)
    return (
        f"{TITLE}: {len(found)} models. The best {quality} is {best[first].quality:.4g}, of {first} at "
        f"{best[first].gflops:.3g} GFLOP a second; the target is {target.value:.4g}, the codec {target.ceiling:.4g}, "
        f"frames without order {target.floor:.4g}."
    )
