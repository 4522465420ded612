"""Lines with their intervals, each ending at its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from leaderboard.report.drawn.ink import Look
from leaderboard.report.drawn.inline import SERIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME_SIZE = 7.5
LINE_HEIGHT = 1.25 * NAME_SIZE / 72
"""Of a name, in inches."""
NEAR_EDGE = 0.92
"""From here on, in widths of the axes, a line's end is led to its name."""
FAINT = 0.7
"""Opacity of controls, which stand behind models."""


class Point(NamedTuple):
    """A value with its 95 % interval, in the table's units."""

    x: float
    y: float
    low: float
    high: float


def line(axes: Axes, name: str, points: Sequence[Point], look: Look, band: float = 0.0) -> None:
    """One row: its points, joined, with a bar from low to high, or a band of the opacity `band`."""
    x, y, low, high = zip(*points, strict=True)
    axes.plot(
        *(x, y),
        color=look.color,
        marker=look.marker,
        linestyle=look.line,
        mfc="none" if look.hollow else look.color,
        gid=SERIES + name,
        alpha=FAINT if look.hollow else 1.0,
        # a point on the frame is a point all the same
        clip_on=False,
        zorder=2.5 if look.hollow else 3,
    )
    if band:
        axes.fill_between(x, low, high, color=look.color, alpha=band, linewidth=0)
    else:
        axes.vlines(x, low, high, color=look.color, linewidth=0.8, alpha=0.7)


def names(axes: Axes, ends: Mapping[str, tuple[float, float]], looks: Mapping[str, Look]) -> None:
    """At the right of the axes a name for every end of a line, in their order and never on each other.

    A line that ends near the right edge is led to its name; another is known by its marker. Limits and scales must be
    set before.
    """
    if not ends:
        return
    height = axes.get_position().height * axes.figure.get_figheight()  # type: ignore[union-attr]
    to_axes = axes.transAxes.inverted()
    at = {name: to_axes.transform(axes.transData.transform(end)) for name, end in ends.items()}
    order = sorted(at, key=lambda name: (at[name][1], name))
    places = spread([float(at[name][1]) for name in order], LINE_HEIGHT / height)
    beyond: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
    # where markers and leaders stand, in inches beyond the axes
    wide = axes.get_position().width * axes.figure.get_figwidth()  # type: ignore[union-attr]
    near, far = 1 + 0.08 / wide, 1 + 0.2 / wide
    for name, place in zip(order, places, strict=True):
        look, (x, y) = looks[name], at[name]
        mfc = "none" if look.hollow else look.color
        if x > NEAR_EDGE:
            axes.plot([x, near, far], [y, y, place], color=look.color, linewidth=0.5, alpha=0.8, **beyond)
        axes.plot([far], [place], color=look.color, marker=look.marker, mfc=mfc, linestyle="", ms=3.5, **beyond)
        offset: dict[str, Any] = {"xytext": (5, 0), "textcoords": "offset points", "annotation_clip": False}
        axes.annotate(name, (far, place), xycoords="axes fraction", fontsize=NAME_SIZE, va="center", **offset)


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Places at least `gap` apart and, in the mean square, as near as can be to those wanted; within 0 to 1 if all fit.

    Args:
        wanted: in ascending order.

    >>> spread([0.5, 0.5, 0.9], 0.1)
    [0.45, 0.55, 0.9]
    """
    # without the gaps, places need only not fall: isotonic regression by pooling
    pools: list[tuple[float, int]] = []
    for i, value in enumerate(wanted):
        pools.append((value - i * gap, 1))
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            (a, n), (b, m) = pools[-2:]
            pools[-2:] = [((a * n + b * m) / (n + m), n + m)]
    room = max(1 - (len(wanted) - 1) * gap, 0.0)
    level = [min(max(value, 0.0), room) for value, count in pools for _ in range(count)]
    return [round(value + i * gap, 6) for i, value in enumerate(level)]
