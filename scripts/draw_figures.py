"""Draw the figures of the documentation, with every measured point measured here.

    python scripts/draw_figures.py [--only NAME] [--out DIR]

Lines are closed forms of the calibration processes; points are what the estimators found on samples. The fits
take about five minutes on one core. The same machine and package versions give the same bytes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from baselines.selftests import rssm as f5
from bench.calibration.state_space import StateSpace
from bench.calibration.var1 import VAR1
from bench.metrics.gaussian import LinearGaussian
from bench.seeding import generator
from bench.stats import interval
from leaderboard.drawing import FIRST, INK, SECOND, STYLE

FRAME_RATE = 12.5
BITS = FRAME_RATE / math.log(2)
"""bit/s for one nat per frame."""
BETAS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
HORIZONS = tuple(range(1, 17))
PROMPTS, PROMPT_FRAMES, DRAWS, FOLLOWED = 256, 32, 64, 8
"""Of the draws of a prompt, as many are followed by the posterior."""
COEFFICIENTS = tuple(i / 20 for i in range(20))
AR_DIM, AR_SEQUENCES, AR_FRAMES = 4, 200, 100


def innovation_horizon(axes: Axes) -> None:
    """The rate of the next frame's innovation, and the uncertainty about frame k, rolled out on own samples."""
    process = StateSpace.example()
    submission = f5.fitted(process, 0)
    prompt = process.sample(PROMPTS, PROMPT_FRAMES, generator(0, "prompts"))
    drawn = submission.rollout(prompt, len(HORIZONS), DRAWS, generator(0, "rollouts"))
    continued = torch.cat([prompt.repeat_interleave(FOLLOWED, 0), drawn[:, :FOLLOWED].flatten(0, 1)], 1)
    rate = submission.innovation(continued, generator(0, "posterior")).kl_rec[:, PROMPT_FRAMES:]
    floor = _half_log_det(submission.network.noise_covariance())
    widths = torch.stack([_widths(drawn[:, :, k]) - floor for k in range(len(HORIZONS))])
    true_floor = _half_log_det(process.observation_noise)
    axes.plot(HORIZONS, [0.5 * process.truth("log_det_ahead", k=k) - true_floor for k in HORIZONS], color=SECOND)
    axes.plot(HORIZONS, [process.truth("innovation_kl")] * len(HORIZONS), color=FIRST)
    _points(axes, HORIZONS, widths, SECOND, "½ ln(|Sₖ| / |R|), what is open about frame t + k at t")
    kept = rate.unflatten(0, (PROMPTS, FOLLOWED)).mean(1).T
    _points(axes, HORIZONS, kept, FIRST, "KL of frame t + k's innovation, at t + k − 1")
    axes.set_xlabel(f"k, frames ahead (1 frame = {1000 / FRAME_RATE:.0f} ms)")
    axes.set_ylabel("nats per frame")
    axes.set_ylim(bottom=0)
    axes.plot([], [], color=INK, label="closed form")
    axes.legend(loc="lower right")


def kl_budget(axes: Axes) -> None:
    """KL*(β) = Σ ½ ln⁺(λ_i(S) / (β σ_x²)) against fits with σ_x fixed."""
    process = StateSpace.example()
    fine = torch.logspace(math.log10(0.9), math.log10(12), 200).tolist()
    axes.plot(fine, [process.truth("kl_budget", beta=b) for b in fine], color=SECOND)
    x = f5.held_out(process, 0)
    rates = []
    for beta in BETAS:
        rate = f5.fitted(process, 0, beta, fixed=True).innovation(x, generator(0, "posterior"))
        rates.append(rate.kl_rec[:, f5.SETTLED :].mean(1))
    _points(axes, BETAS, torch.stack(rates), SECOND, "RSSM, fitted at β")
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 4, 8], ["1", "2", "4", "8"])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("β, weight of the KL")
    axes.set_ylabel("KL of the innovation, nats per frame")
    right = axes.secondary_yaxis("right", functions=(lambda v: v * BITS, lambda v: v / BITS))
    right.set_ylabel(f"bit/s at {FRAME_RATE} Hz")
    right.spines["right"].set_visible(True)
    axes.plot([], [], color=INK, label="closed form")
    axes.legend(loc="upper right")


