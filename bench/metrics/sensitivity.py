"""How much a decoder's output moves with each direction of its latents: G = E[JᵀJ], and how far a frame reaches.

Conventions: a feature function takes latents (B, T, D) to features (B, T, F), F of them belonging to frame t. J_t is
the derivative of all features of a sequence by latent t, with the following frames that t reaches and, through
windows that overlap, those before it. G (D, D) is the mean of J_tᵀ J_t over frames, per squared unit of the latents.

All frames of a crop are moved at once, each with a random sign s_t: with Y_i = Σ_t s_t J_t e_i, E[Y_iᵀ Y_j] =
Σ_t (J_tᵀ J_t)_ij, since the products between frames cancel in the mean. It is exact for a decoder without memory or
where moved frames are further apart than they reach, needs D directional derivatives however many frames there are,
and is positive semi-definite.

References:
    Hutchinson 1989, "A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines",
    Communications in Statistics 18; features: `bench.metrics.distortion.log_mel`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from bench.contract import Codec
from bench.metrics import distortion

Features = Callable[[Tensor], Tensor]
"""Latents (B, T, D) → features (B, T, F)."""


class NotDifferentiable(Exception):
    """A feature function without a usable derivative. The message is the reason."""


class DecodedLogMel:
    """Latents → log-mel of the decoded audio, (B, T, n · 80) for n mel frames in a latent frame.

    The spectrum of `bench.metrics.distortion.log_mel`, with n frames about 16 ms apart that divide the codec's frame.
    A window is as long in time as there, 64 ms, centred on its stride; at other rates than 16 kHz bins keep their
    width up to 8 kHz.
    """

    def __init__(self, codec: Codec) -> None:
        self.codec = codec
        rate, hop = codec.info.sample_rate, codec.info.hop
        self.per_frame = max(1, round(hop * distortion.RATE / (rate * distortion.HOP)))
        while hop % self.per_frame:
            self.per_frame -= 1
        self.stride = hop // self.per_frame
        self.window = round(distortion.WINDOW * rate / distortion.RATE)
        bins = min(distortion.WINDOW, self.window) // 2 + 1
        self.filters = torch.from_numpy(distortion.mel_filters().copy())[:, :bins].T.float()
        self.hann = torch.hann_window(self.window)

    def __call__(self, latents: Tensor) -> Tensor:
        audio = self.codec.decode(latents)[:, 0]
        return self.log_mel(audio).unflatten(1, (latents.shape[1], self.per_frame)).flatten(2)

    def log_mel(self, audio: Tensor) -> Tensor:
        """Audio (B, N), N a multiple of the stride → (B, N / stride, 80)."""
        before = max(0, self.window - self.stride) // 2
        after = max(0, self.window - self.stride - before)
        frames = torch.nn.functional.pad(audio, (before, after)).unfold(-1, self.window, self.stride)
        magnitude = torch.fft.rfft(frames * self.hann.to(audio)).abs()
        # a longer window at a higher rate gathers more samples of the same sound
        magnitude = magnitude * (distortion.WINDOW / self.window)
        bands = magnitude[..., : len(self.filters)] @ self.filters.to(audio)
        return bands.clamp(min=distortion.FLOOR).log10()


def directional(features: Features, x: Tensor, direction: Tensor) -> Tensor:
    """J · direction by forward-mode differentiation: (B, T, D) both → (B, T, F).

    Raises:
        NotDifferentiable: an operation has no forward derivative.
    """
    try:
        # tangents travel with the values: a codec that decodes under `no_grad` is no obstacle
        with warnings.catch_warnings():
            # torch compiles its own decompositions at the first call, by a function that it deprecated
            warnings.filterwarnings("ignore", "`torch.jit.script", DeprecationWarning)
            moved = torch.func.jvp(features, (x,), (direction,))[1]
    except (RuntimeError, NotImplementedError) as error:
        raise NotDifferentiable(str(error).splitlines()[0]) from error
    return moved.detach()


def metric(features: Features, x: Tensor, spacing: int, generator: torch.Generator) -> Tensor:
    """G (D, D), float64 on the CPU, over every `spacing`-th frame of crops x (B, T, D).

    The crops' last frames are moved too; what they reach beyond the crop is lost, a share of about reach / T.

    Raises:
        NotDifferentiable: no derivative, or one that is zero or not finite.
    """
    size, frames, dim = x.shape
    moved = torch.arange(int(torch.randint(min(spacing, frames), (1,), generator=generator)), frames, spacing)
    signs = torch.zeros(size, frames, 1)
    signs[:, moved] = 2.0 * torch.randint(2, (size, len(moved), 1), generator=generator) - 1.0
    signs = signs.to(x)
    columns = []
    for i in range(dim):
        axis = torch.zeros(dim, dtype=x.dtype, device=x.device)
        axis[i] = 1.0
        columns.append(directional(features, x, signs * axis).flatten().double().cpu())
    Y = torch.stack(columns)
    G = Y @ Y.T / (size * len(moved))
    if not torch.isfinite(G).all() or float(G.trace()) <= 0.0:
        raise NotDifferentiable(f"the derivative of the decoded features is zero or not finite: tr G = {G.trace():g}")
    return G


def root(G: Tensor) -> Tensor:
    """L (D, D) with G = L Lᵀ, for a positive semi-definite G: ‖v L‖² = vᵀ G v."""
    values, vectors = torch.linalg.eigh(G)
    return vectors * values.clamp(min=0.0).sqrt()


def reach(features: Features, x: Tensor, at: int, scale: Tensor, generator: torch.Generator) -> Tensor:
    """Energy of the features' move by frame, of a random move of frame `at` alone: (T,), float64.

    Args:
        x: (B, T, D).
        at: the frame that moves.
        scale: (D,), standard deviation of the move in each dimension.
    """
    direction = torch.zeros_like(x)
    move = torch.randn(len(x), x.shape[2], generator=generator).to(x) * scale.to(x)
    direction[:, at] = move
    return directional(features, x, direction).double().square().sum(-1).mean(0).cpu()
