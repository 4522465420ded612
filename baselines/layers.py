"""What the families share: causal backbones with explicit state, MLPs, and adaLN residual blocks.

Conventions: (B, T, C) throughout. A backbone turns inputs into features; those of frame t have seen the inputs before
t only. Its state after some inputs is a tuple of tensors with the batch first, so that decoding is one `step` a frame
and never reads the past again.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

State = tuple[Tensor, ...]
ROTARY_BASE = 10_000.0


def mlp(inputs: int, hidden: int, outputs: int, dropout: float = 0.0) -> nn.Sequential:
    """Two hidden layers of SiLU."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.SiLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.SiLU(),
        nn.Linear(hidden, outputs),
    )


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values (B, T) over real frames."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


# --- backbones ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class BackboneConfig:
    """Which backbone, and its sizes.

    `hidden` is the width of a transformer's feed-forward layers (0: four times `width`) and of a window's MLP
    (0: `width`). `context` is how many inputs back a transformer attends (0: all) and a window reaches.
    """

    kind: Literal["gru", "transformer", "window"] = "gru"
    width: Annotated[int, Field(ge=1)] = 256
    layers: Annotated[int, Field(ge=1)] = 1
    heads: Annotated[int, Field(ge=1)] = 4
    hidden: Annotated[int, Field(ge=0)] = 0
    context: Annotated[int, Field(ge=0)] = 0
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2

    def problem(self) -> str:
        """What makes the sizes impossible, beginning with the field; empty where nothing does."""
        if self.kind == "transformer" and self.width % self.heads:
            return f"heads: {self.heads} heads do not divide a width of {self.width}"
        if self.kind == "transformer" and self.width // self.heads % 2:
            return f"heads: rotary positions need an even width a head, got {self.width} / {self.heads}"
        if self.kind == "window" and self.context < 1:
            return "context: a window needs at least one frame, got 0"
        return ""


class Backbone(nn.Module, ABC):
    """Inputs (B, T, C) → features (B, T, `width`)."""

    width: int

    @abstractmethod
    def start(self, batch: int) -> tuple[Tensor, State]:
        """Features (B, W) before any input, and the state."""

    @abstractmethod
    def read(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Features (B, T, W) after each input (those for the next frame), and the state after the last."""

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """One input (B, C) more: features (B, W) for the frame after it."""
        features, state = self.read(inputs.unsqueeze(1), state)
        return features[:, 0], state

    def shifted(self, inputs: Tensor) -> Tensor:
        """Features (B, T, W) before each input."""
        first, state = self.start(len(inputs))
        if inputs.shape[1] == 1:
            return first.unsqueeze(1)
        return torch.cat([first.unsqueeze(1), self.read(inputs[:, :-1], state)[0]], dim=1)


def repeated(state: State, times: int) -> State:
    """Each batch entry `times` over, one after the other."""
    return tuple(part.repeat_interleave(times, dim=0) for part in state)


def backbone(inputs: int, config: BackboneConfig) -> Backbone:
    """The backbone of a configuration over inputs of C = `inputs` channels."""
    kinds = {"gru": Recurrence, "transformer": Transformer, "window": Window}
    return cast(Backbone, kinds[config.kind](inputs, config))


class Recurrence(Backbone):
    """A GRU over projected inputs, with a learned start state.

    References:
        Cho et al. 2014 (arXiv 1406.1078).
    """

    def __init__(self, inputs: int, config: BackboneConfig) -> None:
        super().__init__()
        self.width, self.layers = config.width, config.layers
        self.project = nn.Linear(inputs, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.gru = nn.GRU(config.width, config.width, config.layers, batch_first=True)
        self.first = nn.Parameter(torch.zeros(config.layers, config.width))

    def start(self, batch: int) -> tuple[Tensor, State]:
        state = self.first.expand(batch, -1, -1)
        return state[:, -1], (state,)

    def read(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (hidden,) = self.start(len(inputs))[1] if state is None else state
        out, hidden = self.gru(self.dropout(self.project(inputs)), hidden.transpose(0, 1).contiguous())
        return out, (hidden.transpose(0, 1),)


class Window(Backbone):
    """An MLP over the last `context` inputs; learned frames stand before the first."""

    def __init__(self, inputs: int, config: BackboneConfig) -> None:
        super().__init__()
        self.width = config.width
        self.before = nn.Parameter(torch.zeros(config.context, inputs))
        self.net = mlp(inputs * config.context, config.hidden or config.width, config.width, config.dropout)

    def start(self, batch: int) -> tuple[Tensor, State]:
        last = self.before.expand(batch, -1, -1)
        return self.net(last.flatten(1)), (last,)

    def read(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (last,) = self.start(len(inputs))[1] if state is None else state
        joined, size = torch.cat([last, inputs], 1), last.shape[1]
        windows = joined.unfold(1, size, 1)[:, 1:].transpose(-1, -2)
        return self.net(windows.flatten(2)), (joined[:, -size:],)


class Transformer(Backbone):
    """Pre-norm causal self-attention with rotary positions; its state is the cache of keys and values.

    `contexts` says how many inputs back each layer attends (0: all); together they reach Σ (context − 1) + 1.

    References:
        Vaswani et al. 2017 (arXiv 1706.03762); Su et al. 2021 (RoPE, arXiv 2104.09864).
    """

    def __init__(self, inputs: int, config: BackboneConfig) -> None:
        super().__init__()
        self.width, self.contexts = config.width, [config.context] * config.layers
        self.project = nn.Linear(inputs, config.width)
        self.first = nn.Parameter(torch.randn(config.width) * 0.02)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)

    def start(self, batch: int) -> tuple[Tensor, State]:
        features, state = self._run(self.first.expand(batch, 1, -1), None)
        return features[:, 0], state

    def read(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        state = self.start(len(inputs))[1] if state is None else state
        return self._run(self.project(inputs), state)

    def shifted(self, inputs: Tensor) -> Tensor:
        first = self.first.expand(len(inputs), 1, -1)
        return self._run(torch.cat([first, self.project(inputs[:, :-1])], 1), None)[0]

    def _run(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Through all layers; the state is (positions seen (B,), keys and values of each layer (B, H, T, d))."""
        seen = 0 if state is None else int(state[0][0])
        out: list[Tensor] = [torch.full((len(x),), seen + x.shape[1], device=x.device)]
        for index, (block, context) in enumerate(zip(self.blocks, self.contexts, strict=True)):
            past = None if state is None else (state[1 + 2 * index], state[2 + 2 * index])
            x, keys, values = block(x, past, seen, context)
            keep = context or keys.shape[2]
            out += [keys[:, :, -keep:], values[:, :, -keep:]]
        return self.norm(x), tuple(out)


class Block(nn.Module):
    """Attention and feed-forward, each after a norm and around a residual."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.hidden or 4 * config.width
        self.heads = config.heads
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries_keys_values = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor] | None, seen: int, context: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, W) at positions from `seen` on → x, keys and values with the past before them."""
        q, k, v = self.queries_keys_values(self.before_attention(x)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        q, k = rotated(q, seen), rotated(k, seen)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        attended = attend(q, k, v, context)
        x = x + self.dropout(self.out(attended.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.mlp(self.before_mlp(x))), k, v


def attend(q: Tensor, k: Tensor, v: Tensor, context: int = 0) -> Tensor:
    """Causal attention of the last queries (B, H, T, d) to keys and values (B, H, S, d), `context` back (0: all)."""
    queries, keys = q.shape[2], k.shape[2]
    if queries == keys and not context:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    if queries == 1 and (not context or keys <= context):
        return F.scaled_dot_product_attention(q, k, v)
    away = torch.arange(keys - queries, keys, device=q.device)[:, None] - torch.arange(keys, device=q.device)
    seen = (away >= 0) & (away < context) if context else away >= 0
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen)


def rotated(x: Tensor, start: int) -> Tensor:
    """Rotary positions `start`, `start` + 1, … on (B, H, T, d), d even."""
    half = x.shape[-1] // 2
    rates = ROTARY_BASE ** -(torch.arange(half, device=x.device, dtype=torch.float32) / half)
    angles = torch.arange(start, start + x.shape[2], device=x.device, dtype=torch.float32)[:, None] * rates
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, a * sin + b * cos], -1)


