"""What the codecs of other packages share: weights, taps, whole frames, and audio in [−1, 1]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from typing_extensions import Self

from bench.cache import digest
from bench.codecs import taps
from bench.codecs.weights_of import RANDOM, SEED, Source, locate, undisturbed
from bench.contract import CodecInfo


class PackagedCodec(ABC):
    """A codec whose model is another package's.

    Inside, tensors lie as convolutions take them: latents (B, D, T), codes (B, Q, T).

    Args:
        argument: `weights_of`: empty, `random`, or a path.
        tap: `taps`.

    Attributes:
        NAME: of the plug-in.
        SOURCE: of the published weights.
        LOOKAHEAD: frames, as measured by perturbation.
        DIMS: tap → dimensions, but for `rvqN`, which has those of `continuous`.
        model: the package's own.

    Raises:
        DataError: no such tap; weights that are missing, damaged or another model's.
        BenchError: the package is not installed.
    """

    NAME: ClassVar[str]
    SOURCE: ClassVar[Source]
    LOOKAHEAD: ClassVar[int] = 0
    DIMS: ClassVar[Mapping[str, int]]

    def __init__(self, argument: str = "", tap: str = "") -> None:
        books = self._codebooks()
        self.tap = taps.read(self.NAME, tap, list(self.DIMS), len(books))
        if argument == RANDOM:
            with undisturbed():
                self.model: Any = self._built()
                self._fill(torch.Generator().manual_seed(SEED))
            found = digest({"weights": RANDOM, "seed": SEED, **self._recipe()})
        else:
            with undisturbed():
                self._package()  # one that is missing is told before weights are looked for
            path, found = locate(self.NAME, argument, self.SOURCE)
            with undisturbed():
                self.model = self._loaded(path)
        self.model.eval().requires_grad_(False)
        sample_rate, hop = self._rates()
        self.info = CodecInfo(
            name=self.tap.of(self.NAME),
            sample_rate=sample_rate,
            hop=hop,
            dim=self.DIMS[taps.CONTINUOUS if self.tap.stages else self.tap.name],
            lookahead=self.LOOKAHEAD,
            codebooks=self._coded(),
            weights_digest=found,
            trained=argument != RANDOM,
        )
        if self.info.codebooks:
            # a tap without codes has no such methods, as the contract's HasCodes asks
            self.codes, self.from_codes = self._codes, self._from_codes

    def to(self, device: torch.device) -> Self:
        """The same codec on `device`."""
        self.model.to(device)
        return self

    @torch.no_grad()
    def encode(self, audio: Tensor) -> Tensor:
        """Audio (B, 1, N) → latents (B, ceil(N / hop), D); the last frame is filled with zeros."""
        whole = F.pad(audio, (0, -audio.shape[-1] % self.info.hop))
        return self._latents(whole).transpose(1, 2).float().contiguous()

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, T, D) → audio (B, 1, T · hop) in [−1, 1]; where the decoder ends sooner, zeros follow."""
        samples = latents.shape[1] * self.info.hop
        audio = self._audio(latents.transpose(1, 2))[..., :samples]
        return F.pad(audio, (0, samples - audio.shape[-1])).clamp(-1.0, 1.0).float()

    @torch.no_grad()
    def _codes(self, latents: Tensor) -> Tensor:
        """Latents (B, T, D) → codes (B, T, Q)."""
        return self._quantised(latents.transpose(1, 2)).transpose(1, 2).contiguous()

    @torch.no_grad()
    def _from_codes(self, codes: Tensor) -> Tensor:
        """Codes (B, T, Q' ≤ Q) → latents (B, T, D)."""
        return self._dequantised(codes.transpose(1, 2)).transpose(1, 2).float().contiguous()

    # --- what each codec says ------------------------------------------------------------------------------

    @abstractmethod
    def _package(self) -> Any:
        """What is used of the package, imported here and no sooner."""

    @abstractmethod
    def _built(self) -> Any:
        """The package's model, with the weights that it begins with."""

    @abstractmethod
    def _loaded(self, path: Path) -> Any:
        """The package's model with the weights of a file."""

    @abstractmethod
    def _recipe(self) -> dict[str, Any]:
        """What decides random weights beside the seed: package, version, architecture."""

    @abstractmethod
    def _rates(self) -> tuple[int, int]:
        """Sample rate in Hz, and samples a frame."""

    @abstractmethod
    def _latents(self, audio: Tensor) -> Tensor:
        """Audio (B, 1, T · hop) → latents (B, D, T) at the tap."""

    @abstractmethod
    def _audio(self, latents: Tensor) -> Tensor:
        """Latents (B, D, T) at the tap → audio (B, 1, about T · hop)."""

    def _codebooks(self) -> Sequence[int]:
        """Sizes of all the model's codebooks."""
        return ()

    def _coded(self) -> tuple[int, ...]:
        """Sizes of the codebooks that the tap's codes come from; empty where it has no codes."""
        return ()

    def _fill(self, generator: torch.Generator) -> None:  # noqa: B027 — most have nothing to fill
        """Give codebooks that an untrained model leaves at zero something to tell apart."""

    def _quantised(self, latents: Tensor) -> Tensor:
        raise NotImplementedError

    def _dequantised(self, codes: Tensor) -> Tensor:
        raise NotImplementedError
