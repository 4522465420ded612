"""ΔNLL against the horizon, of models and of codecs; and, of Δ, what of it is direction and what magnitude."""

from __future__ import annotations

from leaderboard.report.drawn.ground import Ground
from leaderboard.report.drawn.over import Panel, drawn
from leaderboard.report.figure import Figure

X = ("horizon", "ms")


def gain(ground: Ground) -> list[Figure]:
    """How much less the next frames surprise who knows the past."""
    view = ground.first("delta_nll", "codec_predictability")
    if view is None:
        return []
    caption = (
        "How many bits a second the past saves in telling the frame that lies this far ahead, with 95 % intervals. "
        "Zero: the past says nothing."
    )
    panels = [Panel("gain_#ms", "ΔNLL")]
    return drawn(ground, view, panels, "gain-by-horizon", "Predictability against the horizon", caption, X)


def direction(ground: Ground) -> list[Figure]:
    """Which way the latents go, and how far."""
    view = ground.first("direction", "codec_predictability")
    if view is None:
        return []
    caption = (
        "What the past saves in telling which way the latents go from here, and how far, with 95 % intervals. The "
        "short bar at the first horizon is the same on permuted frames: only what lies above it comes of their order."
    )
    panels = [
        Panel("direction_gain_#ms", "direction", "direction_gain_null"),
        Panel("magnitude_gain_#ms", "magnitude", "magnitude_gain_null"),
    ]
    return drawn(ground, view, panels, "direction-and-magnitude", "Direction and magnitude", caption, X)
