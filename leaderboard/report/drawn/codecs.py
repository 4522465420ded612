"""Predictability against fidelity, a point a codec and tap, as the figure of the page about codecs has it."""

from __future__ import annotations

from leaderboard.codec_figure import panel, points
from leaderboard.report.drawn.canvas import sheet
from leaderboard.report.drawn.ground import Ground, said
from leaderboard.report.figure import Figure
from leaderboard.shown import unit

TITLE = "Predictability against fidelity"
CAPTION = (
    "ΔNLL at 80 ms, and what of it comes of the frames' order, over the log-mel distance of the codec's resynthesis "
    "(left: closer to the recording), with 95 % intervals."
)


def fidelity(ground: Ground) -> list[Figure]:
    """Codecs side by side."""
    if not ground.board.of_codecs:
        return []
    view = next(iter(ground.views.values()), None)
    found = points(view) if view is not None else []
    if view is None or not found:
        return []
    cards = {c.card.name: c.card for c in view.columns}
    chosen = [cards[name] for name in ("gain_80ms", "order_80ms", "mel")]
    gains = {ground.names[name]: intervals[0].value for name, intervals in found}
    best = max(gains, key=lambda name: gains[name])
    alt = f"{TITLE}: {len(found)} codecs. The most predictable at 80 ms is {best} with {gains[best]:.4g} bit/s."
    with sheet(4.2, names=0.3, width=6.4) as page:
        (axes,) = page.axes
        panel(axes, view)
        axes.set_title("bit/s at 80 ms", loc="left")
        axes.legend(loc="best", fontsize=8)
        svg = page.svg(f"{ground.prefix}-codecs", alt)
    headers = ["row", *(" ".join(filter(None, (card.title, unit(card)))) for card in chosen)]
    body = [[name, *map(said, chosen, intervals)] for name, intervals in found]
    return [Figure("predictability-fidelity", TITLE, CAPTION, alt, svg, headers, body)]
