"""How much of a latent's variance is the speaker: one-way random-effects analysis of variance.

An observation is the mean of an utterance: y_ij = μ + s_i + e_ij for utterance j of speaker i, with variances σ_s²
and σ_e² of s and e. Frames would not do, since those of one utterance are not independent.

- `intraclass`: ICC(1) = σ_s² / (σ_s² + σ_e²), of utterance means: how far they tell speakers apart.
- `share_of`: σ_s² over the variance of a frame of any speaker: what of a latent the voice alone decides. Frames of
  a speakers vary by less than that, by σ_s² Σ (n_i / N)², which is put back.

σ_s² is the ANOVA estimate (MS_between − MS_within) / n₀, n₀ = (N − Σ n_i² / N) / (a − 1) for N utterances of a
speakers; it is unbiased for utterances of any number, and below 0 about half the time where there is no effect, so
that it is not cut off there. The ratios have a bias of order 1 / a, downwards for ICC. Utterances count alike,
however long they are.

η² = SS_between / SS_total is given beside them because others give it. Without any effect it expects
(a − 1) / (N − 1), not 0.

References:
    Donner 1986, "A review of inference procedures for the intraclass correlation coefficient in the one-way random
    effects model", Int. Stat. Rev. 54; Searle, Casella and McCulloch 1992, "Variance Components", chapter 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Components:
    """Per dimension (D,): the two variances, ICC(1) and η²; NaN where nothing varies.

    `concentration` is Σ (n_i / N)², 1 / a for speakers of as many utterances each.
    """

    between: Tensor
    within: Tensor
    intraclass: Tensor
    eta_squared: Tensor
    concentration: float

    def share_of(self, variance: Tensor) -> Tensor:
        """Speakers' share (D,) of the `variance` (D,) of all frames; NaN where nothing varies."""
        return torch.where(variance > 0, self.between / (variance + self.concentration * self.between), torch.nan)


class SpeakerSums:
    """Sums over utterance means by speaker: memory grows with speakers, not with utterances."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._seen: dict[str, tuple[int, Tensor, Tensor]] = {}

    def add(self, speaker: str, mean: Tensor) -> None:
        """Take in the mean (D,) of an utterance of `speaker`."""
        y = mean.double()
        zeros = torch.zeros(self._dim, dtype=torch.float64)
        n, centre, scatter = self._seen.get(speaker, (0, zeros, zeros))
        off = y - centre
        centre = centre + off / (n + 1)
        self._seen[speaker] = (n + 1, centre, scatter + off * (y - centre))

    @property
    def speakers(self) -> int:
        """How many there are."""
        return len(self._seen)

    def why_not(self) -> str | None:
        """Why there is no estimate, or None."""
        if len(self._seen) < 2:
            return f"needs at least 2 speakers, got {len(self._seen)}"
        if all(n == 1 for n, _, _ in self._seen.values()):
            return "one utterance a speaker: voices cannot be told from recordings"
        return None

    def components(self) -> Components:
        """The estimates.

        Raises:
            ValueError: as `why_not` says.
        """
        if why := self.why_not():
            raise ValueError(f"variance_share: {why}")
        counts = torch.tensor([n for n, _, _ in self._seen.values()], dtype=torch.float64)
        centres = torch.stack([centre for _, centre, _ in self._seen.values()])
        inside = torch.stack([scatter for _, _, scatter in self._seen.values()]).sum(0)
        return one_way(counts, centres, inside)


def one_way(counts: Tensor, means: Tensor, inside: Tensor) -> Components:
    """Variance components from the sums of a one-way layout.

    Args:
        counts: (a,), utterances n_i of each speaker.
        means: (a, D), the mean of each speaker's utterance means.
        inside: (D,), Σ_ij (y_ij − mean_i)².
    """
    speakers, total = len(counts), counts.sum()
    grand = (counts[:, None] * means).sum(0) / total
    across = (counts[:, None] * (means - grand).square()).sum(0)
    within = inside / (total - speakers)
    per = (total - counts.square().sum() / total) / (speakers - 1)
    between = (across / (speakers - 1) - within) / per
    both, every = between + within, across + inside
    varies = every > 0
    return Components(
        between=between,
        within=within,
        intraclass=torch.where(varies, between / both, torch.nan),
        eta_squared=torch.where(varies, across / every, torch.nan),
        concentration=float((counts / total).square().sum()),
    )
