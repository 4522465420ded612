"""`melpca`, a reference without a network: log-mel spectra of 80 ms on their principal components, 16 kHz, 12.5 Hz.

    --codec melpca[@D]

Five log10-mel frames of 80 bands (`bench.metrics.distortion`: Hann windows of 64 ms every 16 ms) make a vector of
400, and a latent is its first D principal components, 64 where no tap is given: a linear map with orthonormal rows,
so that a latent is in units of log10-mel. With `melpca@400` nothing is lost but phase.

What it stands for beside learned codecs: what is there to predict in the envelope of speech when nothing was trained
to be predictable, to be compact or to sound good. Its components are uncorrelated over the fitting data and sorted by
variance. It decodes to the spectra that log-mel L1 reads, so that on this one metric it is better than it sounds.

Every window ends where its frame of 80 ms ends or before: a latent has seen nothing beyond its own frame, the
look-ahead is 0. Decoding goes back to log-mel by the transpose, to magnitudes by the filters' pseudo-inverse, and to
a phase by Griffin and Lim's iteration from a fixed start, in float64, since it makes errors of rounding ten thousand
times larger. It is the same at every call, and reads all frames at once.

The basis was fitted by `scripts/fit_melpca.py` on the audio that `minicodec` was trained on; its card is
`weights/melpca.md`.

References:
    Griffin and Lim 1984, "Signal estimation from modified short-time Fourier transform", IEEE TASSP 32; Perraudin,
    Balazs and Søndergaard 2013, "A fast Griffin-Lim algorithm", WASPAA.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.cache import file_digest
from bench.contract import CodecInfo
from bench.errors import DataError
from bench.metrics.distortion import FLOOR, MELS, WINDOW, mel_filters
from bench.metrics.distortion import HOP as STRIDE

SAMPLE_RATE, HOP = 16_000, 1280
PER_FRAME = HOP // STRIDE
SIZE = PER_FRAME * MELS
DIM = 64
LOUDEST = 1.5
"""log10 of a magnitude above any that audio within [−1, 1] has: what a model makes up is held below it."""
ITERATIONS, MOMENTUM = 32, 0.99
WEIGHTS = Path(__file__).parent / "weights" / "melpca.safetensors"


class MelPCA:
    """Codec plug-in `melpca`.

    Args:
        argument: what follows the colon of `--codec`; must be empty.
        tap: how many components, from the one of most variance on; empty for 64.
        weights: a safetensors file of `mean` (400,) and `basis` (400, 400), a component a row.

    Raises:
        DataError: an argument, a tap that is no number of 1 to 400, or a file that does not hold these tensors.
    """

    def __init__(self, argument: str = "", tap: str = "", weights: Path = WEIGHTS) -> None:
        if argument:
            raise DataError(f"codec melpca takes no argument, got {argument!r}")
        if tap and not (tap.isascii() and tap.isdigit() and tap[0] != "0" and int(tap) <= SIZE):
            raise DataError(f"codec melpca: no tap {tap!r}; there are: 1 to {SIZE} (components), {DIM} by default")
        mean, basis = _load(weights)
        self.info = CodecInfo(
            name="melpca" if tap in ("", str(DIM)) else f"melpca@{tap}",
            sample_rate=SAMPLE_RATE,
            hop=HOP,
            dim=int(tap or DIM),
            weights_digest=file_digest(weights),
        )
        filters = torch.from_numpy(mel_filters().copy())
        self.mean, self.basis = mean, basis[: self.info.dim].contiguous()
        self.inverse = torch.linalg.pinv(filters)
        self.hann = torch.hann_window(WINDOW, dtype=torch.float64)

    def to(self, device: torch.device) -> MelPCA:
        """The same codec on `device`."""
        for name in ("mean", "basis", "inverse", "hann"):
            setattr(self, name, getattr(self, name).to(device))
        return self

    @torch.no_grad()
    def encode(self, audio: Tensor) -> Tensor:
        """Audio (B, 1, N) → components (B, ceil(N / 1280), D); the last frame is filled with zeros."""
        return (stacked_log_mel(audio[:, 0]) - self.mean) @ self.basis.T

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Components (B, T, D) → audio (B, 1, 1280 T), within [−1, 1]."""
        stacked = latents.double() @ self.basis.double() + self.mean.double()
        log_mel = stacked.unflatten(2, (PER_FRAME, MELS)).flatten(1, 2)
        magnitude = (10.0 ** log_mel.clamp(math.log10(FLOOR), LOUDEST) @ self.inverse.T).clamp(min=0.0)
        return self._griffin_lim(magnitude).clamp(-1.0, 1.0).float()[:, None]

    def _griffin_lim(self, magnitude: Tensor) -> Tensor:
        """Magnitudes (B, 5 T, 513), float64 → audio (B, 1280 T) whose spectra come near to them.

        Window i is centred a stride before the end of stride i, so that the first is centred a stride before the
        audio starts; two more at the end, of the last magnitudes, let every sample lie under whole windows.
        """
        wanted = F.pad(magnitude.transpose(1, 2), (0, 2), mode="replicate")
        # drawn window by window: the start of a longer sequence is the same
        draws = torch.rand(wanted.shape[2], wanted.shape[1], generator=torch.Generator().manual_seed(0))
        angle = 2 * math.pi * draws.T.to(wanted)
        phase = torch.polar(torch.ones_like(angle), angle).expand(wanted.shape)
        before = torch.zeros_like(phase)
        length = STRIDE * (wanted.shape[2] - 1)
        for _ in range(ITERATIONS):
            audio = torch.istft(wanted * phase, WINDOW, STRIDE, window=self.hann, length=length)
            found = torch.stft(audio, WINDOW, STRIDE, window=self.hann, pad_mode="constant", return_complex=True)
            moved = found - MOMENTUM / (1 + MOMENTUM) * before
            phase, before = moved / moved.abs().clamp(min=1e-16), found
        return torch.istft(wanted * phase, WINDOW, STRIDE, window=self.hann, length=length)[:, STRIDE:]


def stacked_log_mel(audio: Tensor) -> Tensor:
    """Audio (B, N) → (B, ceil(N / 1280), 400): log10-mel of the five windows that end in each frame.

    Before the audio there is silence, and after it too, up to a whole frame.
    """
    filled = F.pad(audio, (WINDOW - STRIDE, -audio.shape[-1] % HOP)).unfold(-1, WINDOW, STRIDE)
    magnitude = torch.fft.rfft(filled * torch.hann_window(WINDOW).to(audio)).abs()
    filters = torch.from_numpy(mel_filters().copy()).to(audio)
    return (magnitude @ filters.T).clamp(min=FLOOR).log10().unflatten(1, (-1, PER_FRAME)).flatten(2)


def _load(weights: Path) -> tuple[Tensor, Tensor]:
    from safetensors.torch import load_file

    try:
        stored = load_file(weights)
        mean, basis = stored["mean"], stored["basis"]
    except Exception as error:
        raise DataError(f"codec melpca: cannot load {weights.name}: {' '.join(str(error).split())}") from error
    if tuple(mean.shape) != (SIZE,) or tuple(basis.shape) != (SIZE, SIZE):
        got = f"{tuple(mean.shape)} and {tuple(basis.shape)}"
        raise DataError(f"codec melpca: {weights.name}: expected mean ({SIZE},) and basis ({SIZE}, {SIZE}), got {got}")
    return mean.float(), basis.float()
