"""Windows of exposed states as points, by four keys, and the cells points are cut into; see `tasks/clusters.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from bench.contract import Context, Split
from bench.errors import DataError
from bench.metrics import clusters
from tasks.linear import MOST_CONTEXT
from tasks.probes.keys import KeyConfig, fit_key
from tasks.probes.windows import Windows
from tasks.targets import SPLITS

Key = Literal["pooled", "pca", "quantile", "learned"]
KEYS: tuple[Key, ...] = get_args(Key)


class Contexts:
    """Windows of states with the step that follows each, of three splits, and the keys that training windows give.

    Args:
        states: split → utterance id → states (T, Dz).

    Attributes:
        splits: split → (windows flattened (n, w · Dz), Δ (n, D), x_{t+1} (n, D)), states in training standard
            deviations.
        owner: split → index of the utterance of each.

    Raises:
        DataError: a split without a window.
    """

    def __init__(
        self,
        states: Mapping[Split, Mapping[str, Tensor]],
        context: Context,
        window: int,
        components: int,
        key: KeyConfig,
    ) -> None:
        self.context, self.components, self.config = context, components, key
        every = torch.cat(list(states["train"].values()))
        spread = every.std(0)
        self.scale = torch.where(spread > 1e-6, spread, torch.ones_like(spread))
        self.shift = every.mean(0)
        self.width = every.shape[1]
        self.window = max(1, min(window, MOST_CONTEXT // max(1, self.width)))
        context.note("window", self.window)
        self.splits: dict[Split, tuple[Tensor, Tensor, Tensor]] = {}
        self.owner: dict[Split, Tensor] = {}
        for split in SPLITS:
            standard = {i: (z - self.shift) / self.scale for i, z in states[split].items()}
            windows = Windows(context.latents(split), standard, self.window, (1,))
            if not len(windows):
                raise DataError(f"clusters: expected an utterance of {self.window + 1} frames in {split}, got none")
            pick = torch.arange(len(windows))
            following = windows.target(pick, 1)
            steps = following - windows.target(pick, 0)
            self.splits[split] = (windows.context(pick).flatten(1), steps, following)
            self.owner[split] = windows.owner
        self._keys: dict[str, Callable[[Tensor], np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.owner["train"])

    def points(self, key: Key, split: Split) -> np.ndarray:
        """Points (n, P) of a split."""
        kind = "pca" if key == "quantile" else key
        if kind not in self._keys:
            self._keys[kind] = getattr(self, f"_{kind}")()
        return self._keys[kind](self.splits[split][0])

    def cells(self, key: Key, count: int) -> dict[Split, clusters.Ids]:
        """Cells of the training and test windows, fitted on the training ones."""
        train, test = self.points(key, "train"), self.points(key, "test")
        made = (
            clusters.QuantileCells(train, count)
            if key == "quantile"
            else clusters.KMeansCells(train, count, self._seed("cells", key, count))
        )
        return {"train": made.assign(train), "test": made.assign(test)}

    def _seed(self, *keys: str | int) -> int:
        return self.context.generator(*keys).initial_seed() % 2**31

    def _pooled(self) -> Callable[[Tensor], np.ndarray]:
        return lambda windows: windows.unflatten(1, (self.window, self.width)).mean(1).double().numpy()

    def _pca(self) -> Callable[[Tensor], np.ndarray]:
        from sklearn.decomposition import PCA

        train = self.splits["train"][0].double().numpy()
        pca = PCA(min(self.components, *train.shape), random_state=self._seed("pca")).fit(train)
        return lambda windows: pca.transform(windows.double().numpy())

    def _learned(self) -> Callable[[Tensor], np.ndarray]:
        train, valid = (self.splits[s][:2] for s in ("train", "valid"))
        device = self.context.device
        key, bound = fit_key(train, valid, self.config, self._seed("key"), device, self.context.progress)
        self.context.note("key_bound_nats", bound)

        @torch.no_grad()
        def points(windows: Tensor) -> np.ndarray:
            return key(windows.to(device)).cpu().double().numpy()

        return points
