"""The codec without a model, `codec_itself`: its state is the latent, and nothing is fitted.

The row for what is asked of a codec and of no model; every row of raw latents has the same state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bench.contract import CodecInfo, FitContext, LatentUtterance


class CodecItself:
    """Submission plug-in `codec_itself`; offers `represent` alone."""

    def fit(self, train: Sequence[LatentUtterance], valid: Sequence[LatentUtterance], context: FitContext) -> None:
        """Nothing."""

    def state(self) -> dict[str, Tensor]:
        return {}

    def load_state(self, state: Mapping[str, Tensor], codec: CodecInfo, device: torch.device) -> None:
        """Nothing."""

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """x itself, (B, T, D)."""
        del generator
        return x
