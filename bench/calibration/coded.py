"""Codes as a source: a codec whose latents say them without loss, and sequences of codes with known entropies.

`BlockCodec` gives each stage dimensions of its own, in which entry v is a random centre: a latent is the sum of what
its codes add, and every code can be read back from it.

Sources, each of codes (n, T, Q), with their entropies in nats (rates are of frames from the third on):

* `remembered`: one stage, F3's lookup source; `Lookup.truth` has its entropies;
* `iid`: uniform in every stage; Σ_q ln V_q a frame;
* `echoed`: the last stage is a permutation of the stage before it, and costs nothing once that is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bench.calibration.lab import LabCodec
from bench.calibration.lookup import Lookup
from bench.calibration.oracles import normal
from bench.contract import LatentUtterance, Split


class BlockCodec(LabCodec):
    """A codec of codes.

    Args:
        sizes: V of each stage.
        width: dimensions of each stage.
        seed: of the centres.
    """

    def __init__(self, sizes: Sequence[int], width: int = 4, seed: int = 0) -> None:
        super().__init__(width * len(sizes))
        self.info = replace(self.info, codebooks=tuple(sizes))
        rng = torch.Generator().manual_seed(seed)
        self.width = width
        self.centres = [normal((size, width), rng).float() for size in sizes]

    def codes(self, latents: Tensor) -> Tensor:
        """(B, T, D) → (B, T, Q)."""
        blocks = latents.unflatten(-1, (-1, self.width)).unbind(-2)
        pairs = zip(blocks, self.centres, strict=True)
        return torch.stack([(x.unsqueeze(-2) - c).square().sum(-1).argmin(-1) for x, c in pairs], -1)

    def from_codes(self, codes: Tensor) -> Tensor:
        """(B, T, Q') → (B, T, D); zeros in the dimensions of other stages."""
        out = torch.zeros(*codes.shape[:-1], len(self.centres), self.width)
        for q, code in enumerate(codes.unbind(-1)):
            out[..., q, :] = self.centres[q][code]
        return out.flatten(-2)

    def utterances(self, codes: Tensor, split: Split = "test") -> list[LatentUtterance]:
        """Codes (n, T, Q) as utterances."""
        return [
            LatentUtterance(f"{split}-{i:05d}", f"speaker{i % 2:03d}", x) for i, x in enumerate(self.from_codes(codes))
        ]


def remembered(source: Lookup, n: int, frames: int, generator: torch.Generator) -> Tensor:
    """The symbols of F3: (n, T, 1)."""
    return source.draw(n, frames, generator)[..., None]


def iid(sizes: Sequence[int], n: int, frames: int, generator: torch.Generator) -> Tensor:
    """(n, T, Q)."""
    return torch.stack([torch.randint(size, (n, frames), generator=generator) for size in sizes], -1)


def echoed(codes: Tensor, size: int, seed: int = 0) -> Tensor:
    """Codes (n, T, Q) and after them a permutation of their last stage's `size` entries: (n, T, Q + 1)."""
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    return torch.cat([codes, order[codes[..., -1:]]], -1)


class LookupCodes:
    """The exact probabilities of F3's symbols, as a submission over their latents.

    Args:
        source: the lookup source.
        codec: one stage, of its symbols.
    """

    def __init__(self, source: Lookup, codec: BlockCodec) -> None:
        self.codec = codec
        self.given, self.pairs = source.given.log(), source.pairs.log()

    def code_log_prob(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """ln p(v_t | v_{t−1}, v_{t−2}), of the first two frames given what there is: (B, T, 1)."""
        del generator
        v = self.codec.codes(x)[..., 0]
        marginal = self.pairs.logsumexp(1)
        second = self.pairs[v[:, :1], v[:, 1:2]] - marginal[v[:, :1]]
        return torch.cat([marginal[v[:, :1]], second, self.given[v[:, :-2], v[:, 1:-1], v[:, 2:]]], 1).unsqueeze(-1)


class IIDCodes:
    """The exact probabilities of codes that are uniform in every stage."""

    def __init__(self, codec: BlockCodec) -> None:
        self.sizes = torch.tensor(codec.info.codebooks, dtype=torch.float32)

    def code_log_prob(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """−ln V_q: (B, T, Q)."""
        del generator
        return -self.sizes.log().expand(*x.shape[:2], -1)
