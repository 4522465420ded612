"""What a set of latents looks like before anything is fitted: one pass, constant memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor

from bench.contract import LatentUtterance
from bench.errors import DataError
from bench.metrics import degenerate
from bench.metrics.eigenvalues import effective_rank, participation_ratio
from bench.metrics.moments import Moments
from bench.metrics.variance_share import Components, SpeakerSums

SAMPLE = 20_000
"""Frames, evenly spaced, that are held to look for twins and for values that come back."""
SHOWN = 16
"""Eigenvalues and names that the text shows."""
ONE_VOICE = "the dataset does not know its speakers"


@dataclass(frozen=True)
class Source:
    """Where latents come from, for the heading."""

    name: str
    dim: int
    frame_rate: float
    hours: float
    precision: str = "float32"
    speakers_known: bool = True
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """What `summarise` found. Tensors are per dimension (D,), float64.

    Attributes:
        eigenvalues: of the covariance, largest first.
        flat: dimensions of less than `degenerate.FLAT` of the largest variance, constant ones among them.
        duplicated: pairs (i, j), i < j, with |correlation| above 1 − `degenerate.FLAT`.
        sample: what `degenerate.report` says of at most `SAMPLE` frames.
        share: speakers' share of the variance of frames; None without speakers.
        no_speakers: why there is no `share`.
    """

    source: Source
    utterances: int
    speakers: int
    frames: int
    mean: Tensor
    deviation: Tensor
    kurtosis: Tensor
    lag_one: Tensor
    eigenvalues: Tensor
    effective_rank: float
    participation_ratio: float
    constant: tuple[int, ...]
    flat: tuple[int, ...]
    duplicated: tuple[tuple[int, int], ...]
    sample: degenerate.Report
    components: Components | None
    share: Tensor | None
    no_speakers: str


class Thinned:
    """At most `limit` frames of any number, evenly spaced from the first on."""

    def __init__(self, limit: int) -> None:
        self._limit, self._every, self._seen, self._held = limit, 1, 0, 0
        self._kept: list[Tensor] = []

    def add(self, frames: Tensor) -> None:
        """Take in frames (n, D)."""
        first = -self._seen % self._every
        self._seen += len(frames)
        self._kept.append(frames[first :: self._every].clone())
        self._held += len(self._kept[-1])
        while self._held > self._limit:
            self._kept, self._every = [self.frames()[::2].clone()], 2 * self._every
            self._held = len(self._kept[0])

    def frames(self) -> Tensor:
        """What is kept, in order."""
        return torch.cat(self._kept)


def summarise(
    utterances: Iterable[LatentUtterance],
    source: Source,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    total: int = 0,
) -> Summary:
    """Go over latents once.

    Args:
        progress: called with ("inspect", utterances done, `total`).

    Raises:
        DataError: fewer than two frames, frames of one value alone, or frames that are not finite.
    """
    moments, voices, thinned = Moments(source.dim), SpeakerSums(source.dim), Thinned(SAMPLE)
    for done, utterance in enumerate(utterances, 1):
        if not torch.isfinite(utterance.x).all():
            raise DataError(f"{source.name}: latents of {utterance.id} are not finite")
        moments.add(utterance.x)
        voices.add(utterance.speaker, utterance.x.double().mean(0))
        thinned.add(utterance.x)
        progress("inspect", done, total)
    variance = moments.variance()
    if moments.count < 2 or not float(variance.max()) > 0:
        raise DataError(f"{source.name}: expected frames that vary, got {moments.count}, all the same")
    eigenvalues = torch.linalg.eigvalsh(moments.covariance()).flip(0)
    near = (moments.correlation().abs() > 1 - degenerate.FLAT).triu(1).nonzero()
    why = (ONE_VOICE if not source.speakers_known else voices.why_not()) or ""
    components = None if why else voices.components()
    return Summary(
        source=source,
        utterances=moments.utterances,
        speakers=voices.speakers,
        frames=moments.count,
        mean=moments.mean,
        deviation=variance.sqrt(),
        kurtosis=moments.excess_kurtosis(),
        lag_one=moments.lag_one(),
        eigenvalues=eigenvalues,
        effective_rank=effective_rank(eigenvalues),
        participation_ratio=participation_ratio(eigenvalues),
        constant=_positions(variance == 0),
        flat=_positions(variance <= degenerate.FLAT * variance.max()),
        duplicated=tuple((int(i), int(j)) for i, j in near),
        sample=degenerate.report(thinned.frames()),
        components=components,
        share=None if components is None else components.share_of(variance),
        no_speakers=why,
    )


def _positions(mask: Tensor) -> tuple[int, ...]:
    return tuple(int(i) for i in mask.nonzero()[:, 0])


# --- for people and for programs ---------------------------------------------------------------------------


def text(found: Summary) -> str:
    """Lines of at most 80 columns."""
    source = found.source
    head = [
        f"{source.name}",
        f"{source.dim} dimensions at {source.frame_rate:g} Hz, {source.precision}; {found.frames} frames, "
        f"{source.hours:.2f} h",
        f"{found.utterances} utterances, {_count(found.speakers, 'speaker') if source.speakers_known else ONE_VOICE}",
    ]
    if source.note:
        head.append(source.note)
    frame_ms = 1000 / source.frame_rate
    rows = [
        ("mean", found.mean),
        ("standard deviation", found.deviation),
        ("excess kurtosis (Gaussian 0)", found.kurtosis),
        (f"autocorrelation at 1 frame, {frame_ms:.4g} ms", found.lag_one),
    ]
    if found.components is not None and found.share is not None:
        rows.append(("speakers' share of variance", found.share))
        rows.append(("speakers' ICC of utterance means", found.components.intraclass))
    table = tabulate(
        [(name, *_range(values)) for name, values in rows],
        headers=("by dimension", "least", "median", "most"),
        floatfmt=".3g",
        tablefmt="simple",
    )
    shares = 100 * found.eigenvalues.clamp(min=0) / found.eigenvalues.clamp(min=0).sum()
    rising = shares.cumsum(0)
    needed = ", ".join(f"{int((rising < level - 1e-9).sum()) + 1} for {level} %" for level in (50, 90, 99))
    tail = [
        f"effective rank {found.effective_rank:.1f}, participation ratio {found.participation_ratio:.1f}, of "
        f"{source.dim}",
        f"components of variance: {needed}",
        *_wrapped("spectrum, % of variance:", [f"{share:.3g}" if share > 1e-3 else "0" for share in shares.tolist()]),
        *_wrapped("constant dimensions:", list(map(str, found.constant))),
        *_wrapped("flat (variance below 1e-6 of the largest):", list(map(str, found.flat))),
        *_wrapped("duplicated pairs:", [f"{i}={j}" for i, j in found.duplicated]),
        *_wrapped("dimensions of few values:", list(map(str, found.sample.discrete))),
        f"frames with an exact twin: {100 * found.sample.repeated_share:.2g} % of a sample of {found.sample.frames}",
    ]
    if found.no_speakers:
        tail.append(f"speakers' share: skipped: {found.no_speakers}")
    return "\n".join([*head, "", table, "", *tail])


def note(found: Summary) -> dict[str, Any]:
    """As JSON, every value by dimension."""
    source = found.source
    speakers: dict[str, Any] = {"skipped": found.no_speakers}
    if found.components is not None and found.share is not None:
        speakers = {
            "share_of_variance": _json(found.share),
            "intraclass": _json(found.components.intraclass),
            "eta_squared": _json(found.components.eta_squared),
        }
    return {
        "name": source.name,
        "dim": source.dim,
        "frame_rate_hz": source.frame_rate,
        "hours": source.hours,
        "precision": source.precision,
        "utterances": found.utterances,
        "speakers": found.speakers if source.speakers_known else None,
        "frames": found.frames,
        "mean": _json(found.mean),
        "standard_deviation": _json(found.deviation),
        "excess_kurtosis": _json(found.kurtosis),
        "lag_one_autocorrelation": _json(found.lag_one),
        "eigenvalues": _json(found.eigenvalues),
        "effective_rank": found.effective_rank,
        "participation_ratio": found.participation_ratio,
        "constant": list(found.constant),
        "flat": list(found.flat),
        "duplicated": [list(pair) for pair in found.duplicated],
        "sample": found.sample.note(),
        "speaker": speakers,
    }


def _json(values: Tensor) -> list[float | None]:
    return [value if value == value else None for value in values.tolist()]


def _range(values: Tensor) -> tuple[float, float, float]:
    good = values[~values.isnan()]
    if not len(good):
        return (float("nan"),) * 3
    return float(good.min()), float(good.median()), float(good.max())


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _wrapped(head: str, parts: list[str]) -> list[str]:
    more = [f"and {len(parts) - SHOWN} more"] if len(parts) > SHOWN else []
    lines = [head]
    for part in [*parts[:SHOWN], *more] or ["none"]:
        if len(lines[-1]) + 1 + len(part) > 80:
            lines.append("   ")
        lines[-1] += f" {part}"
    return lines
