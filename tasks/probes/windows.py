"""States and targets at common anchors: every rung of the ladder, and the contrastive critic, read the same frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bench.contract import LatentUtterance


class Windows:
    """Anchors t that have a whole window of states before them and all targets after them.

    Args:
        utterances: targets as their x.
        states: utterance id → states (T, Dz), in any unit.
        window: states t − window + 1 … t.
        horizons: frames ahead.

    Attributes:
        owner: (n,) index into `utterances` of every anchor.
    """

    def __init__(
        self,
        utterances: Sequence[LatentUtterance],
        states: Mapping[str, Tensor],
        window: int,
        horizons: Sequence[int],
    ) -> None:
        self.window, self.horizons = window, tuple(horizons)
        self.states = torch.cat([states[u.id] for u in utterances])
        self.x = torch.cat([u.x for u in utterances])
        ends, owner, start = [], [], 0
        for index, u in enumerate(utterances):
            ends.append(torch.arange(start + window - 1, start + len(u.x) - max(horizons)))
            owner.append(torch.full((len(ends[-1]),), index))
            start += len(u.x)
        self.ends, self.owner = torch.cat(ends), torch.cat(owner)

    def __len__(self) -> int:
        return len(self.ends)

    def context(self, pick: Tensor) -> Tensor:
        """Windows of the anchors `pick`, oldest state first: (n, window, Dz)."""
        offsets = torch.arange(1 - self.window, 1)
        return self.states[self.ends[pick][:, None] + offsets]

    def target(self, pick: Tensor, k: int) -> Tensor:
        """x_{t+k} at the anchors `pick`: (n, D)."""
        return self.x[self.ends[pick] + k]
