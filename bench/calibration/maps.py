"""F6, another process seen through a map of its frames: what must not change, and what cannot grow.

Conventions: nats per frame; `m` counts added dimensions; a truth under a map is that of the process within, plus
what is stated here, and is offered where the process within has it.

* F6a `Mapped`, x' = B x, B invertible: every gain is the same, and an NLL shifts by ln |det B|. A density head
  whose covariance is diagonal breaks this, and so does a variance in the place of a likelihood.
* F6b `Duplicated`, x' = (x, W x + δ ε), ε new in every frame: the gain of x' is that of x for every δ > 0, as
  h(δ ε) is in both entropies, while the NLL falls without bound for δ → 0. Gains of Δx are not the same: ε_t is
  known and ε_{t+k} is not, so that the k-step increment, and the stale Δx at k = 1, gain ½ m ln 2 more, whatever
  δ is. With x not among the frames, a noisy duplicate could only lose.
* F6c `Dropped` and F6d `Quantised`, a subset of the dimensions, or each rounded: `gain_at_most(k)` = gain(k) of the
  process within, by the data-processing inequality. It holds under a dither as well, and not for gains of Δx.

References:
    Cover and Thomas 2006, "Elements of information theory", sections 2.8 (data processing) and 8.6 (differential
    entropy under linear maps).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from bench.calibration.oracles import normal
from bench.calibration.process import Process, Truths, looked_up

SAME = ("gain", "gaussian_gain", "innovation_kl", "linear_gain", "rollout_gap", "rollout_gap_mean", "window_gain")
"""Metrics that neither an invertible map nor a noisy duplicate changes."""
OF_INCREMENTS = ("increment_gain", "stale_gain")
NLL = ("marginal_nll", "nll", "reconstruction_nll")
WEIGHTS_SEED = 0

Shift = Callable[..., float]


def shifted(process: Process, by: Shift, metrics: Sequence[str]) -> Truths:
    """Truths of `process` plus `by` of the same arguments."""

    def value(metric: str, **at: float) -> float:
        return process.truth(metric, **at) + by(**at)

    return {metric: partial(value, metric) for metric in metrics}


class Mapped:
    """F6a: x' = B x.

    Args:
        matrix: B (D, D).

    Raises:
        ValueError: B has not the process's dimension, or is singular.
    """

    name = "F6a"

    def __init__(self, process: Process, matrix: Tensor) -> None:
        self.process, self.matrix, self.dim = process, matrix.double(), process.dim
        if self.matrix.shape != (self.dim, self.dim):
            raise ValueError(f"{self.name}: expected a matrix ({self.dim}, {self.dim}), got {tuple(matrix.shape)}")
        self.log_det = float(torch.linalg.slogdet(self.matrix)[1])
        if not math.isfinite(self.log_det):
            raise ValueError(f"{self.name}: expected an invertible matrix, got a singular one")

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """(n, frames, D)."""
        return (self.process.sample(n, frames, generator).double() @ self.matrix.T).float()

    def truth(self, metric: str, **at: float) -> float:
        known = {
            **shifted(self.process, lambda **at: 0.0, (*SAME, *OF_INCREMENTS)),
            **shifted(self.process, lambda **at: self.log_det, NLL),
            **shifted(self.process, lambda **at: 2 * self.log_det, ("log_det_ahead",)),
        }
        return looked_up(self.name, known, metric, **at)


class Duplicated:
    """F6b: x' = (x, W x + δ ε).

    Args:
        spread: δ, above 0, in the units of x. Below 1e-4 of x, float32 samples round the noise away.
        weights: W (m, D); by default a fixed Gaussian draw with m = D, entries of variance 1 / D.

    Raises:
        ValueError: δ is not positive: no density would exist.
    """

    name = "F6b"

    def __init__(self, process: Process, spread: float, weights: Tensor | None = None) -> None:
        if spread <= 0:
            raise ValueError(f"{self.name}: expected a spread above 0, got {spread}")
        if weights is None:
            rng = torch.Generator().manual_seed(WEIGHTS_SEED)
            weights = normal((process.dim, process.dim), rng) / math.sqrt(process.dim)
        self.process, self.spread, self.weights = process, spread, weights.double()
        self.copies = len(weights)
        self.dim = process.dim + self.copies

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """(n, frames, D + m)."""
        x = self.process.sample(n, frames, generator)
        noise = normal((n, frames, self.copies), generator)
        return torch.cat([x, (x.double() @ self.weights.T + self.spread * noise).float()], -1)

    def truth(self, metric: str, **at: float) -> float:
        fresh = 0.5 * self.copies * math.log(2)
        entropy = 0.5 * self.copies * math.log(2 * math.pi * math.e * self.spread**2)
        known = {
            **shifted(self.process, lambda **at: 0.0, SAME),
            **shifted(self.process, lambda **at: fresh, ("increment_gain",)),
            **shifted(self.process, lambda **at: fresh if at["k"] == 1 else 0.0, ("stale_gain",)),
            **shifted(self.process, lambda **at: entropy, NLL),
            **shifted(self.process, lambda **at: 2 * self.copies * math.log(self.spread), ("log_det_ahead",)),
        }
        return looked_up(self.name, known, metric, **at)


class Dropped:
    """F6c: some dimensions of a process.

    Args:
        dims: the dimensions that are left out.

    Raises:
        ValueError: a dimension that the process has not, or none is left.
    """

    name = "F6c"

    def __init__(self, process: Process, dims: Sequence[int]) -> None:
        self.process = process
        self.kept = [i for i in range(process.dim) if i not in set(dims)]
        self.dim = len(self.kept)
        if not set(dims) <= set(range(process.dim)) or not self.kept:
            raise ValueError(f"{self.name}: expected some of the dimensions 0 … {process.dim - 1}, got {list(dims)}")

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """(n, frames, D − number dropped)."""
        return self.process.sample(n, frames, generator)[..., self.kept]

    def truth(self, metric: str, **at: float) -> float:
        return looked_up(self.name, _at_most(self.process), metric, **at)


class Quantised:
    """F6d: every dimension rounded to the nearest multiple of `step`; frames from a finite set, without a density.

    Raises:
        ValueError: the step is not positive.
    """

    name = "F6d"

    def __init__(self, process: Process, step: float) -> None:
        if step <= 0:
            raise ValueError(f"{self.name}: expected a step above 0, got {step}")
        self.process, self.step, self.dim = process, step, process.dim

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """(n, frames, D)."""
        return (self.process.sample(n, frames, generator) / self.step).round() * self.step

    def truth(self, metric: str, **at: float) -> float:
        return looked_up(self.name, _at_most(self.process), metric, **at)


def _at_most(process: Process) -> Truths:
    return {"gain_at_most": partial(process.truth, "gain")}
