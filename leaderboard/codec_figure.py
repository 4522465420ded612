"""Predictability against fidelity, a point a codec and tap: what the table of codecs says at a glance."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from bench.errors import BenchError
from leaderboard.across import place
from leaderboard.board import Board
from leaderboard.drawing import FIRST, INK, SECOND, STYLE
from leaderboard.view import TaskView, task_views

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GAIN, ORDER, DISTORTION = "gain_80ms", "order_80ms", "mel"


def draw(boards: Sequence[Board]) -> str:
    """SVG with one panel a board: ΔNLL at 80 ms, and what of it is order, over log-mel L1; 95 % intervals.

    Raises:
        BenchError: matplotlib is not installed, or no row has both.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ImportError as error:
        raise BenchError("--figure: needs matplotlib: pip install 'latentbench[figures]'") from error
    viewed = [(board, task_views(board, wide=True)[0]) for board in boards]
    viewed = [(board, view) for board, view in viewed if points(view)]
    if not viewed:
        raise BenchError("--figure: expected rows with a gain and a log-mel distance, got none")
    with mpl.rc_context(cast(Any, {**STYLE, "errorbar.capsize": 2})):
        figure = Figure(figsize=(4.6 * len(viewed), 4.2), layout="constrained")
        for number, (board, view) in enumerate(viewed):
            axes = figure.add_subplot(1, len(viewed), number + 1)
            panel(axes, view)
            axes.set_title(f"{board.dataset.rpartition('/')[2]} ({board.suite})", fontsize=9, color=INK)
            if number == 0:
                axes.set_ylabel("bit/s at 80 ms")
                axes.legend(loc="best", fontsize=8)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def points(view: TaskView) -> list[tuple[str, list[Any]]]:
    """Row → intervals of gain, order and distortion, where all three are."""
    columns = {column.card.name: column for column in view.columns}
    if not {GAIN, ORDER, DISTORTION} <= columns.keys():
        return []
    found = [(row.name, [columns[n].cells[row.name].interval for n in (GAIN, ORDER, DISTORTION)]) for row in view.rows]
    return [(name, intervals) for name, intervals in found if all(intervals)]


def panel(axes: Axes, view: TaskView) -> None:
    records = {row.name: row.record for row in view.rows}
    # distances differ by factors, and neighbours in distance are often neighbours in gain: names stand upright
    for name, (gain, order, mel) in points(view):
        causal = not any(place(records[name]))
        for what, color, marker in ((gain, FIRST, "o"), (order, SECOND, "D")):
            axes.errorbar(
                mel.value,
                what.value,
                xerr=[[mel.value - mel.low], [mel.high - mel.value]],
                yerr=[[what.value - what.low], [what.high - what.value]],
                color=color,
                marker=marker,
                mfc=color if causal else "none",
                linewidth=0.8,
            )
        axes.plot([mel.value] * 2, [gain.value, order.value], color=INK, linewidth=0.5, zorder=0)
        place_of_name: dict[str, Any] = {"textcoords": "offset points", "rotation": 90, "ha": "center", "fontsize": 7}
        axes.annotate(name.partition("+")[0], (mel.value, gain.high), (0, 4), **place_of_name)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:.1g}")
    axes.tick_params(axis="x", which="minor", labelsize=7)
    axes.axhline(0, color=INK, linewidth=0.5)
    axes.set_ylim(top=1.25 * axes.get_ylim()[1])
    axes.set_xlabel("log-mel L1 of the resynthesis, log10 (left: closer)")
    axes.plot([], [], color=FIRST, marker="o", linestyle="", label="ΔNLL")
    axes.plot([], [], color=SECOND, marker="D", linestyle="", label="of order")
    axes.plot([], [], color=INK, marker="o", mfc="none", linestyle="", label="untrained, unmatched or not causal")