# --- conditioned by adaLN ----------------------------------------------------------------------------------


class AdaLNMLP(nn.Module):
    """Residual MLP whose norms are shifted, scaled and gated by a condition; the gates start at zero.

    Everything in it has a forward derivative, as consistency training needs.

    Args:
        channels: of input and output.
        condition: channels of the condition.
        width, layers: of the residual stream, and its blocks.

    References:
        Peebles and Xie 2023 (adaLN-zero, arXiv 2212.09748); Li et al. 2024 (MAR, arXiv 2406.11838).
    """

    def __init__(self, channels: int, condition: int, width: int, layers: int) -> None:
        super().__init__()
        self.inputs = nn.Linear(channels, width)
        self.condition = nn.Linear(condition, width)
        self.blocks = nn.ModuleList(AdaLNBlock(width) for _ in range(layers))
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.outputs = nn.Linear(width, channels)
        for layer in (self.modulation[-1], self.outputs):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """(..., C) under (..., condition) → (..., C)."""
        hidden, c = self.inputs(x), self.condition(condition)
        for block in self.blocks:
            hidden = block(hidden, c)
        shift, scale = self.modulation(c).chunk(2, -1)
        return self.outputs(standardised(hidden) * (1 + scale) + shift)


class AdaLNBlock(nn.Module):
    """Norm → Linear → SiLU → Linear, gated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 3 * width))
        self.net = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        nn.init.zeros_(self.modulation[-1].weight)
        nn.init.zeros_(self.modulation[-1].bias)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        shift, scale, gate = self.modulation(c).chunk(3, -1)
        return x + gate * self.net(standardised(x) * (1 + scale) + shift)


def standardised(x: Tensor) -> Tensor:
    """Zero mean and unit variance over the last axis, in elementary operations: the fused norm has no JVP."""
    x = x - x.mean(-1, keepdim=True)
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)


def time_features(t: Tensor, channels: int) -> Tensor:
    """Sines and cosines (..., channels) of times (...) in [0, π/2] or [0, 1]; channels even.

    Periods from 2π down to 2π / 256: times here are of order one, unlike a sampler's step count.
    """
    rates = torch.exp(torch.linspace(0.0, math.log(256.0), channels // 2, device=t.device))
    angles = t.unsqueeze(-1) * rates
    return torch.cat([angles.cos(), angles.sin()], -1)
