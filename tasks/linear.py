"""Diagnostics of `delta_nll` by the linear-Gaussian closed form: never ranked, exact on linear processes.

For a window of the last states, with full residual covariance and a full-covariance Gaussian marginal:

* `linear_gain`: target x_{t+k}, the floor that the probe must beat;
* `increment_gain`: target x_{t+k} − x_t, the note's k-step increment; `increment_null` is the same on frames
  permuted over the whole split, where nothing is predictable and the gain is (D/2) ln 2 or more;
* `stale_gain`: target x_{t+k} − x_{t+k−1}, the note's one-step Δx from a context that ends k frames before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from bench.contract import Context, LatentUtterance, Score
from bench.metrics.gaussian import LinearGaussian

Target = Callable[[Tensor, int], Tensor]


def absolute(x: Tensor, k: int) -> Tensor:
    """x_{t+k} for t = 0 … T − k − 1."""
    return x[k:]


def increment(x: Tensor, k: int) -> Tensor:
    """x_{t+k} − x_t."""
    return x[k:] - x[:-k]


def stale(x: Tensor, k: int) -> Tensor:
    """x_{t+k} − x_{t+k−1}."""
    return x[k:] - x[k - 1 : -1]


class LinearDiagnostics:
    """Fits on the training split, scores the test split.

    Args:
        horizons: milliseconds → frames.
        context: its parameter `linear_window` is the number of states read.
    """

    def __init__(self, horizons: dict[int, int], context: Context) -> None:
        self.horizons, self.context = horizons, context
        self.window = int(context.parameters["linear_window"])
        self.train, self.test = context.latents("train"), context.latents("test")

    def score(self, submission: Any, states: dict[str, dict[str, Tensor]]) -> list[Score]:
        """Sixteen columns: four definitions, four horizons."""
        known = {**states["train"], **states["test"]}
        out = []
        for name, target in (("linear_gain", absolute), ("increment_gain", increment), ("stale_gain", stale)):
            out += self._columns(name, target, self.train, self.test, known)
        train, test = self._permuted(self.train, "train"), self._permuted(self.test, "test")
        nothing = {}
        for u in [*train, *test]:
            z = submission.represent(u.x[None].to(self.context.device), self.context.generator("null", u.id))
            nothing[u.id] = z[0].float().cpu()
        return out + self._columns("increment_null", increment, train, test, nothing)

    def _columns(
        self,
        name: str,
        target: Target,
        train: Sequence[LatentUtterance],
        test: Sequence[LatentUtterance],
        states: dict[str, Tensor],
    ) -> list[Score]:
        out = []
        for ms, k in self.horizons.items():
            usable = [u for u in train if len(u.x) >= self.window + k]
            contexts = torch.cat([self._windows(states[u.id], k) for u in usable])
            targets = torch.cat([target(u.x, k)[self.window - 1 :] for u in usable])
            conditional = LinearGaussian(contexts, targets)
            marginal = LinearGaussian(contexts[:, :0], targets)
            values, weights, unscored = {}, {}, {}
            for u in test:
                if len(u.x) < self.window + k:
                    unscored[u.id] = f"{len(u.x)} frames; needs {self.window + k}"
                    continue
                c, y = self._windows(states[u.id], k), target(u.x, k)[self.window - 1 :]
                values[u.id] = float((conditional.log_prob(c, y) - marginal.log_prob(c[:, :0], y)).mean())
                weights[u.id] = float(len(y))
            out.append(Score(f"{name}_{ms}ms", values, weights, unscored))
        return out

    def _windows(self, z: Tensor, k: int) -> Tensor:
        """States t − window + 1 … t side by side, for every t with a target: (T − k − window + 1, window · Dz)."""
        last = len(z) - k
        return torch.cat([z[self.window - 1 - i : last - i] for i in range(self.window)], dim=1)

    def _permuted(self, utterances: Sequence[LatentUtterance], split: str) -> list[LatentUtterance]:
        frames = torch.cat([u.x for u in utterances])
        frames = frames[torch.randperm(len(frames), generator=self.context.generator("permuted", split))]
        parts = frames.split([len(u.x) for u in utterances])
        return [LatentUtterance(u.id, u.speaker, x) for u, x in zip(utterances, parts, strict=True)]
