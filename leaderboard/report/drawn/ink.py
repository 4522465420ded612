"""Colours of the report's figures: what the page may set, what stands where it does not, and how rows are told apart.

No row is known by colour alone: a model's line is solid with a marker of its own, a control's is dashed and hollow,
and every line ends at its name. A row looks the same in all figures of its board.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from leaderboard.drawing import FIRST, INK, SECOND

LIGHT = {
    "fg": "#222222",
    "grid": "#d9d9d9",
    **{
        f"c{i}": color
        for i, color in enumerate(
            (
                "#0072b2",
                "#d55e00",
                "#00805a",
                "#a8498a",
                "#8a6d00",
                "#2786bd",
                "#5f5f5f",
                "#6a3d9a",
                "#8c2d04",
                "#557a1e",
            )
        )
    },
}
"""Variable → colour on white; also its fallback where a page sets none. After Okabe and Ito, darkened to 3:1."""
DARK = {
    "fg": "#e4e4e4",
    "grid": "#3c3f44",
    **{
        f"c{i}": color
        for i, color in enumerate(
            (
                "#56a8e8",
                "#f08a4b",
                "#3fc99a",
                "#e59ac3",
                "#e6c84a",
                "#8fd3f4",
                "#bdbdbd",
                "#b79be0",
                "#d9946a",
                "#a6cf6b",
            )
        )
    },
}
"""The same on near-black, for a page's dark scheme."""
FG, GRID = LIGHT["fg"], LIGHT["grid"]
SERIES = tuple(LIGHT[f"c{i}"] for i in range(10))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h", "d")
SOLID, DASHED, DASHDOT = "-", (0, (4, 2)), (0, (7, 2, 1.5, 2))


class Look(NamedTuple):
    """How a row is drawn."""

    color: str
    marker: str
    line: Any
    hollow: bool


def looks(models: Sequence[str], controls: Sequence[str]) -> dict[str, Look]:
    """Row → how it is drawn. Ten models differ in colour; a hundred and twenty in something."""
    out = {}
    for i, name in enumerate(models):
        lap = i // len(SERIES)
        out[name] = Look(SERIES[i % 10], MARKERS[(i + lap) % len(MARKERS)], DASHDOT if lap % 2 else SOLID, False)
    for i, name in enumerate(controls):
        out[name] = Look(FG, MARKERS[i % len(MARKERS)], DASHED, True)
    return out


def variables() -> Mapping[str, str]:
    """Colour as it is drawn → what stands in the SVG in its place."""
    named = {color: f"var(--{name}, {color})" for name, color in LIGHT.items()}
    shared = {INK: named[FG], FIRST: named[SERIES[0]], SECOND: named[SERIES[1]]}
    return named | shared
