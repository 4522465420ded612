"""`encodec24` and `encodec48`: EnCodec at 24 kHz (mono, causal) and at 48 kHz (stereo, in segments of a second).

Taps: `continuous` (default), what the encoder gives to the quantiser; `rvqN`, the sum of its first N codebooks,
whose codes are those of `continuous`.

`encodec24`: 128 at 75 Hz. The package fills the past of an utterance's first frames with a mirror image of what
follows, so that its first three latents have seen up to six frames of their future. Here an utterance begins
after `LEAD` frames of silence, which are cut off again: no latent looks ahead, and only the utterance's first
moments differ from the package's.

`encodec48`: 129 at 150 Hz. The model was trained on stereo seconds, each divided by its own level, and
normalises inside over the whole second. So audio is doubled to stereo and coded second by second, as the
package does but for its overlap of 1 %, which is not a whole number of frames; the decoded channels are
averaged. A latent has seen all of its second: the first looks 149 frames ahead. The level, which the package
sends beside the codes, is the 129th dimension: log rms of the frame's own samples. The mean power of a second's
frames is the power of the second, so that decoding loses nothing. Its codes begin with that level, in 1024 steps
of 0.117 dB.

References:
    Défossez et al. (2022), High fidelity neural audio compression, arXiv:2210.13438.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from bench.codecs.packaged import PackagedCodec
from bench.codecs.taps import RVQ
from bench.codecs.torchaudio_import import import_torchaudio
from bench.codecs.weights_of import Source, entries, imported, reading

LEAD = 8
"""Frames of silence before an utterance; seven keep the mirror image off it."""
SECOND = 150
"""Frames in a segment of `encodec48`."""
QUIET = 1e-12
"""Power that is added to a frame's own, so that silence has a level: −120 dB."""
LOWEST = 0.5 * math.log(QUIET)
"""The level of silence; that of full scale is 0."""
FOLDER = ".cache/torch/hub/checkpoints"
ADDRESS = "https://dl.fbaipublicfiles.com/encodec/v0/"


class EnCodec24(PackagedCodec):
    """Codec plug-in `encodec24`."""

    NAME = "encodec24"
    SOURCE = Source(
        file="encodec_24khz-d7cc33bc.th",
        sha256="d7cc33bcf1aad7f2dad9836f36431530744abeace3ca033005e3290ed4fa47bf",
        url=ADDRESS + "encodec_24khz-d7cc33bc.th",
        folder=FOLDER,
    )
    DIMS: ClassVar[Mapping[str, int]] = {"continuous": 128}
    STAGES: ClassVar[int] = 32
    ENTRIES: ClassVar[int] = 1024

    def _package(self) -> Any:
        with imported(self.NAME, "encodec"):
            import_torchaudio()
            from encodec import EncodecModel
        return EncodecModel

    def _built(self) -> Any:
        return self._package().encodec_model_24khz(pretrained=False)

    def _loaded(self, path: Path) -> Any:
        model = self._built()
        with reading(self.NAME, path, f"the weights of {self.SOURCE.file.partition('-')[0]}"):
            model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        return model

    def _recipe(self) -> dict[str, Any]:
        return {"package": "encodec", "version": version("encodec"), "model": self.NAME}

    def _fill(self, generator: torch.Generator) -> None:
        self.model.eval()
        hop = self.model.sample_rate // self.model.frame_rate
        with torch.no_grad():
            about = self._continuous(0.3 * torch.randn(1, 1, SECOND * hop, generator=generator))[0].T
        layers = self.model.quantizer.vq.layers
        for layer, values in zip(layers, entries(about, len(layers), self.ENTRIES, generator), strict=True):
            book = layer._codebook
            book.embed.copy_(values)
            book.embed_avg.copy_(values)
            book.inited.fill_(1)

    def _rates(self) -> tuple[int, int]:
        return self.model.sample_rate, self.model.sample_rate // self.model.frame_rate

    def _codebooks(self) -> Sequence[int]:
        return (self.ENTRIES,) * self.STAGES

    def _coded(self) -> tuple[int, ...]:
        return () if self.tap.name == RVQ else (self.ENTRIES,) * self.STAGES

    def _continuous(self, audio: Tensor) -> Tensor:
        """Audio (B, 1, T · hop) → what is quantised (B, 128, T)."""
        hop = self.model.sample_rate // self.model.frame_rate
        return self.model.encoder(F.pad(audio, (LEAD * hop, 0)))[..., LEAD:]

    def _latents(self, audio: Tensor) -> Tensor:
        x = self._continuous(audio)
        return self._sum(self._nearest(x, self.tap.stages)) if self.tap.name == RVQ else x

    def _audio(self, latents: Tensor) -> Tensor:
        return self.model.decoder(latents)

    def _nearest(self, x: Tensor, stages: int) -> Tensor:
        return self.model.quantizer.vq.encode(x, n_q=stages).transpose(0, 1)

    def _sum(self, codes: Tensor) -> Tensor:
        return self.model.quantizer.vq.decode(codes.transpose(0, 1))

    def _quantised(self, latents: Tensor) -> Tensor:
        return self._nearest(latents, self.STAGES)

    def _dequantised(self, codes: Tensor) -> Tensor:
        return self._sum(codes)


