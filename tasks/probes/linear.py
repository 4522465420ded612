"""What a linear-Gaussian density gives in closed form: the linear family, and where trained probes start.

`LinearProbe` reads a window of states. It is exact on linear-Gaussian processes whose past the window holds, and a
floor elsewhere: a probe that is trained must not fall below it. `LinearStart` reads the last state and leaves the
whitened residual, on which a trained density then works. Nothing here is random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bench.contract import LatentUtterance
from bench.metrics.gaussian import LinearGaussian
from bench.metrics.mixture import MIN_SCALE

RIDGES = (1e-4, 1e-2, 1.0, 1e4)
"""Tried by `LinearStart`, in units of the standardised normal equations; the last one reads nothing."""


class LinearStart(nn.Module):
    """u ↦ v = R^(−½) (u − A z − b): what the last state does not say linearly, whitened.

    Args:
        states: Dz; 0: v is u, recentred and whitened.
        dim: D.
    """

    weight: Tensor
    bias: Tensor
    whiten: Tensor
    log_det: Tensor

    def __init__(self, states: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(states, dim))
        self.register_buffer("bias", torch.zeros(dim))
        self.register_buffer("whiten", torch.eye(dim))
        self.register_buffer("log_det", torch.zeros(()))

    def forward(self, z: Tensor, u: Tensor) -> Tensor:
        """(n, Dz), (n, D) → v (n, D); log p(u) = log p(v) + `log_det`."""
        return (u - self.bias - z @ self.weight) @ self.whiten

    def set_from(self, train: tuple[Tensor, Tensor], valid: tuple[Tensor, Tensor], diagonal: bool) -> None:
        """Least squares on training pairs (z, u), its ridge chosen on the validation ones.

        Args:
            train, valid: (n, Dz) and (n, D).
            diagonal: scale each dimension of the residual on its own, and mix none.
        """
        ridges = RIDGES if train[0].shape[1] and len(valid[0]) else RIDGES[:1]
        fits = [LinearGaussian(*train, ridge=ridge) for ridge in ridges]
        best = max(fits, key=lambda fit: float(fit.log_prob(*valid).mean()) if len(ridges) > 1 else 0.0)
        covariance = best.cholesky @ best.cholesky.T
        if diagonal:
            covariance = covariance.diagonal().diag()
        values, vectors = torch.linalg.eigh(covariance)
        # the σ-floor, for a target that a state holds exactly
        roots = values.clamp(min=MIN_SCALE**2).sqrt()
        weight = best.weights / best.c_scale[:, None]
        self.weight.copy_(weight)
        self.bias.copy_(best.y_mean - best.c_mean @ weight)
        self.whiten.copy_((vectors / roots) @ vectors.T)
        self.log_det.copy_(-roots.log().sum())


class LinearProbe:
    """p(x_{t+k} | z_{t−W+1…t}) for each horizon; without states, the Gaussian marginal.

    Args:
        states: utterance id → states (T, Dz), or None.
        horizons: frames ahead.
        window: W. Before the first frame stands the mean state, which says nothing.
    """

    def __init__(
        self,
        states: Mapping[str, Tensor] | None,
        train: Sequence[LatentUtterance],
        horizons: Sequence[int],
        window: int,
    ) -> None:
        read = {u.id: u.x.new_zeros(len(u.x), 0) if states is None else states[u.id] for u in train}
        self.window, self.mean = window, torch.cat(list(read.values())).mean(0)
        self.horizons = tuple(horizons)
        contexts = [self._windows(read[u.id]) for u in train]
        self.densities = [
            LinearGaussian(torch.cat([c[: max(0, len(c) - k)] for c in contexts]), torch.cat([u.x[k:] for u in train]))
            for k in self.horizons
        ]

    def nll(self, z: Tensor, x: Tensor) -> list[Tensor]:
        """See `tasks.probes.probe.Reader`."""
        c = self._windows(z.cpu())
        pairs = zip(self.horizons, self.densities, strict=True)
        return [-density.log_prob(c[: max(0, len(c) - k)], x[k:].cpu()).float() for k, density in pairs]

    def note(self) -> dict[str, Any]:
        """Free numbers of all horizons."""
        count = sum(d.weights.numel() + d.cholesky.shape[0] * (d.cholesky.shape[0] + 3) // 2 for d in self.densities)
        return {"parameters": count, "window": self.window}

    def _windows(self, z: Tensor) -> Tensor:
        """States t, t − 1, … t − W + 1 side by side: (T, Dz) → (T, W · Dz)."""
        padded = torch.cat([self.mean.expand(self.window - 1, -1), z])
        return torch.cat([padded[self.window - 1 - i : len(padded) - i] for i in range(self.window)], 1)
