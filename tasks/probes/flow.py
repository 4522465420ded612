"""Normalising-flow heads: a conditional autoregressive flow of zuko on the whitened target.

Splines (NSF) act on [−5, 5] only and are the identity beyond it. One affine autoregressive layer goes before them:
what the splines see is then the residual of a conditional Gaussian, centred and scaled by the context, and not the
target itself, so that the box holds it wherever the target lies. A MAF has affine layers alone.

The affine layers scale by at most 1 / `MIN_SCALE`, each, as the mixtures' σ-floor does.

References:
    Durkan et al. 2019, "Neural spline flows" (arXiv 1906.04032); Papamakarios et al. 2017, "Masked autoregressive
    flow" (arXiv 1705.07057).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bench.errors import BenchError
from bench.metrics.mixture import MIN_SCALE

Flow = Literal["nsf", "maf"]
BINS = 8
HIDDEN = 64
"""Width of a layer's masked network."""


class FlowDensity(nn.Module):
    """Features (n, H) → log-density of u (n, D) under a conditional flow.

    Args:
        features: H.
        dim: D.
        kind: "nsf" or "maf".
        transforms: autoregressive layers in alternating order, the affine first one included.

    Raises:
        BenchError: zuko is not installed.
    """

    def __init__(self, features: int, dim: int, kind: Flow, transforms: int) -> None:
        super().__init__()
        zuko = _zuko()
        affine: dict[str, Any] = {"univariate": partial(zuko.transforms.MonotonicAffineTransform, slope=MIN_SCALE)}
        spline: dict[str, Any] = {
            "univariate": zuko.transforms.MonotonicRQSTransform,
            "shapes": [(BINS,), (BINS,), (BINS - 1,)],
        }
        order = torch.arange(dim)
        layers = [
            zuko.flows.MaskedAutoregressiveTransform(
                dim,
                features,
                order=order if index % 2 == 0 else order.flip(0),
                hidden_features=(HIDDEN,),
                **(spline if kind == "nsf" and index else affine),
            )
            for index in range(transforms)
        ]
        base = zuko.flows.UnconditionalDistribution(
            zuko.distributions.DiagNormal, loc=torch.zeros(dim), scale=torch.ones(dim), buffer=True
        )
        self.flow = zuko.flows.Flow(layers, base)

    def log_prob(self, features: Tensor, u: Tensor) -> Tensor:
        """log p(u | features): (n, H), (n, D) → (n,) nats."""
        return self.flow(features).log_prob(u)


def _zuko() -> Any:
    try:
        import zuko
        import zuko.distributions
        import zuko.flows
        import zuko.transforms
    except ImportError as error:
        raise BenchError("the flow probe needs zuko: pip install 'latentbench[probes]'") from error
    return zuko
