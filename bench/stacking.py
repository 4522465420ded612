"""Frames laid side by side, so that codecs of different frame rates meet at one: `--codec NAME+stackF`.

Nothing is averaged or dropped. A stacked latent is the F latents of its span, earliest first: a codec at 50 Hz
with 64 dimensions becomes one at 12.5 Hz with 256. Audio is filled with silence to a whole stacked frame before
it is encoded, as every codec fills its own last frame, so that the filling is made of latents the codec gives and
undoing the stack gives back every latent of the recording, with at most F − 1 of silence after them.

A latent that has seen L frames beyond its own makes the stacked frame that it closes see L frames beyond itself,
which is ceil(L / F) stacked ones.

Codes are stacked stage by stage: the first stage of all F frames, then the second. So the first q · F codes are
the first q stages, a number between gives the earlier frames one stage more, and bits per second stay as they were.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, cast

from bench.cache import digest
from bench.contract import Codec, CodecInfo, HasCodes
from bench.errors import BenchError
from bench.fingerprint import code_key

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def stacked(codec: Codec, factor: int) -> Stacked:
    """`codec` with `factor` frames in one; with codes where it has them.

    Raises:
        BenchError: a factor below 2.
    """
    return StackedCodes(codec, factor) if isinstance(codec, HasCodes) else Stacked(codec, factor)


@dataclass(frozen=True)
class StackedInfo(CodecInfo):
    """What a stacked codec states. `wrapped` is the digest of the wrapped codec's code, which decides the latents."""

    factor: int = 1
    wrapped: str = ""


class Stacked:
    """The latents of another codec, `factor` frames in one.

    Args:
        codec: the codec that is wrapped.
        factor: frames in a stacked frame, at least 2.

    Attributes:
        codec: the codec that is wrapped.

    Raises:
        BenchError: a factor below 2.
    """

    def __init__(self, codec: Codec, factor: int) -> None:
        info = codec.info
        if factor < 2:
            raise BenchError(f"codec {info.name}: to stack takes at least 2 frames, got {factor}")
        stated = {field.name: getattr(info, field.name) for field in fields(CodecInfo)}
        stated |= {
            "name": f"{info.name}+stack{factor}",
            "hop": info.hop * factor,
            "dim": info.dim * factor,
            "lookahead": -(-info.lookahead // factor),
            "codebooks": tuple(size for size in info.codebooks for _ in range(factor)),
        }
        self.codec = codec
        self.info = StackedInfo(**stated, factor=factor, wrapped=digest(code_key(type(codec).__module__)))

    def to(self, device: torch.device) -> Stacked:
        """The same codec on `device`."""
        self.codec = self.codec.to(device)
        return self

    def encode(self, audio: Tensor) -> Tensor:
        """Audio (B, 1, N) → latents (B, ceil(N / (F · hop)), F · D), the last filled up with those of silence."""
        from torch.nn import functional

        return self.stack(self.codec.encode(functional.pad(audio, (0, -audio.shape[-1] % self.info.hop))))

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, T, F · D) → audio (B, 1, T · F · hop)."""
        return self.codec.decode(self.unstack(latents))

    def stack(self, x: Tensor) -> Tensor:
        """Frames (B, T · F, C) → (B, T, F · C)."""
        return x.unflatten(1, (-1, self.info.factor)).flatten(2)

    def unstack(self, x: Tensor) -> Tensor:
        """Frames (B, T, F · C) → (B, T · F, C)."""
        return x.unflatten(2, (self.info.factor, -1)).flatten(1, 2)


class StackedCodes(Stacked):
    """The same for a codec with codes, each of which belongs to one frame."""

    def codes(self, latents: Tensor) -> Tensor:
        """Latents (B, T, F · D) → codes (B, T, Q · F), stage by stage and within a stage frame by frame."""
        codes = self._coded.codes(self.unstack(latents))
        return codes.unflatten(1, (-1, self.info.factor)).transpose(2, 3).flatten(2)

    def from_codes(self, codes: Tensor) -> Tensor:
        """Codes (B, T, Q') of the first Q' ≤ Q · F → latents (B, T, F · D); zeros for a frame without a code."""
        import torch

        factor, given = self.info.factor, codes.shape[-1]
        stages, over = divmod(given, factor)
        # frames without a code of the last stage get any: what is made of it is left out below
        whole = codes.new_zeros((*codes.shape[:2], (stages + bool(over)) * factor))
        whole[..., :given] = codes
        by_frame = whole.unflatten(2, (-1, factor)).transpose(2, 3).flatten(1, 2)
        x = self._coded.from_codes(by_frame)
        if over:
            less = self._coded.from_codes(by_frame[..., :stages]) if stages else x.new_zeros(x.shape)
            late = torch.arange(x.shape[1], device=x.device) % factor >= over
            x = less.where(late[:, None], x)
        return self.stack(x)

    @property
    def _coded(self) -> HasCodes:
        return cast(HasCodes, self.codec)
