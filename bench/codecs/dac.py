"""`dac16`, `dac24`, `dac44`: the Descript Audio Codec at 16 kHz (50 Hz), 24 kHz (75 Hz) and 44.1 kHz (86.13 Hz).

Taps:

- `continuous` (default), 1024: what the encoder gives to the quantiser.
- `projected96`, `projected256`, `projected72`: what each codebook looks its entries up with, 8 numbers a stage
  for 12, 32 and 9 stages. A stage reads what the stages before it left, so that these are not one projection of
  the encoder's output; they are decoded as the codec decodes: each stage's 8 numbers give way to the nearest
  entry, and the entries' projections are added. What lies between entries is lost. A stage whose numbers are all
  zero is left out: that is how codes of the first stages alone come back.
- `rvqN`, 1024: the sum of the first N stages' projected entries. Its codes are those of `continuous`.

Not causal: convolutions are symmetric, and a latent sees the eight frames after its own (up to sample 4244 from
its frame's beginning at 44.1 kHz, 2812 at the others). An utterance is one pass, not the windows that the package
cuts long files into. At 16 and 24 kHz the decoder gives 8 samples less than whole frames; zeros follow.

References:
    Kumar et al. (2023), High-fidelity audio compression with improved RVQGAN, arXiv:2306.06546.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.codecs.packaged import PackagedCodec
from bench.codecs.taps import CONTINUOUS, RVQ
from bench.codecs.torchaudio_import import import_torchaudio
from bench.codecs.weights_of import Source, imported, reading
from bench.errors import DataError

REQUIREMENT = "descript-audio-codec==1.0.0 descript-audiotools==0.7.2"
FOLDER = ".cache/descript/dac"
ADDRESS = "https://github.com/descriptinc/descript-audio-codec/releases/download/"


class DAC44(PackagedCodec):
    """Codec plug-in `dac44`.

    Attributes:
        CONFIG: arguments of the package's `DAC`.
    """

    NAME = "dac44"
    SOURCE = Source(
        file="weights_44khz_8kbps_0.0.1.pth",
        sha256="a88eed82a7024ccc1facdb1e605c4c2f99281c8118c22c9895ffa846d8fb61aa",
        url=ADDRESS + "0.0.1/weights.pth",
        folder=FOLDER,
    )
    LOOKAHEAD = 8
    DIMS: ClassVar[Mapping[str, int]] = {CONTINUOUS: 1024, "projected72": 72}
    CONFIG: ClassVar[Mapping[str, Any]] = {
        "sample_rate": 44_100,
        "encoder_dim": 64,
        "encoder_rates": [2, 4, 8, 8],
        "decoder_dim": 1536,
        "decoder_rates": [8, 8, 4, 2],
        "n_codebooks": 9,
        "codebook_size": 1024,
        "codebook_dim": 8,
    }

    def _package(self) -> Any:
        with imported(self.NAME, "descript-audio-codec", REQUIREMENT):
            import_torchaudio()
            from dac.model import DAC
        return DAC

    def _built(self) -> Any:
        return self._package()(**self.CONFIG)

    def _loaded(self, path: Path) -> Any:
        with reading(self.NAME, path, f"the weights of DAC at {self.CONFIG['sample_rate']} Hz"):
            stored = torch.load(path, map_location="cpu", weights_only=True)
            told = stored["metadata"]["kwargs"]
        for key, expected in self.CONFIG.items():
            if told.get(key, expected) != expected:
                raise DataError(f"codec {self.NAME}: expected {key} {expected} in {path.name}, got {told[key]}")
        model = self._built()
        with reading(self.NAME, path, f"the weights of DAC at {self.CONFIG['sample_rate']} Hz"):
            missing, _ = model.load_state_dict(stored["state_dict"], strict=False)  # the package ignores what is more
            if missing:
                raise KeyError(f"no {missing[0]}, and {len(missing) - 1} more are missing")
        return model

    def _recipe(self) -> dict[str, Any]:
        package = "descript-audio-codec"
        return {"package": package, "version": version(package), "config": dict(self.CONFIG)}

    def _fill(self, generator: torch.Generator) -> None:
        """Entries come Gaussian, a hundred times too large: all stages together now have a quarter of the spread."""
        self.model.eval()
        with torch.no_grad():
            z = self.model.encoder(0.3 * torch.randn(1, 1, 24 * int(self.model.hop_length), generator=generator))
            stages = self.model.quantizer.quantizers
            for stage in stages:
                entries = torch.randn(stage.codebook.weight.shape, generator=generator)
                scale = 0.25 * z.std() / stage.out_proj(entries.T[None]).std() / len(stages) ** 0.5
                # a power of two, so that another machine's rounding does not reach the entries
                stage.codebook.weight.copy_(2.0 ** scale.log2().round() * entries)

    def _rates(self) -> tuple[int, int]:
        return self.model.sample_rate, int(self.model.hop_length)

    def _codebooks(self) -> Sequence[int]:
        return (self.CONFIG["codebook_size"],) * self.CONFIG["n_codebooks"]

    def _coded(self) -> tuple[int, ...]:
        return () if self.tap.name == RVQ else tuple(self._codebooks())

    @property
    def _projected(self) -> bool:
        return self.tap.name not in (CONTINUOUS, RVQ)

    def _latents(self, audio: Tensor) -> Tensor:
        z = self.model.encoder(audio)
        if self.tap.name == CONTINUOUS:
            return z
        quantised, _, projected, _, _ = self.model.quantizer(z, self.tap.stages or None)
        return quantised if self.tap.name == RVQ else projected

    def _audio(self, latents: Tensor) -> Tensor:
        return self.model.decoder(self._summed(latents) if self._projected else latents)

    def _summed(self, projected: Tensor) -> Tensor:
        """The codec's own sum of projected entries, of the stages that are there."""
        total = projected.new_zeros(len(projected), self.model.latent_dim, projected.shape[-1])
        for stage, numbers in self._stages(projected):
            entries, _ = stage.decode_latents(numbers)
            total = total + stage.out_proj(entries) * (numbers != 0).any(1, keepdim=True)
        return total

    def _stages(self, projected: Tensor) -> list[tuple[Any, Tensor]]:
        width = self.CONFIG["codebook_dim"]
        return list(zip(self.model.quantizer.quantizers, projected.split(width, 1), strict=True))

    def _quantised(self, latents: Tensor) -> Tensor:
        if not self._projected:
            return self.model.quantizer(latents)[1]
        return torch.stack([stage.decode_latents(numbers)[1] for stage, numbers in self._stages(latents)], 1)

    def _dequantised(self, codes: Tensor) -> Tensor:
        summed, entries, _ = self.model.quantizer.from_codes(codes)
        if not self._projected:
            return summed
        absent = self.info.dim - entries.shape[1]
        return torch.cat([entries, entries.new_zeros(len(entries), absent, entries.shape[-1])], 1)


