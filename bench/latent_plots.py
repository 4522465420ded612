"""Plots and JSON of what `bench latents inspect` found."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.latent_summary import Summary, note
from bench.store.files import write_bytes

STYLE = {
    # the same picture is the same file
    "svg.hashsalt": "latentbench",
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "figure.constrained_layout.use": True,
}


def matplotlib() -> Any:
    """The package, drawing into files.

    Raises:
        BenchError: it is not installed.
    """
    try:
        import matplotlib as package
        from matplotlib.figure import Figure  # noqa: F401 — what is used of it
    except ImportError as error:
        raise BenchError("plots need matplotlib: pip install 'latentbench[figures]'") from error
    return package


def write(found: Summary, folder: Path) -> list[Path]:
    """Put summary.json, spectrum.svg and dimensions.svg into `folder`; their paths.

    Raises:
        BenchError: matplotlib is missing, or the folder cannot be written.
    """
    data = json.dumps(note(found), indent=1, allow_nan=False).encode() + b"\n"
    made = {"summary.json": data, "spectrum.svg": spectrum(found), "dimensions.svg": dimensions(found)}
    for name, content in made.items():
        write_bytes(folder / name, content)
    return [folder / name for name in made]


def spectrum(found: Summary) -> bytes:
    """Eigenvalues of the covariance on a log scale, with what they add up to."""
    package = matplotlib()
    with package.rc_context(STYLE):
        figure = package.figure.Figure(figsize=(7, 3.2))
        left, right = figure.subplots(1, 2)
        values = found.eigenvalues.clamp(min=0)
        order = range(1, len(values) + 1)
        above = values > 1e-12 * values.max()  # the rest is rounding
        left.semilogy([i for i, keep in zip(order, above.tolist(), strict=True) if keep], values[above].tolist(), ".-")
        left.set(xlabel="component", ylabel="variance", title="eigenvalues of the covariance")
        right.plot(order, (100 * values.cumsum(0) / values.sum()).tolist(), ".-")
        right.axvline(found.effective_rank, color="0.4", linestyle="--", label="effective rank")
        right.axvline(found.participation_ratio, color="0.4", linestyle=":", label="participation ratio")
        right.set(xlabel="component", ylabel="% of variance, together", ylim=(0, 102))
        right.legend(loc="lower right")
        return _svg(figure)


def dimensions(found: Summary) -> bytes:
    """Standard deviation, kurtosis, autocorrelation and speakers' share by dimension."""
    package = matplotlib()
    panels = [
        ("standard deviation", found.deviation),
        ("excess kurtosis", found.kurtosis),
        ("autocorrelation\nat 1 frame", found.lag_one),
    ]
    if found.share is not None:
        panels.append(("speakers' share\nof variance", found.share))
    with package.rc_context(STYLE):
        figure = package.figure.Figure(figsize=(7, 1.5 * len(panels)))
        axes = figure.subplots(len(panels), 1, sharex=True)
        for axis, (name, values) in zip(axes, panels, strict=True):
            axis.bar(range(len(values)), values.nan_to_num().tolist())
            axis.set_ylabel(name)
        axes[-1].set_xlabel("dimension")
        figure.suptitle(found.source.name)
        return _svg(figure)


def _svg(figure: Any) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()
