"""`minicodec`, the embedded codec: 16 kHz, 12.5 Hz, 32 continuous dimensions, 8 × 1024 residual codes.

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
from bench.codecs.minicodec_model import HOP, SAMPLE_RATE, Config, Minicodec
from bench.contract import CodecInfo
from bench.errors import DataError

WEIGHTS = Path(__file__).parent / "weights" / "minicodec.safetensors"


class MiniCodec:
    """Codec plug-in `minicodec`.

    Args:
        argument: what follows `minicodec:` on the command line; must be empty.
        weights: an fp16 or fp32 safetensors file of `Minicodec`.
    """

    def __init__(self, argument: str = "", weights: Path = WEIGHTS) -> None:
        from safetensors.torch import load_file

        if argument:
            raise DataError(f"codec minicodec takes no argument, got {argument!r}")
        config = Config()
        self.info = CodecInfo(
            name="minicodec",
            sample_rate=SAMPLE_RATE,
            hop=HOP,
            dim=config.latent_dim,
            codebooks=(config.codebook_size,) * config.codebooks,
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
        """Audio (B, 1, N) → means (B, ceil(N / 1280), 32); the last frame is filled with zeros."""
        padded = F.pad(audio[:, 0], (0, -audio.shape[-1] % HOP))
        return self.model.encoder(padded)[0]

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, T, 32) → audio (B, 1, 1280 T)."""
        return self.model.decoder(latents).clamp(-1.0, 1.0).unsqueeze(1)

    @torch.no_grad()
    def codes(self, latents: Tensor) -> Tensor:
        """Latents (B, T, 32) → codes (B, T, 8)."""
        return self.model.quantise(latents)

    @torch.no_grad()
    def from_codes(self, codes: Tensor) -> Tensor:
        """Codes (B, T, Q ≤ 8) → latents (B, T, 32)."""
        return self.model.dequantise(codes)
