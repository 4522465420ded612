"""`mimi`: the codec of Moshi, 24 kHz, 12.5 Hz, one semantic and up to 31 acoustic codebooks of 2048.

Taps:

- `continuous` (default), 512: what the encoder gives to the quantisers, `encode_to_latent(quantize=False)`.
- `semantic256`, `acoustic256`: the projections of it that the first quantiser and the other 31 read. They are
  decoded through that quantiser's own output projection alone: what the other one carries is lost, and so is
  what lies outside the 256 dimensions.
- `rvqN`: the sum of both quantisers' outputs at N codebooks in all, 512. Still vectors; their codes are those
  of `continuous`, since coding the sum again need not find them.

Causal: attention and convolutions see the past alone, and a latent nothing after its own 1920 samples.

References:
    Défossez et al. (2024), Moshi: a speech-text foundation model for real-time dialogue, arXiv:2410.00037.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.codecs.packaged import PackagedCodec
from bench.codecs.taps import RVQ
from bench.codecs.weights_of import Source, entries, imported, reading
from bench.errors import DataError

REQUIREMENT = "moshi==0.2.13"
SEMANTIC, ACOUSTIC = "semantic256", "acoustic256"


class Mimi(PackagedCodec):
    """Codec plug-in `mimi`.

    Attributes:
        CONFIG: the package's own configuration of Mimi, or None for the published one.
    """

    NAME = "mimi"
    SOURCE = Source(
        file="tokenizer-e351c8d8-checkpoint125.safetensors",
        sha256="09b782f0629851a271227fb9d36db65c041790365f11bbe5d3d59369cf863f50",
        repository="kyutai/moshiko-pytorch-bf16",
        revision="2bfc9ae6e89079a5cc7ed2a68436010d91a3d289",
    )
    DIMS: ClassVar[Mapping[str, int]] = {"continuous": 512, SEMANTIC: 256, ACOUSTIC: 256}
    STAGES: ClassVar[int] = 32
    ENTRIES: ClassVar[int] = 2048
    CONFIG: ClassVar[Mapping[str, Any] | None] = None

    def _package(self) -> Any:
        with imported(self.NAME, "moshi", REQUIREMENT):
            from moshi.models import loaders
        return loaders

    def _built(self, path: Path | None = None) -> Any:
        model = self._package().get_mimi(path, copy.deepcopy(self.CONFIG), num_codebooks=self.STAGES)
        if self.tap.stages:
            model.set_num_codebooks(self.tap.stages)
        return model

    def _loaded(self, path: Path) -> Any:
        if path.suffix != ".safetensors":
            raise DataError(f"codec mimi: expected a .safetensors file, got {path.name}")
        with reading(self.NAME, path, "the weights of Mimi"):
            return self._built(path)

    def _recipe(self) -> dict[str, Any]:
        return {"package": "moshi", "version": version("moshi"), "config": self.CONFIG}

    def _fill(self, generator: torch.Generator) -> None:
        """Entries about the mean of what they quantise, at a share of its spread: each stage takes off a little."""
        noise = 0.3 * torch.randn(1, 1, 12 * self.model.frame_size, generator=generator)
        with torch.no_grad():
            x = self._continuous(noise)
            for quantiser in (self.model.quantizer.rvq_first, self.model.quantizer.rvq_rest):
                about = quantiser.input_proj(x)[0].T
                books = [layer._codebook for layer in quantiser.vq.layers]
                for book, values in zip(books, entries(about, len(books), self.ENTRIES, generator), strict=True):
                    book.embedding_sum.copy_(values)  # divided by cluster_usage, which is one here
                    book._initialized.fill_(1)

    def _rates(self) -> tuple[int, int]:
        return self.model.sample_rate, self.model.frame_size

    def _codebooks(self) -> Sequence[int]:
        return (self.ENTRIES,) * self.STAGES

    def _coded(self) -> tuple[int, ...]:
        stages = {"continuous": self.STAGES, SEMANTIC: 1, ACOUSTIC: self.STAGES - 1}
        return (self.ENTRIES,) * stages.get(self.tap.name, 0)

    def _quantiser(self) -> Any:
        """The half of the quantiser that a projected tap belongs to."""
        both = self.model.quantizer
        return {SEMANTIC: both.rvq_first, ACOUSTIC: both.rvq_rest}.get(self.tap.name)

    def _continuous(self, audio: Tensor) -> Tensor:
        from moshi.utils.compile import no_compile

        with no_compile():
            return self.model.encode_to_latent(audio, quantize=False)

    def _latents(self, audio: Tensor) -> Tensor:
        x = self._continuous(audio)
        half = self._quantiser()
        if half is not None:
            return half.input_proj(x)
        return self._dequantised(self._quantised(x)) if self.tap.name == RVQ else x

    def _audio(self, latents: Tensor) -> Tensor:
        from moshi.utils.compile import no_compile

        half = self._quantiser()
        x = latents if half is None else half.output_proj(latents)
        with no_compile():
            x = self.model._to_encoder_framerate(x)
            (x,) = self.model.decoder_transformer(x)
            return self.model.decoder(x)

    def _quantised(self, latents: Tensor) -> Tensor:
        half = self._quantiser()
        if half is None:
            return self.model.quantizer.encode(latents)
        return half.vq.encode(latents, n_q=half.n_q).transpose(0, 1)

    def _dequantised(self, codes: Tensor) -> Tensor:
        half = self._quantiser()
        return self.model.quantizer.decode(codes) if half is None else half.vq.decode(codes.transpose(0, 1))
