"""`soundstream`, a real pretrained SoundStream: Lyra v2, 16 kHz, 50 Hz, 64 dimensions, 46 × 16 codes.

    --codec soundstream[@TAP][:FOLDER]

Taps: `unquantised` (the default), what the encoder gives; a number N of 1 to 46, the same after N stages of the
residual quantiser, 200 · N bit/s (Lyra's own rates are 16, 30 and 46 stages: 3.2, 6.0 and 9.2 kbit/s).

The files are those of Lyra v1.3.2 (github.com/google/lyra, `lyra/model_coeffs`, Apache-2.0), three TFLite models
that are not shipped here. FOLDER holds them; without one it is `lyra` in the folder that the environment variable
LATENTBENCH_DATA names, or in ../shared/data where that is. Their sha256 are pinned below: other weights are another
codec.

The models are streaming ones, a frame of 20 ms a call, with state in variables that no reset clears; so each
utterance gets interpreters of its own, and a batch is a loop. Nothing runs on a GPU; tensors come back on the device
that they came from.

The models are int8 inside, their last layer too. What is unquantised has not been through the residual quantiser,
but its values are multiples of 0.2635, about a hundred different ones in each dimension, and `delta_nll` refuses them
by name: a density exists only with noise added. A `dither` of 0.018 is as large as that rounding already is. The
taps of N stages take finitely many values too, too many for any check to see, and the greedy search does not always
find the codes of a sum of entries again: 76 % of them after 16 stages, 46 % after 30, 30 % after 46.

Kernels that round differently agree on a fifth to a third of the latent values, so they are pinned, and part of the
weights' digest: encoder and quantiser run on TFLite's reference kernels, plain C++ alike on every machine (0.10 s a
second of speech on one core); the decoder on the built-in ones for the machine at hand, without XNNPACK (0.03 s, where
the reference ones take 0.20). On three utterances of LibriSpeech the two decodings are .05 apart in log-mel L1, and
their distances from the recording, about .16, differ by less than .002.

The encoder is causal: a latent has seen its own frame and those before it, the look-ahead is 0. The decoder adds
no delay of its own. No derivative passes through either.

References:
    Zeghidour, Luebs, Omran, Skoglund and Tagliasacchi 2021, "SoundStream: An end-to-end neural audio codec"
    (arXiv 2107.03312).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bench.cache import digest
from bench.contract import CodecInfo
from bench.errors import DataError, PluginError

SAMPLE_RATE, HOP, DIM = 16_000, 320, 64
STAGES, ENTRIES = 46, 16
UNQUANTISED = "unquantised"
ENCODER, QUANTISER, DECODER = "soundstream_encoder.tflite", "quantizer.tflite", "lyragan.tflite"
KERNELS = {ENCODER: "BUILTIN_REF", QUANTISER: "BUILTIN_REF", DECODER: "BUILTIN_WITHOUT_DEFAULT_DELEGATES"}
"""TFLite's resolvers; its default one brings in XNNPACK where the machine has it."""
SHA256 = {
    ENCODER: "237da0b16226fb0a68d49551c81bebf614e42142af72764448359f68581e88f1",
    QUANTISER: "841ee05989687d32d1f616a8ad1419fc7eda37599d3c05c7cf5a0d60ccf8ac5c",
    DECODER: "50e7839cda4f30599a3a34cfaddcd9c98449b049eee884e1a74295780448ad06",
}
SOURCE = "Lyra v1.3.2, github.com/google/lyra, lyra/model_coeffs, Apache-2.0"
HOW = "say --codec soundstream:FOLDER, or let LATENTBENCH_DATA name the folder that holds lyra/"

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]


