"""Speech by raw autoregression: p(x_t | x_<t, text, voice) by a transformer and a mixture density.

References:
    Bishop 1994 (mixture density networks); Shen et al. 2018 (Tacotron 2, arXiv 1712.05884).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from baselines.autoregressive import WithDensity
from baselines.heads import Covariance, Mixture
from baselines.speaking import Speaking, SpeechConfig


@dataclass(frozen=True)
class HeadConfig:
    """A mixture of `components` with one of four covariances; `rank` is for the low-rank one."""

    kind: Covariance = "shared"
    components: Annotated[int, Field(ge=1)] = 8
    rank: Annotated[int, Field(ge=1)] = 2


@dataclass(frozen=True)
class Config(SpeechConfig):
    head: HeadConfig = field(default_factory=HeadConfig)


class RawARText(Speaking, WithDensity):
    """Submission plug-in `raw_ar_text`. Its density without a text is that of the model that is told nothing."""

    plugin = "raw_ar_text"
    configuration = Config

    def head(self, features: int, dim: int) -> Mixture:
        config: HeadConfig = self.config.head
        return Mixture(features, dim, config.components, config.kind, config.rank)