class EnCodec48(EnCodec24):
    """Codec plug-in `encodec48`."""

    NAME = "encodec48"
    SOURCE = Source(
        file="encodec_48khz-7e698e3e.th",
        # the eight digits in the file's name begin its sha256, as the package itself checks; the rest is not known
        sha256="7e698e3e",
        url=ADDRESS + "encodec_48khz-7e698e3e.th",
        folder=FOLDER,
    )
    LOOKAHEAD = SECOND - 1
    DIMS: ClassVar[Mapping[str, int]] = {"continuous": 129}
    STAGES: ClassVar[int] = 16

    def _built(self) -> Any:
        return self._package().encodec_model_48khz(pretrained=False)

    def _coded(self) -> tuple[int, ...]:
        books = super()._coded()
        return (self.ENTRIES, *books) if books else ()

    def _continuous(self, audio: Tensor) -> Tensor:
        """Audio (B, 1, T · hop) → what is quantised (B, 128, T)."""
        hop = self.model.sample_rate // self.model.frame_rate
        seconds = audio.split(SECOND * hop, -1)
        loud = [1e-8 + second.square().mean(-1, keepdim=True).sqrt() for second in seconds]
        stereo = [(second / level).expand(-1, 2, -1) for second, level in zip(seconds, loud, strict=True)]
        return torch.cat([self.model.encoder(second) for second in stereo], -1)

    def _latents(self, audio: Tensor) -> Tensor:
        x = super()._latents(audio)
        power = audio.unflatten(-1, (x.shape[-1], -1)).square().mean(-1)
        return torch.cat([x, 0.5 * (power + QUIET).log()], 1)

    def _audio(self, latents: Tensor) -> Tensor:
        decoded = []
        for second in latents.split(SECOND, -1):
            loud = (2.0 * second[:, -1:]).exp().mean(-1, keepdim=True).sqrt()
            decoded.append(self.model.decoder(second[:, :-1]).mean(1, keepdim=True) * loud)
        return torch.cat(decoded, -1)

    def _quantised(self, latents: Tensor) -> Tensor:
        steps = (self.ENTRIES - 1) * (1.0 - latents[:, -1:] / LOWEST)
        level = steps.round().clamp(0, self.ENTRIES - 1).long()
        return torch.cat([level, self._nearest(latents[:, :-1], self.STAGES)], 1)

    def _dequantised(self, codes: Tensor) -> Tensor:
        level = LOWEST * (1.0 - codes[:, :1].float() / (self.ENTRIES - 1))
        books = codes[:, 1:]
        # no stage at all sums to a scalar in the package
        x = self._sum(books) if books.shape[1] else level.new_zeros(len(level), 128, level.shape[-1])
        return torch.cat([x, level], 1)