class DAC24(DAC44):
    """Codec plug-in `dac24`."""

    NAME = "dac24"
    SOURCE = Source(
        file="weights_24khz_8kbps_0.0.4.pth",
        sha256="44bad592fc393e03eb0be7a5120b7d487fe9612fa41269dc03fca3d4b87e20ad",
        url=ADDRESS + "0.0.4/weights_24khz.pth",
        folder=FOLDER,
    )
    DIMS: ClassVar[Mapping[str, int]] = {CONTINUOUS: 1024, "projected256": 256}
    CONFIG: ClassVar[Mapping[str, Any]] = {
        **DAC44.CONFIG,
        "sample_rate": 24_000,
        "encoder_rates": [2, 4, 5, 8],
        "decoder_rates": [8, 5, 4, 2],
        "n_codebooks": 32,
    }


class DAC16(DAC24):
    """Codec plug-in `dac16`."""

    NAME = "dac16"
    SOURCE = Source(
        file="weights_16khz_8kbps_0.0.5.pth",
        sha256="95ab7176b67137d4d4c6c54b8d6ef3cea797faec228cb03ad084badcad570b4d",
        url=ADDRESS + "0.0.5/weights_16khz.pth",
        folder=FOLDER,
    )
    DIMS: ClassVar[Mapping[str, int]] = {CONTINUOUS: 1024, "projected96": 96}
    CONFIG: ClassVar[Mapping[str, Any]] = {**DAC24.CONFIG, "sample_rate": 16_000, "n_codebooks": 12}
