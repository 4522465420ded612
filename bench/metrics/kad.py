"""Kernel Audio Distance: unbiased MMD² between embeddings of generated and real audio, with one Gaussian kernel.

Conventions: embeddings (n, D) and (m, D), the reference last. k(a, b) = exp(−‖a − b‖² / (2 h²)) with h the median
distance between two reference embeddings; lower is better. Without bias at any number of samples, so that it may be
negative: about 0 for equal laws, with a spread that falls with n.

Times 1000, said to be the paper's scale, which we have from others alone; the authors' toolkit, kadtk, multiplies by
100, so that its values are a tenth of these. Values compare only on one embedding and one reference set, from which the
bandwidth comes.

References:
    Chung et al. 2025, "KAD: No More FAD!" (arXiv 2502.15602). Gretton et al. 2012 (MMD, JMLR 13).
"""

from __future__ import annotations

import torch
from torch import Tensor

from bench.metrics.mmd import mmd2

SCALE = 1000.0
DEFINITION = f"1: unbiased MMD² × {SCALE:g}, Gaussian kernel, bandwidth the reference's median distance"


def fingerprint() -> dict[str, str]:
    """What decides the distance beside the embeddings."""
    return {"kad": DEFINITION}


def kad(generated: Tensor, reference: Tensor) -> float:
    """1000 · MMD² of (n, D) and (m, D), in float64; at most 2000.

    Raises:
        ValueError: fewer than two embeddings, other dimensions, or a reference whose embeddings are mostly the same.
    """
    return SCALE * mmd2(generated, reference, (bandwidth(reference),))


def bandwidth(reference: Tensor) -> float:
    """Median distance over all pairs of (m, D)."""
    if len(reference) < 2 or reference.ndim != 2:
        raise ValueError(f"kad: expected a reference (m ≥ 2, D), got {tuple(reference.shape)}")
    # torch takes the lower of the two middle values, as the authors' toolkit does
    found = float(torch.pdist(reference.double()).median())
    if not 0 < found < float("inf"):
        raise ValueError(f"kad: expected finite embeddings that differ, the reference's median distance is {found}")
    return found
