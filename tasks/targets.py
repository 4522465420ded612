"""What a density may be fitted to: the codec's latents, refused, dithered or reduced where they are degenerate.

* Frames from a finite set (dequantised RVQ, FSQ) have no density. They are refused, unless the parameter `dither`
  gives σ_n: noise N(0, σ_n² I) is then added to every target. For σ_n far below the spacing of the set,
  h = H + (D/2) ln(2πe σ_n²): the absolute NLL means nothing, while a gain tends to H[marginal] − H[conditional].
* Constant and duplicated dimensions: the target is x on its directions with extent, x P. The rest of x is a function
  of it, so that the gain is that of x, and no near-singular direction can add to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.contract import Context, HasCodes, LatentUtterance, Split
from bench.errors import DataError
from bench.metrics import degenerate

SPLITS: tuple[Split, ...] = ("train", "valid", "test")
LATTICE_FRAMES = 256
"""Frames on which a codec with codes is asked whether its latents are its own dequantised codes."""


@dataclass(frozen=True)
class Targets:
    """Utterances with the target as their x, by split.

    Attributes:
        basis: P (D, rank), or None where x is the target as it is.
        sigma: σ_n of the dither, in the unit of x; 0: none.
        flags: what a reader of the numbers must know.
    """

    splits: Mapping[Split, Sequence[LatentUtterance]]
    basis: Tensor | None
    sigma: float
    flags: list[str]

    @property
    def dim(self) -> int:
        """Dimensions of the target."""
        return self.splits["train"][0].x.shape[1]


def targets(context: Context, dither: float, least_frames: int) -> Targets:
    """Look at the training frames and make the targets of all splits.

    Args:
        dither: σ_n as a share of the root-mean-square standard deviation of the dimensions; 0 adds none.
        least_frames: context and furthest horizon; at least one utterance of each split must hold them.

    Raises:
        DataError: no frames, NaN, latents without extent, frames from a finite set and no dither, or a split whose
            utterances are all too short.
    """
    who = context.codec.info.name
    given = {split: context.latents(split) for split in SPLITS}
    for split, utterances in given.items():
        longest = max((len(u.x) for u in utterances), default=0)
        if longest < least_frames:
            raise DataError(
                f"{who}: expected an utterance of {least_frames} frames in {split} (context and furthest horizon), "
                f"got {longest} at most"
            )
        if bad := [u.id for u in utterances if not torch.isfinite(u.x).all()]:
            raise DataError(f"{who}: latents of {bad[0]} are not finite ({len(bad)} utterances of {split})")
    frames = torch.cat([u.x for u in given["train"]])
    found = degenerate.report(frames)
    context.note("latents", found.note())
    if found.rank == 0:
        raise DataError(f"{who}: latents are constant: all {found.dim} dimensions of {found.frames} training frames")
    finite = found.finite_support or _on_lattice(context, given["train"])
    if finite and dither == 0.0:
        raise DataError(
            f"{who}: latents come from a finite set ({_evidence(found)}), so that no density of them exists; set the "
            "parameter dither to add noise, or score their codes"
        )
    flags = _flags(given, found)
    sigma = dither * float(frames.var(0).mean().sqrt())
    if sigma > 0.0:
        flags.append(f"dithered with σ_n = {sigma:.4g}: absolute NLL means nothing, gains are of the dithered latents")
    basis = None if found.full_rank or sigma > 0.0 else degenerate.support(frames)
    made = {s: [_target(context, u, s, sigma, basis) for u in us] for s, us in given.items()}
    return Targets(made, basis, sigma, flags)


def _target(context: Context, u: LatentUtterance, split: Split, sigma: float, basis: Tensor | None) -> LatentUtterance:
    x = u.x
    if sigma > 0.0:
        x = x + sigma * torch.randn(x.shape, generator=context.generator("dither", split, u.id))
    return LatentUtterance(u.id, u.speaker, x if basis is None else x @ basis)


def _flags(given: Mapping[Split, Sequence[LatentUtterance]], found: degenerate.Report) -> list[str]:
    flags = []
    if not found.full_rank:
        flags.append(
            f"rank {found.rank} of {found.dim}: {len(found.constant)} constant, {len(found.duplicated)} duplicated "
            "pairs; the target is x on its directions with extent"
        )
    elif found.thin:
        flags.append(f"{found.thin} directions of the covariance below {degenerate.FLAT:g} of the largest")
    for split, utterances in given.items():
        if len({u.speaker for u in utterances}) == 1:
            flags.append(f"one speaker in {split}: every number is conditional on that voice")
    return flags


def _evidence(found: degenerate.Report) -> str:
    if found.discrete:
        return f"dimensions {list(found.discrete)[:4]} take few distinct values"
    if found.finite_support:
        return f"{found.repeated_share:.0%} of the training frames have an exact twin"
    return "they equal their own dequantised codes"


def _on_lattice(context: Context, train: Sequence[LatentUtterance]) -> bool:
    """Whether the codec's own quantiser leaves the latents as they are: its dequantised tap, at any bit rate."""
    codec: Any = context.codec
    if not isinstance(codec, HasCodes):
        return False
    x = max((u.x for u in train), key=len)[None, :LATTICE_FRAMES].to(context.device)
    return bool(torch.allclose(codec.from_codes(codec.codes(x)), x, rtol=1e-4, atol=1e-5 * float(x.std())))
