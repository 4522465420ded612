"""Hashed n-gram memory: what followed the last symbols, looked up beside a backbone.

Frames become symbols by their nearest k-means centre. The suffixes of 2 … N symbols that end at the newest input pick
rows of hashed tables; the backbone's feature decides by a gate how much of what they hold is added to it. The feature
that predicts frame t has seen x_<t alone, and so has its key: the newest symbol is that of t − 1.

    mix_n = ⊕_{k<n} id_{t−1−k} m_k,  row of head j: mix_n mod p_{n,j}      (m_k odd, p distinct primes)
    α = σ(RMSNorm(h) · RMSNorm(W_K e) / √d),  v = α W_V e,  h + v + SiLU(conv(RMSNorm(v)))

where e is the rows side by side, and conv is causal, by channel, `TAPS` wide, N apart, and zero at the start. In
rollouts the generated frames are quantised again, so that a key drifts when they do.

The paper's four hyper-connection branches are one here, as the backbones have one residual stream.

References:
    Cheng et al. 2026 (Engram, arXiv 2601.07372) and its published module, whose gate takes the signed root of the
    product first; Lloyd 1982 (k-means).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from sklearn.cluster import KMeans
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.layers import Backbone, BackboneConfig, State, backbone
from bench.errors import BenchError

TAPS = 4
RESTARTS = 3
"""Of k-means: one start in a few leaves two well-apart clusters under one centre."""
MOST_FRAMES = 50_000
"""That k-means reads, evenly spaced among the training frames."""
ROW_SCALE = 0.1
"""Standard deviation of the rows at the start."""
SMALLEST = 1e-6
"""Below this a product has the root of this: the root's slope is infinite at 0."""


@dataclass(frozen=True)
class MemoryConfig:
    """Symbols, tables and gate.

    `centres` V of k-means in whitened units, merged into `merged` classes of nearby ones (0: none are) before they
    make keys; suffixes of 2 … `order` symbols; `heads` hashes of each, every one into a table of about `rows` rows;
    `width` numbers read a frame, all tables together; `gate` "root" as published with the code, "plain" as in the
    paper's equation. `after` lists the layers of the backbone behind which a memory stands, each with tables of its
    own; empty: one, behind the last.
    """

    centres: Annotated[int, Field(ge=2)] = 256
    merged: Annotated[int, Field(ge=0)] = 0
    order: Annotated[int, Field(ge=2)] = 3
    heads: Annotated[int, Field(ge=1)] = 4
    rows: Annotated[int, Field(ge=2)] = 4096
    width: Annotated[int, Field(ge=1)] = 64
    gate: Literal["root", "plain"] = "root"
    after: tuple[int, ...] = ()

    @property
    def tables(self) -> int:
        """Of one memory."""
        return (self.order - 1) * self.heads

    @property
    def symbols(self) -> int:
        """Different ids; one more stands for what was before the start."""
        return self.merged or self.centres

    def places(self, config: BackboneConfig) -> tuple[int, ...]:
        """Layers behind which a memory stands."""
        return self.after or (config.layers,)

    def problem(self, config: BackboneConfig) -> str:
        """What makes the sizes impossible, beginning with the field; empty where nothing does."""
        if self.width % self.tables:
            return f"width: {self.tables} tables do not divide {self.width}"
        if self.merged > self.centres or self.merged == 1:
            return f"merged: expected 0 or 2 to {self.centres} classes of centres, got {self.merged}"
        after = self.after
        if any(low >= high for low, high in itertools.pairwise((0, *after))) or (after and after[-1] > config.layers):
            return f"after: expected layers in rising order, from 1 to {config.layers}, got {list(after)}"
        if after and config.kind == "window" and after != (config.layers,):
            return "after: a window has no layers to stand between"
        return ""


# --- symbols -----------------------------------------------------------------------------------------------


