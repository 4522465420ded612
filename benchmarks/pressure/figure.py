"""The figure of docs/rate_distortion.md: gain against rate, both at the corpus' one distortion."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.cache import replacing
from benchmarks.pressure.summary import BITS, Results

INK = "#767b82"
FAMILIES = {
    # Okabe and Ito's colours, and a shape each, for those who do not see them
    "autoencoder": ("#767b82", "o"),
    "KL": ("#0072b2", "s"),
    "FSQ": ("#d55e00", "^"),
    "noise": ("#009e73", "D"),
}
STYLE = {
    "svg.hashsalt": "latentbench",
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.markersize": 5,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}
MS = 80
SHARES = (0.05, 0.1, 0.2)
"""Of the rate: faint lines."""


def draw(results: Results, path: Path) -> None:
    """Write an SVG or PNG file; the same results and package versions give the same bytes."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.2, 3.8), layout="constrained")
        for axes, corpus in zip(
            figure.subplots(1, len(results.corpora), squeeze=False)[0], results.corpora, strict=True
        ):
            panel(axes, results, corpus)
        metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else {}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            figure.savefig(temporary, format=path.suffix[1:], transparent=path.suffix == ".svg", metadata=metadata)


def panel(axes: Axes, results: Results, corpus: str) -> None:
    """One corpus: filled, all of the gain; hollow, what of it frames at the wrong time tell as well."""
    named: set[str] = set()
    right = 0.0
    for variant in results.variants:
        rate = results.mean(variant, corpus, "matched_rate", BITS)
        gain = results.mean(variant, corpus, f"matched_gain_{MS}ms", BITS)
        kept = results.mean(variant, corpus, f"matched_shuffled_{MS}ms", BITS)
        if rate is None or gain is None or kept is None:
            continue
        family = results.family(variant)
        colour, marker = FAMILIES[family]
        right = max(right, rate.high)
        for found, face in ((gain, colour), (kept, "none")):
            axes.errorbar(
                [rate.value],
                [found.value],
                yerr=[[found.value - found.low], [found.high - found.value]],
                xerr=[[rate.value - rate.low], [rate.high - rate.value]],
                fmt=marker,
                color=colour,
                markerfacecolor=face,
                elinewidth=0.8,
                label=family if face != "none" and family not in named else None,
            )
        named.add(family)
        axes.annotate(
            variant.partition("_")[2] or variant.removeprefix("noise").removeprefix("fsq"),
            (rate.value, gain.high),
            textcoords="offset points",
            xytext=(0, 3),
            ha="center",
            fontsize=7,
            color=colour,
        )
    axes.set_title(f"{corpus}, log-mel L1 {results.target(corpus):g}", fontsize=9)
    axes.set_xlabel("rate of the noisy latents, bit/s")
    axes.set_ylabel(f"ΔNLL at {MS} ms, bit/s")
    if not named:
        axes.text(0.5, 0.5, "not reached", ha="center", transform=axes.transAxes)
        return
    top = axes.get_ylim()[1]
    for share in SHARES:
        axes.plot([0, right * 1.1], [0, share * right * 1.1], color=INK, lw=0.5, ls=":", zorder=0)
        x = min(right * 1.08, 0.97 * top / share)
        axes.annotate(f"{share:.0%}", (x, share * x), fontsize=7, ha="right", va="bottom")
    axes.set_xlim(0, right * 1.12)
    axes.set_ylim(0, top * 1.05)
    axes.plot([], [], "o", color=INK, markerfacecolor="none", ls="none", label="frames at the wrong time")
    axes.legend(loc="upper left", fontsize=7)
