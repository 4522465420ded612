"""`minicodec`, the embedded codec: 16 kHz, 12.5 Hz, 32 continuous dimensions, 8 × 1024 residual codes.

    --codec minicodec[@TAP]

Taps: `continuous` (the default), the latents themselves; `rvq1` to `rvq8`, the same after that many stages of the
residual quantiser, 125 bit/s each.

The latent is the mean of a KL-regularised posterior. Trained by `scripts/train_minicodec.py` on the training
split of `synthspeech` and on LibriSpeech train-clean-100 (Panayotov et al. 2015, CC BY 4.0); its card is
`weights/minicodec.md`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.cache import file_digest
from bench.codecs import taps
from bench.codecs.minicodec_model import HOP, SAMPLE_RATE, Config, Minicodec
from bench.contract import CodecInfo
from bench.errors import DataError

WEIGHTS = Path(__file__).parent / "weights" / "minicodec.safetensors"


class MiniCodec:
    """Codec plug-in `minicodec`.

    Args:
        argument: what follows `minicodec:` on the command line; must be empty.
        tap: `continuous` (also empty), or `rvqN`.
        weights: an fp16 or fp32 safetensors file of `Minicodec`.

    Raises:
        DataError: an argument, an unknown tap, or weights that do not load.
    """

    def __init__(self, argument: str = "", tap: str = "", weights: Path = WEIGHTS) -> None:
        from safetensors.torch import load_file

        if argument:
            raise DataError(f"codec minicodec takes no argument, got {argument!r}")
        config = Config()
        self.tap = taps.read("minicodec", tap, [taps.CONTINUOUS], config.codebooks)
        self.info = CodecInfo(
            name=self.tap.of("minicodec"),
            sample_rate=SAMPLE_RATE,
            hop=HOP,
            dim=config.latent_dim,
            codebooks=(config.codebook_size,) * (self.tap.stages or config.codebooks),
            weights_digest=file_digest(weights),
        )
        self.model = Minicodec(config)
        try:
            stored = load_file(weights)
            self.model.load_state_dict({name: tensor.float() for name, tensor in stored.items()})
        except Exception as error:
            raise DataError(f"codec minicodec: cannot load {weights.name}: {str(error).splitlines()[0]}") from error
        self.model.eval().requires_grad_(False)

    def to(self, device: torch.device) -> MiniCodec:
        """The same codec on `device`."""
        self.model.to(device)
        return self

    @torch.no_grad()
    def encode(self, audio: Tensor) -> Tensor:
        """Audio (B, 1, N) → means (B, ceil(N / 1280), 32) at the tap; the last frame is filled with zeros."""
        padded = F.pad(audio[:, 0], (0, -audio.shape[-1] % HOP))
        x = self.model.encoder(padded)[0]
        return self.from_codes(self.codes(x)) if self.tap.stages else x

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, T, 32) → audio (B, 1, 1280 T)."""
        return self.model.decoder(latents).clamp(-1.0, 1.0).unsqueeze(1)

    @torch.no_grad()
    def codes(self, latents: Tensor) -> Tensor:
        """Latents (B, T, 32) → codes (B, T, Q), Q the stages of the tap (8 for the continuous one)."""
        return self.model.quantise(latents)[..., : len(self.info.codebooks)]

    @torch.no_grad()
    def from_codes(self, codes: Tensor) -> Tensor:
        """Codes (B, T, Q ≤ 8) → latents (B, T, 32)."""
        return self.model.dequantise(codes)
