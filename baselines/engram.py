"""Raw autoregression with a hashed n-gram memory beside its backbone, and the controls that tell what it is worth.

Controls: "no_memory_total" and "no_memory_active" have no memory and a backbone widened until as many parameters are
there in all, or are used by a frame; "shuffled_key" looks up suffixes of other times; "random_table" never trains its
tables. A gain over the first two is worth the memory's parameters or its arithmetic; one over the last two comes from
what is stored under the right key. Noise on the inputs in training moves their symbols too, as a rollout's error does.

Units: nats, latents in the units of x.

References:
    Cheng et al. 2026 (Engram, arXiv 2601.07372); Bishop 1994 (mixture density networks).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.autoregressive import ARConfig, Network, WithDensity
from baselines.heads import Mixture
from baselines.layers import BackboneConfig
from baselines.memory import Memory, MemoryConfig, Remembering, active_parameters, total_parameters
from bench.contract import CodecInfo
from bench.errors import BenchError, CardError

TABLE_LR = 5.0
"""Learning rate of the tables, over that of the rest: a row is read seldom."""
COUNTS = {"no_memory_total": total_parameters, "no_memory_active": active_parameters}


@dataclass(frozen=True)
class HeadConfig:
    """A mixture of `components` Gaussians; `start` of their means "random", or at the memory's centres, as many."""

    components: Annotated[int, Field(ge=1)] = 8
    covariance: Literal["shared", "diagonal", "low_rank", "full"] = "shared"
    rank: Annotated[int, Field(ge=1)] = 2
    start: Literal["random", "centres"] = "random"


@dataclass(frozen=True)
class Config(ARConfig):
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    control: Literal["none", "no_memory_total", "no_memory_active", "shuffled_key", "random_table"] = "none"


class Engram(WithDensity):
    """Submission plug-in `engram`. The state it exposes is x itself."""

    plugin = "engram"
    configuration = Config

    def validate(self) -> None:
        super().validate()
        config = self.config
        if problem := config.memory.problem(config.backbone):
            raise CardError(f"engram: parameter memory.{problem}")
        if config.head.start == "centres" and config.head.components != config.memory.centres:
            found = f"{config.head.components} components for {config.memory.centres} centres"
            raise CardError(f"engram: parameter head.components: a start at the centres needs as many, got {found}")

    def build(self, codec: CodecInfo) -> Network:
        config = self.config
        if count := COUNTS.get(config.control):
            return self._network(codec.dim, _widened(self, codec.dim, count), ())
        network = self._network(codec.dim, config.backbone, config.memory.places(config.backbone))
        if config.control == "random_table":
            for memory in memories(network):
                memory.table.requires_grad_(False)
        return network

    def _network(self, dim: int, backbone: BackboneConfig, places: tuple[int, ...]) -> Network:
        config, head = self.config, self.config.head
        read = Remembering(dim, backbone, config.memory, places, config.control == "shuffled_key")
        mixture = Mixture(backbone.width, dim, head.components, head.covariance, head.rank)
        return Network(dim, read, mixture, backbone.dropout)

    def prepare(self, network: Network, frames: Tensor) -> None:
        super().prepare(network, frames)
        quantiser = _remembering(network).quantiser
        quantiser.set_from(network.white(frames))
        if self.config.head.start == "centres":
            assert isinstance(network.head, Mixture)
            network.head.spread.data.copy_(quantiser.centres)

    def groups(self, network: Network) -> list[dict[str, Any]]:
        tables = [m.table for m in memories(network)]
        rest = [p for p in network.parameters() if not any(p is table for table in tables)]
        trained = [table for table in tables if table.requires_grad]
        groups: list[dict[str, Any]] = [{"params": rest}]
        return [*groups, {"params": trained, "lr_times": TABLE_LR, "weight_decay": 0.0}] if trained else groups

    @torch.no_grad()
    def gates(self, x: Tensor) -> Tensor:
        """How far the memory was open for the prediction of each frame, in (0, 1): (B, T, D) → (B, T).

        Raises:
            BenchError: there is no memory.
        """
        if not memories(self.network):
            raise BenchError(f"engram: control {self.config.control!r} has no memory, and so no gate")
        return _remembering(self.network).gates(self.network.white(x))


def gate_over_rollout(submission: Engram, prompt: Tensor, frames: int, generator: torch.Generator) -> Tensor:
    """Mean gate of every generated frame: prompts (B, T, D) → (frames,).

    A gate falls over a rollout where generated frames make keys that training never saw.
    """
    continued = submission.rollout(prompt, frames, 1, generator)[:, 0]
    return submission.gates(torch.cat([prompt, continued], 1))[:, prompt.shape[1] :].mean(0)


def memories(network: Network) -> list[Memory]:
    """Those of a network, first layer first."""
    return [m for m in network.modules() if isinstance(m, Memory)]


def _remembering(network: Network) -> Remembering:
    assert isinstance(network.backbone, Remembering)
    return network.backbone


def _widened(family: Engram, dim: int, count: Any) -> BackboneConfig:
    """The backbone without memory whose network comes nearest to the count of the one with it."""
    config: BackboneConfig = family.config.backbone
    step = 2 * config.heads if config.kind == "transformer" else 1

    def counted(width: int, places: tuple[int, ...] = ()) -> int:
        with torch.device("meta"):
            return count(family._network(dim, replace(config, width=width), places))

    target = counted(config.width, family.config.memory.places(config))
    low, high = config.width // step, 2 * config.width // step
    while counted(high * step) < target:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if counted(middle * step) < target else (low, middle)
    near = min((low, high), key=lambda n: abs(counted(n * step) - target))
    return replace(config, width=near * step)
