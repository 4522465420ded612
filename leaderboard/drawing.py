"""How this project's figures look: ink that reads on white and on near-black, and the same bytes from the same data."""

from __future__ import annotations

from typing import Any

INK = "#767b82"
"""A middle tone, like the series' own: at least 3.5:1 against white and against near-black."""
FIRST, SECOND = "#2f81d7", "#d0691e"
STYLE: dict[str, Any] = {
    "svg.hashsalt": "latentbench",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.markersize": 5,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}
"""For `matplotlib.rc_context`."""
