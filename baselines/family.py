"""What every family is: a configuration, a network, one way to fit it, and its state as tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar, Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from baselines.training import TrainConfig, train
from bench.config import merged, parameters
from bench.contract import CodecInfo, FitContext, LatentUtterance, TrainingHistory
from bench.fitting import Frames, initialised
from bench.seeding import derive_seed

N = TypeVar("N", bound=nn.Module)
VALIDATED_AT_ONCE = 32
"""Utterances of a validation batch."""
HISTORY = "history."


class Family(ABC, Generic[N]):
    """A submission plug-in around a network.

    A subclass names its plug-in, its configuration (a frozen dataclass with the fields `fit`, a `TrainConfig`,
    `noise`, and `seed_offset`, which makes a replicate under another seed) and says what is below.
    """

    plugin: ClassVar[str]
    configuration: ClassVar[type]
    network: N

    def __init__(self, **values: Any) -> None:
        self.config: Any = parameters(self.configuration, values, self.plugin)
        self._history: TrainingHistory | None = None
        self.validate()

    # --- what a family says --------------------------------------------------------------------------------

    def validate(self) -> None:
        """Refuse what no single field shows; raises CardError."""

    @abstractmethod
    def build(self, codec: CodecInfo) -> N:
        """A network with random weights."""

    def prepare(self, network: N, frames: Tensor) -> None:
        """Set what depends on the training frames (n, D), on the CPU: whitening, centres."""

    def parts(self, utterance: LatentUtterance) -> list[Tensor]:
        """What batches are cropped from, each (T, C)."""
        return [utterance.x]

    @abstractmethod
    def loss(self, network: N, parts: list[Tensor], mask: Tensor, step: int) -> Tensor:
        """Scalar to minimise, of crops (B, T, C) with their mask (B, T)."""

    @abstractmethod
    def held_out(self, network: N, parts: list[Tensor], mask: Tensor) -> Tensor:
        """Validation loss of every frame, (B, T)."""

    def groups(self, network: N) -> list[dict[str, Any]]:
        """Parameter groups of the optimiser; `lr_times` in one multiplies the learning rate."""
        return [{"params": list(network.parameters())}]

    # --- what all of them do -------------------------------------------------------------------------------

    def fit(
        self, train_set: Sequence[LatentUtterance], valid_set: Sequence[LatentUtterance], context: FitContext
    ) -> None:
        """Minimise the loss on crops, early-stopped on the validation loss."""
        if self.config.seed_offset:
            context = replace(context, seed=derive_seed(context.seed, "replicate", self.config.seed_offset))
        config: TrainConfig = self.config.fit
        network = cast(N, initialised(lambda: self.build(context.codec), context.seed))
        self.prepare(network, torch.cat([u.x for u in train_set]))
        network.to(context.device)
        frames, valid = Frames([self.parts(u) for u in train_set]), Frames([self.parts(u) for u in valid_set])

        def there(parts: list[Tensor]) -> list[Tensor]:
            return [part.to(context.device) for part in parts]

        def loss(step: int, generator: torch.Generator) -> Tensor:
            parts, mask = frames.crops(config.batch, config.crop_frames, generator)
            return self.loss(network, there(parts), mask.to(context.device), step)

        def validate() -> float:
            total, count = 0.0, 0
            for pick in torch.arange(len(valid_set)).split(VALIDATED_AT_ONCE):
                parts, mask = valid.whole(pick, config.crop_frames * 2)
                mask = mask.to(context.device)
                total += float((self.held_out(network, there(parts), mask) * mask).sum())
                count += int(mask.sum())
            return total / count

        what = f"fit {self.plugin}"
        self._history = train(network, loss, validate, config, context, what, self.groups(network))
        self.network = self._settled(network)

    def state(self) -> dict[str, Tensor]:
        state = {name: tensor.detach().cpu() for name, tensor in self.network.state_dict().items()}
        return state | {HISTORY + name: getattr(self._history, name) for name in TrainingHistory.__annotations__}

    def load_state(self, state: Mapping[str, Tensor], codec: CodecInfo, device: torch.device) -> None:
        # built under a seed of its own: new weights would move the global generator
        network = cast(N, initialised(lambda: self.build(codec), 0))
        network.load_state_dict({name: t for name, t in state.items() if not name.startswith(HISTORY)})
        self._history = TrainingHistory(**{name: state[HISTORY + name] for name in TrainingHistory.__annotations__})
        self.network = self._settled(network.to(device))

    def history(self) -> TrainingHistory:
        """Losses and gradient norms of the fit."""
        assert self._history is not None, "it was not fitted"
        return self._history

    def unfitted(self, replicate: int, noise: float | None = None) -> Family[N]:
        """The same model with nothing learned, under another seed or with other noise on its inputs."""
        values = asdict(self.config)
        offset = self.config.seed_offset + replicate
        over: dict[str, Any] = {"seed_offset": offset} | ({} if noise is None else {"noise": noise})
        return type(self)(**merged(values, over))

    @staticmethod
    def _settled(network: N) -> N:
        """For answers alone: with gradients on, some kernels round otherwise."""
        return network.eval().requires_grad_(False)
