"""Raw autoregression: p(x_t | x_<t) by a causal backbone over latents and a density head.

References:
    Bishop 1994 (mixture density networks); Cho et al. 2014 (arXiv 1406.1078); Durkan et al. 2019 (arXiv 1906.04032).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import Field

from baselines.autoregressive import ARConfig, Network, WithDensity
from baselines.heads import Density, FlowDensity, Mixture
from baselines.layers import backbone
from bench.contract import CodecInfo
from bench.errors import CardError


@dataclass(frozen=True)
class HeadConfig:
    """Which density: a mixture of `components` with one of four covariances, or a flow of `transforms` layers."""

    kind: Literal["shared", "diagonal", "low_rank", "full", "nsf", "maf"] = "shared"
    components: Annotated[int, Field(ge=1)] = 8
    rank: Annotated[int, Field(ge=1)] = 2
    transforms: Annotated[int, Field(ge=1)] = 3


@dataclass(frozen=True)
class Config(ARConfig):
    head: HeadConfig = field(default_factory=HeadConfig)


class RawAR(WithDensity):
    """Submission plug-in `raw_ar`. The state it exposes is x itself."""

    plugin = "raw_ar"
    configuration = Config

    def validate(self) -> None:
        super().validate()
        head = self.config.head
        if head.kind == "nsf" and head.transforms < 2:
            raise CardError("raw_ar: parameter head.transforms: splines come after an affine layer; expected 2 or more")

    def build(self, codec: CodecInfo) -> Network:
        config = self.config
        read = backbone(codec.dim, config.backbone)
        return Network(codec.dim, read, _head(read.width, codec.dim, config.head), config.backbone.dropout)


def _head(features: int, dim: int, config: HeadConfig) -> Density:
    if config.kind in ("nsf", "maf"):
        return FlowDensity(features, dim, config.kind, config.transforms)
    return Mixture(features, dim, config.components, config.kind, config.rank)
