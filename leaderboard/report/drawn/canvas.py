"""A sheet to draw on: matplotlib in the report's style, and the inline SVG that comes of it, always the same bytes."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from bench.errors import BenchError
from leaderboard.report.drawn.ink import FG, GRID, variables
from leaderboard.report.drawn.inline import inlined

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE: dict[str, Any] = {
    "svg.hashsalt": "latentbench",
    "svg.fonttype": "none",
    "font.family": ["DejaVu Sans"],
    "font.size": 9,
    # a name is a name, whatever signs are in it
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 9,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.markersize": 4,
    "lines.linewidth": 1.2,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), FG),
}


def available() -> None:
    """Raises:
    BenchError: matplotlib is not installed.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise BenchError("figures: need matplotlib: pip install 'latentbench[figures]'") from error


class Sheet:
    """Axes side by side, and what becomes of them.

    Attributes:
        axes: from the left, each `width` inches of the panel wide.
    """

    def __init__(self, figure: Figure, axes: list[Axes]) -> None:
        self.figure, self.axes = figure, axes

    def svg(self, prefix: str, alt: str) -> str:
        """The inline SVG."""
        buffer = io.StringIO()
        self.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        return inlined(buffer.getvalue(), f"{prefix}-", alt, variables())


@contextmanager
def sheet(
    height: float = 3.6, panels: int = 1, rows: int = 1, names: float = 2.15, width: float = 7.6
) -> Iterator[Sheet]:
    """A sheet of `width` × `height` inches with `rows` × `panels` axes, and `names` inches for names at the right."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(cast(Any, STYLE)), warnings.catch_warnings():
        # the page's font has glyphs that the one for measuring lacks
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure = Figure(figsize=(width, height))
        left, bottom, top = 0.62, 0.5, 0.3
        figure.subplots_adjust(
            left=left / width,
            right=1 - names / width,
            bottom=bottom / height,
            top=1 - top / height,
            wspace=0.28,
            hspace=0.55 if rows > 1 else 0.2,
        )
        axes = figure.subplots(rows, panels, squeeze=False)
        yield Sheet(figure, [one for line in axes for one in line])
