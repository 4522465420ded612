"""The figure of docs/rate_distortion.md: gain against rate, both at the corpus' one distortion."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.cache import replacing
from benchmarks.pressure.summary import BITS, Results
from leaderboard.drawing import INK, STYLE

FAMILIES = {
    # Okabe and Ito's colours, and a shape each, for those who do not see them
    "autoencoder": (INK, "o"),
    "KL": ("#0072b2", "s"),
    "FSQ": ("#d55e00", "^"),
    "noise": ("#009e73", "D"),
}
MS = 80
SHARES = (0.05, 0.1, 0.2, 0.3)
"""Of the rate: faint lines."""


def draw(results: Results, path: Path) -> None:
    """Write an SVG or PNG file; the same results and package versions give the same bytes."""
    vector = path.suffix == ".svg"
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.2, 4.4), layout="constrained")
        row = figure.subplots(1, len(results.corpora), squeeze=False)[0]
        for axes, corpus in zip(row, results.corpora, strict=True):
            panel(axes, results, corpus)
        handles, labels = row[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            metadata = {"Date": None, "Creator": None} if vector else {}
            figure.savefig(temporary, format=path.suffix[1:], transparent=vector, metadata=metadata)


def panel(axes: Axes, results: Results, corpus: str) -> None:
    """One corpus: filled, all of the gain; hollow, what of it frames at the wrong time tell as well."""
    axes.set_title(f"{corpus}, log-mel L1 {results.target(corpus):g}", fontsize=9)
    axes.set_xlabel("rate of the noisy latents, bit/s")
    axes.set_ylabel(f"ΔNLL at {MS} ms, bit/s")
    found = {v: results.mean(v, corpus, "matched_rate", BITS) for v in results.variants}
    rates = {v: rate for v, rate in found.items() if rate is not None}
    if not rates:
        axes.text(0.5, 0.5, "not reached", ha="center", transform=axes.transAxes)
        return
    named: set[str] = set()
    # neighbours are named above and below in turn
    for place, variant in enumerate(sorted(rates, key=lambda v: rates[v].value)):
        family = results.family(variant)
        colour, marker = FAMILIES[family]
        for column, face in (("gain", colour), ("shuffled", "white")):
            point = results.mean(variant, corpus, f"matched_{column}_{MS}ms", BITS)
            assert point is not None
            x, y = rates[variant], point
            axes.errorbar(
                [x.value],
                [y.value],
                yerr=[[y.value - y.low], [y.high - y.value]],
                xerr=[[x.value - x.low], [x.high - x.value]],
                fmt=marker,
                color=colour,
                markerfacecolor=face,
                elinewidth=0.8,
                label=family if column == "gain" and family not in named else None,
            )
            named.add(family)
            if column == "gain":
                up = place % 2 == 0
                axes.annotate(
                    variant.partition("_")[2] or variant.removeprefix("noise").removeprefix("fsq"),
                    (x.value, y.high if up else y.low),
                    textcoords="offset points",
                    xytext=(0, 2 if up else -2),
                    ha="center",
                    va="bottom" if up else "top",
                    fontsize=7,
                    color=colour,
                )
    left, right = min(r.low for r in rates.values()) * 0.95, max(r.high for r in rates.values()) * 1.04
    top = axes.get_ylim()[1] * 1.03
    for share in SHARES:
        axes.plot([left, right], [share * left, share * right], color=INK, lw=0.5, ls=":", zorder=0)
        end = min(right, top / share)
        axes.annotate(f"{share:.0%}", (end, share * end), fontsize=7, ha="right", va="top")
    axes.set_xlim(left, right)
    axes.set_ylim(min(0.0, axes.get_ylim()[0]), top)
    axes.plot([], [], "o", color=INK, markerfacecolor="white", ls="none", label="frames at the wrong time")
