"""A trained variant as a codec of the harness."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.cache import file_digest
from bench.codecs.minicodec_model import HOP, SAMPLE_RATE, Config, Minicodec
from bench.contract import CodecInfo
from benchmarks.pressure.bottlenecks import Bottleneck


class PressedCodec:
    """The encoder's mean as its bottleneck exposes it, and the decoder.

    Args:
        name: of the codec, for records and errors.
        weights: what `benchmarks.pressure.train.train` returned, in the file `path`.
    """

    def __init__(
        self, name: str, bottleneck: Bottleneck, config: Config, weights: dict[str, Tensor], path: Path
    ) -> None:
        self.info = CodecInfo(name, SAMPLE_RATE, HOP, config.latent_dim, weights_digest=file_digest(path))
        self.bottleneck = bottleneck
        self.model = Minicodec(config)
        self.model.load_state_dict({k: v for k, v in weights.items() if k != "curve"})
        self.model.eval().requires_grad_(False)

    def to(self, device: torch.device) -> PressedCodec:
        """The same codec on `device`."""
        self.model.to(device)
        return self

    @torch.no_grad()
    def posterior(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Audio (B, 1, N) → mean and log-variance, each (B, ceil(N / 1280), D)."""
        mean, log_var = self.model.encoder(F.pad(audio[:, 0], (0, -audio.shape[-1] % HOP)))
        return mean, log_var

    def encode(self, audio: Tensor) -> Tensor:
        """Audio (B, 1, N) → latents (B, ceil(N / 1280), D)."""
        return self.bottleneck.latents(self.posterior(audio)[0])

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, T, D) → audio (B, 1, 1280 T)."""
        return self.model.decoder(latents).clamp(-1.0, 1.0)[:, None]
