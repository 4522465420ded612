"""The network of `minicodec`: a causal ConvNeXt encoder on log-mel and an inverse-STFT decoder.

Conventions: audio (B, N) at 16 kHz; latents (B, T, 32) at 12.5 Hz; frame t is samples
[1280 t, 1280 (t + 1)). The encoder is causal: latent t depends on samples before 1280 (t + 1). The
decoder's convolutions are causal too; its synthesis windows overlap, so that a sample depends on latents up
to 15 ms (240 samples) ahead of it.

References:
    Liu et al. 2022 (ConvNeXt, arXiv 2201.03545); Siuzdak 2023 (Vocos, arXiv 2306.00814).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SAMPLE_RATE = 16_000
HOP = 1280


@dataclass(frozen=True)
class Config:
    """Sizes. `rates` halve from 100 Hz to 12.5 Hz in the encoder and double back in the decoder."""

    latent_dim: int = 32
    encoder_widths: tuple[int, ...] = (96, 160, 256, 256)
    encoder_depths: tuple[int, ...] = (1, 2, 2, 2)
    decoder_widths: tuple[int, ...] = (256, 256, 192, 192)
    decoder_depths: tuple[int, ...] = (1, 2, 2, 4)
    expansion: int = 3
    mels: int = 80
    window: int = 640
    stride: int = 160
    codebooks: int = 8
    codebook_size: int = 1024


def mel_filterbank(n_freqs: int, n_mels: int, sample_rate: int, f_max: float) -> Tensor:
    """Triangular filters (n_freqs, n_mels), equally spaced on the HTK mel scale from 0 Hz to `f_max`."""
    to_mel = lambda f: 2595.0 * torch.log10(1.0 + f / 700.0)  # noqa: E731
    freqs = torch.linspace(0, sample_rate / 2, n_freqs)
    edges = 700.0 * (10 ** (torch.linspace(0, float(to_mel(torch.tensor(f_max))), n_mels + 2) / 2595.0) - 1.0)
    rise = (freqs[:, None] - edges[None, :-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[None, 2:] - freqs[:, None]) / (edges[2:] - edges[1:-1])
    return torch.minimum(rise, fall).clamp(min=0.0)


class Block(nn.Module):
    """ConvNeXt block over (B, T, C), causal in T."""

    kernel = 7

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, self.kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, width * expansion)
        self.project = nn.Linear(width * expansion, width)
        self.scale = nn.Parameter(torch.full((width,), 0.1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(F.pad(x.transpose(1, 2), (self.kernel - 1, 0))).transpose(1, 2)
        return x + self.scale * self.project(F.gelu(self.expand(self.norm(y))))


class Encoder(nn.Module):
    """Audio (B, N) with N a multiple of 1280 → mean and log-variance of the latents, each (B, T, D)."""

    hann: Tensor
    filters: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        widths = config.encoder_widths
        self.register_buffer("hann", torch.hann_window(config.window), persistent=False)
        filters = mel_filterbank(config.window // 2 + 1, config.mels, SAMPLE_RATE, SAMPLE_RATE / 2)
        self.register_buffer("filters", filters, persistent=False)
        self.stem = nn.Linear(config.mels, widths[0])
        stages: list[nn.Module] = []
        for i, (width, depth) in enumerate(zip(widths, config.encoder_depths, strict=True)):
            if i:
                stages.append(Halve(widths[i - 1], width))
            stages += [Block(width, config.expansion) for _ in range(depth)]
        self.stages = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(widths[-1])
        self.head = nn.Linear(widths[-1], 2 * config.latent_dim)

    def log_mel(self, audio: Tensor) -> Tensor:
        """Log-mel energies (B, T', mels) of windows that end where their stride ends."""
        config = self.config
        frames = F.pad(audio, (config.window - config.stride, 0)).unfold(-1, config.window, config.stride)
        power = torch.fft.rfft(frames * self.hann).abs().square()
        return (power @ self.filters).clamp(min=1e-5).log() / 4.0

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        y = self.head(self.norm(self.stages(self.stem(self.log_mel(audio)))))
        mean, log_var = y.chunk(2, dim=-1)
        return mean, log_var.clamp(-12.0, 4.0)


class Halve(nn.Module):
    """Two frames → one, (B, T, C) → (B, T / 2, C')."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(2 * width, out)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.norm(x).unflatten(1, (-1, 2)).flatten(2))


class Double(nn.Module):
    """One frame → two, (B, T, C) → (B, 2 T, C')."""

    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 2 * out)

    def forward(self, x: Tensor) -> Tensor:
        return self.project(self.norm(x)).unflatten(2, (2, -1)).flatten(1, 2)


class Decoder(nn.Module):
    """Latents (B, T, D) → audio (B, 1280 T) by magnitude, phase and overlap-add."""

    hann: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        widths = config.decoder_widths
        self.register_buffer("hann", torch.hann_window(config.window), persistent=False)
        self.stem = nn.Linear(config.latent_dim, widths[0])
        stages: list[nn.Module] = []
        for i, (width, depth) in enumerate(zip(widths, config.decoder_depths, strict=True)):
            if i:
                stages.append(Double(widths[i - 1], width))
            stages += [Block(width, config.expansion) for _ in range(depth)]
        self.stages = nn.Sequential(*stages)
        self.norm = nn.LayerNorm(widths[-1])
        self.head = nn.Linear(widths[-1], config.window + 2)

    def forward(self, latents: Tensor) -> Tensor:
        config = self.config
        log_magnitude, phase = self.head(self.norm(self.stages(self.stem(latents)))).chunk(2, dim=-1)
        spectrum = torch.polar(log_magnitude.clamp(max=6.0).exp(), phase)
        frames = torch.fft.irfft(spectrum, n=config.window) * self.hann
        return self.overlap_add(frames) / self.overlap_add(self.hann.square().expand_as(frames[:1]))

    def overlap_add(self, frames: Tensor) -> Tensor:
        """Frames (B, T', window) centred on their strides → (B, T' · stride)."""
        config = self.config
        count = frames.shape[1]
        total = (count - 1) * config.stride + config.window
        out = F.fold(frames.transpose(1, 2), (1, total), (1, config.window), stride=(1, config.stride))
        edge = (config.window - config.stride) // 2
        return out[:, 0, 0, edge : edge + count * config.stride]


class Minicodec(nn.Module):
    """Encoder, decoder and the residual codebooks (Q, V, D), which are fitted to the encoder's means."""

    codebooks: Tensor

    def __init__(self, config: Config | None = None) -> None:
        super().__init__()
        self.config = config = config or Config()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        shape = (config.codebooks, config.codebook_size, config.latent_dim)
        self.register_buffer("codebooks", torch.zeros(shape))

    def quantise(self, latents: Tensor) -> Tensor:
        """Latents (B, T, D) → codes (B, T, Q), nearest entry stage by stage."""
        residual, codes = latents, []
        for book in self.codebooks:
            index = torch.cdist(residual, book.expand(len(residual), -1, -1)).argmin(-1)
            codes.append(index)
            residual = residual - book[index]
        return torch.stack(codes, dim=-1)

    def dequantise(self, codes: Tensor) -> Tensor:
        """Codes (B, T, Q') of the first Q' stages → their sum (B, T, D)."""
        return torch.stack([self.codebooks[q][codes[..., q]] for q in range(codes.shape[-1])]).sum(0)