def ar1_sweep(axes: Axes) -> None:
    """Gains of x and of Δx at k = 1 of x_t = a x_{t−1} + w, per dimension, by the linear-Gaussian estimator."""
    fine = [i / 200 for i in range(195)]
    for metric, color in (("gain", FIRST), ("increment_gain", SECOND)):
        axes.plot(fine, [VAR1.isotropic(a, 1).truth(metric, k=1) for a in fine], color=color)
    gains = [_ar1_gains(a) for a in COEFFICIENTS]
    _points(axes, COEFFICIENTS, torch.stack([g[0] for g in gains]), FIRST, "target x: −½ ln(1 − a²)")
    _points(axes, COEFFICIENTS, torch.stack([g[1] for g in gains]), SECOND, "target Δx: ½ ln(2 / (1 + a))")
    axes.set_xlabel("a, coefficient of the AR(1) process")
    axes.set_ylabel("gain, nats per frame and dimension")
    axes.plot([], [], color=INK, label="closed form")
    axes.legend(loc="upper left")


FIGURES: dict[str, Callable[[Axes], None]] = {f.__name__: f for f in (innovation_horizon, kl_budget, ar1_sweep)}


def _half_log_det(covariance: Tensor) -> float:
    return 0.5 * float(torch.logdet(covariance.double()))


def _widths(draws: Tensor) -> Tensor:
    """½ ln |S| of draws (B, S, D) about their prompt's mean: (B,) values, linear in S, whose mean it is."""
    own = (draws - draws.mean(1, keepdim=True)).double()
    each = torch.einsum("bsi,bsj->bij", own, own) / (own.shape[1] - 1)
    pooled = each.mean(0)
    share = torch.linalg.solve(pooled, each).diagonal(dim1=-2, dim2=-1).sum(-1)
    return _half_log_det(pooled) + 0.5 * (share - draws.shape[2])


def _ar1_gains(a: float) -> tuple[Tensor, Tensor]:
    """Gains of x and Δx per dimension, one a test sequence."""
    process = VAR1.isotropic(a, AR_DIM)
    train, test = (process.sample(AR_SEQUENCES, AR_FRAMES, generator(0, f"{a:.2f}", s)) for s in ("train", "test"))
    out = []
    for target in (lambda x: x[:, 1:], lambda x: x[:, 1:] - x[:, :-1]):
        past, y = (v.flatten(0, 1) for v in (train[:, :-1], target(train)))
        conditional, marginal = LinearGaussian(past, y), LinearGaussian(past[:, :0], y)
        past, y = (v.flatten(0, 1) for v in (test[:, :-1], target(test)))
        gain = conditional.log_prob(past, y) - marginal.log_prob(past[:, :0], y)
        out.append(gain.unflatten(0, (len(test), -1)).mean(1) / AR_DIM)
    return out[0], out[1]


def _points(axes: Axes, at: Sequence[float], values: Tensor, color: str, label: str) -> None:
    """Means of independent values (n points, n sequences) with their 95 % bootstrap intervals."""
    ids = [f"{i:04d}" for i in range(values.shape[1])]
    own = {i: i for i in ids}
    found = [interval(dict(zip(ids, row.tolist(), strict=True)), own) for row in values]
    bars = [[f.value - f.low for f in found], [f.high - f.value for f in found]]
    axes.errorbar(at, [f.value for f in found], bars, fmt="o", color=color, elinewidth=1, label=label)


def draw(name: str, path: Path) -> None:
    """Draw one figure into an SVG or PNG file."""
    with mpl.rc_context({**STYLE, "errorbar.capsize": 2, "lines.markersize": 4.5}):
        figure = Figure(figsize=(5.6, 3.2), layout="constrained")
        FIGURES[name](figure.subplots())
        metadata = {"Date": None, "Creator": None} if path.suffix == ".svg" else {}
        figure.savefig(path, transparent=True, metadata=metadata)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=sorted(FIGURES))
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "docs" / "figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in [arguments.only] if arguments.only else sorted(FIGURES):
        draw(name, arguments.out / f"{name}.svg")


if __name__ == "__main__":
    main()
