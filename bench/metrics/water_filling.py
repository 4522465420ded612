"""The least mean squared error of a Gaussian vector described in R nats, by reverse water-filling.

D(R) = Σ min(θ, λ_i), with the water level θ set by R = Σ ½ ln(λ_i / min(θ, λ_i)) over the eigenvalues λ_i of its
covariance. With R = ln K it stands beside K cells as a reference. It is no bound for other laws: a source of 64
points is told exactly in ln 64 nats.

References:
    Cover and Thomas 2006, "Elements of information theory", theorem 10.3.3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def distortion_ratio(eigenvalues: npt.ArrayLike, nats: float) -> float:
    """D(R) / Σ λ_i, in [0, 1].

    For d equal eigenvalues it is exp(−2R / d), K^(−2/d) at R = ln K:

    >>> round(distortion_ratio(np.ones(512), np.log(64)), 3)
    0.984

    Args:
        eigenvalues: (d,), ≥ 0; rounding errors below zero count as zero.
        nats: R ≥ 0.

    Raises:
        ValueError: no variance, or a negative rate.
    """
    spectrum = np.sort(np.asarray(eigenvalues, dtype=np.float64).clip(min=0.0))[::-1]
    if spectrum.ndim != 1 or not spectrum.sum() > 0.0:
        raise ValueError(f"distortion_ratio: expected (d,) eigenvalues with a positive sum, got {spectrum!r}")
    if nats < 0.0:
        raise ValueError(f"distortion_ratio: expected a rate of at least 0 nats, got {nats:g}")
    positive = spectrum[spectrum > 0.0]
    for active in range(1, len(positive) + 1):
        level = np.exp((np.log(positive[:active]).sum() - 2.0 * nats) / active)
        # the level of the first `active` directions holds if it leaves the next one dry
        if active == len(positive) or level >= positive[active]:
            break
    return float((active * level + spectrum[active:].sum()) / spectrum.sum())


def reference_ratio(vectors: npt.ArrayLike, cells: int) -> float:
    """D(ln K) over the total variance, for a Gaussian with the covariance of `vectors` (n, d)."""
    centred = np.asarray(vectors, dtype=np.float64)
    centred = centred - centred.mean(0)
    return distortion_ratio(np.linalg.eigvalsh(centred.T @ centred / len(centred)), float(np.log(cells)))
