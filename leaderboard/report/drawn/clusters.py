"""Variance of the next step within cells of alike contexts, beside what a Gaussian told in as many cells leaves."""

from __future__ import annotations

from leaderboard.report.drawn.ground import Ground
from leaderboard.report.drawn.over import Panel, drawn
from leaderboard.report.figure import Figure


def ratio(ground: Ground) -> list[Figure]:
    """Cluster ratio against the number of cells."""
    view = ground.first("clusters", "codec_predictability")
    if view is None:
        return []
    caption = (
        "Share of the variance of the next step that is left within cells of alike contexts, on voices unseen in "
        "training, with 95 % intervals. 1: the cells say nothing. The Gaussian reference is what a Gaussian with the "
        "same spectrum would leave; a source that repeats itself goes below it."
    )
    panels = [
        Panel(f"{key}_#", title, "", "reference_#", "Gaussian reference")
        for key, title in (("pooled", "mean of the window"), ("learned", "learned key"))
    ]
    return drawn(ground, view, panels, "cluster-ratio", "Do next steps repeat?", caption, ("cells", ""))