class SoundStream:
    """Codec plug-in `soundstream`.

    Args:
        argument: the folder of the three files; empty for `lyra` in LATENTBENCH_DATA, or in ../shared/data.
        tap: "unquantised" (also empty), or a number of stages.

    Attributes:
        stages: of the quantiser between audio and latents; None for the unquantised tap.
        codebooks: (46, 16, 64), read from the quantiser.

    Raises:
        DataError: an unknown tap; a folder or file that is missing; a file that is not the pinned one.
        PluginError: `ai-edge-litert` is not installed.
    """

    batches = False
    """A frame a call: padding would be coded too, for nothing."""

    def __init__(self, argument: str = "", tap: str = "") -> None:
        self.stages = _stages(tap)
        self._models = _read(_folder(argument))
        self.codebooks = self._read_codebooks()
        self.info = CodecInfo(
            name="soundstream" if self.stages is None else f"soundstream@{self.stages}",
            sample_rate=SAMPLE_RATE,
            hop=HOP,
            dim=DIM,
            codebooks=(ENTRIES,) * (self.stages or STAGES),
            weights_digest=digest({"files": SHA256, "kernels": KERNELS}),
        )

    def to(self, device: torch.device) -> SoundStream:
        """The same codec: it runs on the CPU, and answers on the device that it was asked from."""
        return self

    def encode(self, audio: Tensor) -> Tensor:
        """Audio (B, 1, N) → latents (B, ceil(N / 320), 64); the last frame is filled with zeros."""
        samples = _numpy(audio[:, 0])
        frames = np.pad(samples, ((0, 0), (0, -samples.shape[1] % HOP))).reshape(len(samples), -1, 1, HOP)
        x = self._stream(ENCODER, frames).reshape(len(samples), -1, DIM)
        if self.stages is not None:
            x = dequantise(quantise(x, self.codebooks[: self.stages]), self.codebooks)
        return torch.from_numpy(x).to(audio.device)

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, T, 64) → audio (B, 1, 320 T), within [−1, 1]."""
        x = _numpy(latents)
        audio = self._stream(DECODER, x[:, :, None, None]).reshape(len(x), 1, -1)
        return torch.from_numpy(audio.clip(-1.0, 1.0)).to(latents.device)

    def codes(self, latents: Tensor) -> Tensor:
        """Latents (B, T, 64) → codes (B, T, Q), Q the stages of the tap (46 for the unquantised one)."""
        codebooks = self.codebooks[: len(self.info.codebooks)]
        return torch.from_numpy(quantise(_numpy(latents), codebooks)).to(latents.device)

    def from_codes(self, codes: Tensor) -> Tensor:
        """Codes (B, T, Q' ≤ Q) → latents (B, T, 64)."""
        return torch.from_numpy(dequantise(codes.detach().cpu().numpy(), self.codebooks)).to(codes.device)

    def _stream(self, model: str, frames: Floats) -> Floats:
        """A frame a call, an interpreter an utterance: (B, T, …) → (B, T, values)."""
        out = []
        for utterance in frames:
            run = self._signature(model, "serving_default")
            out.append([run(input_audio=frame)["output_0"].reshape(-1) for frame in utterance])
        return np.array(out, dtype=np.float32)

    def _signature(self, model: str, name: str) -> Callable[..., Mapping[str, Any]]:
        """A new interpreter's signature, in its first state."""
        try:
            from ai_edge_litert.interpreter import Interpreter, OpResolverType
        except ImportError as error:
            raise PluginError("codec soundstream: needs ai-edge-litert: pip install 'latentbench[lyra]'") from error
        resolver = getattr(OpResolverType, KERNELS[model])
        made = Interpreter(model_content=self._models[model], num_threads=1, experimental_op_resolver_type=resolver)
        return made.get_signature_runner(name)

    def _read_codebooks(self) -> Floats:
        """What the quantiser makes of each code of each stage alone; −1 is a stage that is left out."""
        decode = self._signature(QUANTISER, "decode")
        codebooks = np.empty((STAGES, ENTRIES, DIM), np.float32)
        for stage, entry in np.ndindex(STAGES, ENTRIES):
            codes = np.full((STAGES, 1, 1), -1, np.int32)
            codes[stage] = entry
            codebooks[stage, entry] = decode(encoding_indices=codes)["output_0"].reshape(-1)
        return codebooks


def quantise(x: Floats, codebooks: Floats) -> Integers:
    """Greedy residual search: the nearest entry of each stage to what the stages before it left.

    Args:
        x: (..., D).
        codebooks: (Q, V, D).

    Returns:
        (..., Q) in [0, V).
    """
    left, out = x, []
    for entries in codebooks:
        nearest = np.square(left[..., None, :] - entries).sum(-1).argmin(-1)
        left = left - entries[nearest]
        out.append(nearest)
    return np.stack(out, -1)


def dequantise(codes: Integers, codebooks: Floats) -> Floats:
    """Codes (..., Q') of the first Q' stages → the sum of their entries (..., D); codebooks are (Q ≥ Q', V, D)."""
    x = np.zeros((*codes.shape[:-1], codebooks.shape[-1]), np.float32)
    for stage in range(codes.shape[-1]):
        x += codebooks[stage][codes[..., stage]]
    return x


def _stages(tap: str) -> int | None:
    if tap in ("", UNQUANTISED):
        return None
    if not tap.isascii() or not tap.isdigit() or tap.startswith("0") or not 1 <= int(tap) <= STAGES:
        raise DataError(f"codec soundstream: no tap {tap!r}; there are: {UNQUANTISED}, and 1 to {STAGES} (stages)")
    return int(tap)


def _folder(argument: str) -> Path:
    if argument:
        return Path(argument).expanduser()
    if data := os.environ.get("LATENTBENCH_DATA"):
        return Path(data) / "lyra"
    if (beside := Path("../shared/data/lyra")).is_dir():
        return beside
    raise DataError(f"codec soundstream: needs {', '.join(SHA256)} ({SOURCE}); {HOW}")


def _read(folder: Path) -> dict[str, bytes]:
    """The three files, each the one that is pinned."""
    missing = [name for name in SHA256 if not (folder / name).is_file()]
    if missing:
        raise DataError(f"codec soundstream: no {', '.join(missing)} in {folder} ({SOURCE}); {HOW}")
    models = {}
    for name, expected in SHA256.items():
        try:
            models[name] = (folder / name).read_bytes()
        except OSError as error:
            raise DataError(f"codec soundstream: {folder / name} is not readable: {error.strerror}") from error
        if (got := hashlib.sha256(models[name]).hexdigest()) != expected:
            was = f"expected sha256 {expected[:16]}…, got {got[:16]}… of {len(models[name])} bytes"
            raise DataError(f"codec soundstream: {folder / name} is not that of {SOURCE}: {was}")
    return models


def _numpy(x: Tensor) -> Floats:
    return x.detach().cpu().float().numpy()