class Quantiser(nn.Module):
    """Whitened frames → ids of the nearest of `centres`, or of the class that it was merged into."""

    centres: Tensor
    classes: Tensor
    seed: Tensor

    def __init__(self, dim: int, config: MemoryConfig) -> None:
        super().__init__()
        self.merged = config.merged
        self.register_buffer("centres", torch.zeros(config.centres, dim))
        self.register_buffer("classes", torch.arange(config.centres))
        self.register_buffer("seed", torch.randint(2**31 - 1, ()))

    @torch.no_grad()
    def set_from(self, u: Tensor) -> None:
        """k-means of whitened training frames (n, D); classes by k-means of the centres, weighted by their frames.

        Raises:
            BenchError: fewer frames than centres, or too many alike.
        """
        frames = u[:: -(-len(u) // MOST_FRAMES)]
        count = len({frame.tobytes() for frame in frames.numpy()})
        if count < len(self.centres):
            wanted = f"expected at most as many as there are different training frames, {count}"
            raise BenchError(f"engram: parameter memory.centres: {wanted}, got {len(self.centres)}")
        seed = int(self.seed)
        found = KMeans(len(self.centres), n_init=RESTARTS, random_state=seed).fit(frames.double().numpy())
        self.centres.copy_(torch.from_numpy(found.cluster_centers_))
        if self.merged:
            used = torch.from_numpy(found.labels_).long().bincount(minlength=len(self.centres))
            classes = KMeans(self.merged, n_init=RESTARTS, random_state=seed)
            classes.fit(found.cluster_centers_, sample_weight=used.double().numpy())
            self.classes.copy_(torch.from_numpy(classes.labels_))

    @torch.no_grad()
    def forward(self, u: Tensor) -> Tensor:
        """(B, T, D) → ids (B, T)."""
        # in bfloat16 a frame would often be nearest to another centre
        with torch.autocast(u.device.type, enabled=False):
            nearness = u.float() @ self.centres.T - 0.5 * self.centres.square().sum(-1)
        return self.classes[nearness.argmax(-1)]


def primes(above: int) -> Iterator[int]:
    """The primes above a number, in order."""
    for number in itertools.count(above + 1):
        if number > 1 and all(number % d for d in range(2, math.isqrt(number) + 1)):
            yield number


def rows(suffixes: Tensor, multipliers: Tensor, sizes: Tensor) -> Tensor:
    """Row of every table.

    Args:
        suffixes: ids (..., N), newest first.
        multipliers: m (N,), odd; no product with an id exceeds 63 bits.
        sizes: p (N − 1, K), primes.

    Returns:
        (..., N − 1, K), suffixes of 2 symbols first.
    """
    products = suffixes * multipliers
    mixed, out = products[..., 0], []
    for k in range(1, suffixes.shape[-1]):
        mixed = mixed ^ products[..., k]
        out.append(mixed.unsqueeze(-1) % sizes[k - 1])
    return torch.stack(out, -2)


# --- the memory --------------------------------------------------------------------------------------------


class Memory(nn.Module):
    """Tables, gate and convolution.

    Args:
        width: W of the features.
        sizes: rows of each table, distinct primes, (N − 1) K of them.
    """

    multipliers: Tensor
    sizes: Tensor
    offsets: Tensor

    def __init__(self, width: int, config: MemoryConfig, sizes: Sequence[int]) -> None:
        super().__init__()
        self.order, self.gate = config.order, config.gate
        largest = (2**63 - 1) // (config.symbols + 1) // 2
        self.register_buffer("multipliers", 2 * torch.randint(largest, (config.order,)) + 1)
        self.register_buffer("sizes", torch.tensor(sizes).unflatten(0, (config.order - 1, config.heads)))
        starts = torch.tensor([0, *itertools.accumulate(sizes[:-1])])
        self.register_buffer("offsets", starts.unflatten(0, (config.order - 1, config.heads)))
        self.table = nn.Parameter(torch.randn(sum(sizes), config.width // config.tables) * ROW_SCALE)
        self.keys, self.values = nn.Linear(config.width, width), nn.Linear(config.width, width)
        self.query_norm, self.key_norm, self.value_norm = (nn.RMSNorm(width, eps=1e-5) for _ in range(3))
        self.taps = nn.Parameter(torch.zeros(TAPS, width))

    def before(self, features: Tensor) -> Tensor:
        """What the convolution sees before the start, (B, (TAPS − 1) N, W)."""
        return features.new_zeros(len(features), (TAPS - 1) * self.order, features.shape[-1])

    def forward(self, h: Tensor, suffixes: Tensor, past: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features with what was remembered, what the convolution sees next, and the gate.

        Args:
            h: features (B, T, W).
            suffixes: ids (B, T, N), newest first.
            past: normed values before these, ((TAPS − 1) N of them).

        Returns:
            (B, T, W), (B, (TAPS − 1) N, W) and (B, T).
        """
        index = rows(suffixes, self.multipliers, self.sizes) + self.offsets
        e = F.embedding(index.flatten(-2), self.table).flatten(-2)
        gate = self.opened(h, self.keys(e))
        value = gate.unsqueeze(-1) * self.values(e)
        seen = torch.cat([past, self.value_norm(value).to(past.dtype)], 1)
        frames = h.shape[1]
        mixed = sum(tap * seen[:, i * self.order :][:, :frames] for i, tap in enumerate(self.taps))
        assert isinstance(mixed, Tensor)
        return h + value + F.silu(mixed), seen[:, frames:], gate

    def opened(self, h: Tensor, key: Tensor) -> Tensor:
        """α of features and keys (..., W): (...)."""
        product = (self.query_norm(h) * self.key_norm(key)).sum(-1) / math.sqrt(h.shape[-1])
        if self.gate == "root":
            product = product.sign() * product.abs().clamp(min=SMALLEST).sqrt()
        return product.sigmoid()


class Remembering(Backbone):
    """A backbone with memories behind some of its layers; with none it is the backbone alone.

    Its state: the last ids, what each convolution sees next, and the states of the backbone's parts, a part for the
    layers between two memories.

    Args:
        inputs: D of the whitened frames.
        places: layers behind which a memory stands.
        shuffled: look up the suffix that ended at an earlier frame, drawn anew for every frame: the same keys, each
            at a time that is not its own. All ids of the past are then part of the state.
    """

    shuffle: Tensor

    def __init__(
        self, inputs: int, config: BackboneConfig, memory: MemoryConfig, places: Sequence[int], shuffled: bool = False
    ) -> None:
        super().__init__()
        self.width, self.shuffled = config.width, shuffled
        self.order, self.nothing = memory.order, memory.symbols
        self.quantiser = Quantiser(inputs, memory)
        self.register_buffer("shuffle", 2 * torch.randint(2**61, ()) + 1)
        sizes = primes(memory.rows - 1)
        self.memories = nn.ModuleList(
            Memory(config.width, memory, list(itertools.islice(sizes, memory.tables))) for _ in places
        )
        depths = [high - low for low, high in itertools.pairwise(sorted({0, *places, config.layers}))]
        channels = [inputs] + [config.width] * (len(depths) - 1)
        self.parts = nn.ModuleList(
            backbone(c, replace(config, layers=depth)) for c, depth in zip(channels, depths, strict=True)
        )
        self.sizes = [1 + 2 * depth if config.kind == "transformer" else 1 for depth in depths]

    def start(self, batch: int) -> tuple[Tensor, State]:
        features, state, _ = self._started(batch)
        return features[:, 0], state

    def read(self, inputs: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        features, state, _ = self._read(inputs, self.start(len(inputs))[1] if state is None else state)
        return features, state

    def gates(self, inputs: Tensor) -> Tensor:
        """The gate that the prediction of each input went through, a mean over memories: (B, T, D) → (B, T)."""
        _, state, first = self._started(len(inputs))
        return first if inputs.shape[1] == 1 else torch.cat([first, self._read(inputs[:, :-1], state)[2]], 1)

    def _started(self, batch: int) -> tuple[Tensor, State, Tensor]:
        first, state = self.parts[0].start(batch)
        ids = torch.full((batch, self.order), self.nothing, device=first.device)
        return self._remembered(first.unsqueeze(1), ids, [], [state])

    def _read(self, inputs: Tensor, state: State) -> tuple[Tensor, State, Tensor]:
        ids, pasts, rest = state[0], state[1 : 1 + len(self.memories)], state[1 + len(self.memories) :]
        edges = itertools.pairwise([0, *itertools.accumulate(self.sizes)])
        states = [rest[low:high] for low, high in edges]
        features, states[0] = self.parts[0].read(inputs, states[0])
        return self._remembered(features, torch.cat([ids, self.quantiser(inputs)], 1), pasts, states)

    def _remembered(
        self, features: Tensor, ids: Tensor, pasts: Sequence[Tensor], states: list[State]
    ) -> tuple[Tensor, State, Tensor]:
        """From the first part's features (B, T, W), with all ids up to the newest: features, state and gates (B, T)."""
        suffixes, next_pasts, gates = self._suffixes(ids, features.shape[1]), [], []
        states = states + [()] * (len(self.parts) - len(states))
        for index, memory in enumerate(self.memories):
            past = pasts[index] if pasts else memory.before(features)
            features, past, gate = memory(features, suffixes, past)
            next_pasts.append(past)
            gates.append(gate)
            if index + 1 < len(self.parts):
                features, states[index + 1] = self.parts[index + 1].read(features, states[index + 1] or None)
        kept = ids if self.shuffled else ids[:, 1 - self.order :]
        gate = torch.stack(gates).mean(0) if gates else features.new_zeros(features.shape[:2])
        return features, (kept, *next_pasts, *itertools.chain(*states)), gate

    def _suffixes(self, ids: Tensor, frames: int) -> Tensor:
        """Suffixes (B, `frames`, N), newest first, of the last `frames` ends of ids (B, …)."""
        ends = ids.unfold(1, self.order, 1).flip(-1)
        if not self.shuffled:
            return ends[:, -frames:]
        # end 0 is before the start, end s + 1 at frame s; frame s takes one of 1 … s, and frame 0 none
        last = torch.arange(ends.shape[1] - frames, ends.shape[1], device=ids.device) - 1
        drawn = (((last + 2) * self.shuffle) & (2**62 - 1)) >> 24
        return ends[:, torch.where(last > 0, 1 + drawn % last.clamp(min=1), 0)]


# --- parameters --------------------------------------------------------------------------------------------


def total_parameters(network: nn.Module) -> int:
    """All of them, a frozen table's too."""
    return sum(p.numel() for p in network.parameters())


def active_parameters(network: nn.Module) -> int:
    """Those that a frame uses: all but the tables, and of these the rows that it reads."""
    memories = [m for m in network.modules() if isinstance(m, Memory)]
    unread = sum(m.table.numel() - m.sizes.numel() * m.table.shape[1] for m in memories)
    return total_parameters(network) - unread
