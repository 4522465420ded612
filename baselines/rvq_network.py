"""The network of `rvq_ar`: a backbone over frames of codes, and a decoder over the stages of one frame.

Conventions: codes (B, T, Q), entry V_q of a stage standing for "none" (before the first acoustic code of a delayed
layout, after the last semantic one). A *row* is what the backbone reads at once: without delay the codes of a frame,
with delay d the first stage of frame s beside the other stages of frame s − d.

References:
    Lee et al. 2022 (RQ-Transformer, arXiv 2203.01941); Copet et al. 2023 (delay patterns, arXiv 2306.05284); Défossez
    et al. 2024 (Moshi: weights of its own for each stage, arXiv 2410.00037); Rouard et al. 2025 (CALM, arXiv
    2509.06926).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from baselines.heads import SMALLEST_TEMPERATURE
from baselines.layers import BackboneConfig, State, attend, backbone
from bench.seeding import generator as seeded

Cache = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class DepthConfig:
    """What decodes the stages after the first.

    A `transformer` attends over the earlier codes of its frame; an `mlp` reads the sum of their embeddings. `hidden`
    is the width of feed-forward layers (0: four times `width`). `per_stage` gives every stage weights of its own.
    """

    kind: Literal["transformer", "mlp"] = "transformer"
    width: Annotated[int, Field(ge=1)] = 128
    layers: Annotated[int, Field(ge=1)] = 2
    heads: Annotated[int, Field(ge=1)] = 4
    hidden: Annotated[int, Field(ge=0)] = 0
    per_stage: bool = False

    def problem(self) -> str:
        """What makes the sizes impossible, beginning with the field; empty where nothing does."""
        if self.kind == "transformer" and self.width % self.heads:
            return f"heads: {self.heads} heads do not divide a width of {self.width}"
        return ""


class CodeNetwork(nn.Module):
    """Probabilities of codes, and samples of them.

    Args:
        sizes: V of each stage.
        delay: frames by which the stages after the first come later.
        rest: V of later stages, which are given their frequencies alone.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        temporal: BackboneConfig,
        depth: DepthConfig,
        delay: int = 0,
        rest: Sequence[int] = (),
    ) -> None:
        super().__init__()
        self.sizes, self.rest, self.delay, width = tuple(sizes), tuple(rest), delay, temporal.width
        for index, size in enumerate(rest):
            self.register_buffer(f"rest{index}", torch.full((size,), -math.log(size)))
        self.embeddings = nn.ModuleList(_embedding(size, width) for size in sizes)
        self.backbone = backbone(width, temporal)
        self.trunk = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Dropout(temporal.dropout))
        self.first = nn.Linear(width, sizes[0])
        self.depth = Depth(width, sizes, depth) if len(sizes) > 1 else None

    @property
    def none(self) -> Tensor:
        """The codes (Q,) that stand for none."""
        return torch.tensor(self.sizes, device=self.first.weight.device)

    def rows(self, codes: Tensor) -> Tensor:
        """Codes (B, T, Q) → rows (B, T + delay, Q)."""
        if not self.delay:
            return codes
        none = self.none.expand(len(codes), self.delay, -1)
        semantic = torch.cat([codes[..., :1], none[..., :1]], 1)
        return torch.cat([semantic, torch.cat([none[..., 1:], codes[..., 1:]], 1)], -1)

    def embedded(self, rows: Tensor) -> Tensor:
        """Rows (..., Q) → the sum of their embeddings (..., W)."""
        return torch.stack([table(rows[..., q]) for q, table in enumerate(self.embeddings)]).sum(0)

    def features(self, rows: Tensor, noise: float = 0.0) -> Tensor:
        """What is known of each row from those before it: (B, R, Q) → (B, R, H).

        Args:
            noise: standard deviation of what is added to the embeddings, in their root mean square.
        """
        inputs = self.embedded(rows)
        if noise:
            inputs = inputs + noise * inputs.detach().square().mean().sqrt() * torch.randn_like(inputs)
        return self.trunk(self.backbone.shifted(inputs))

    def log_prob(self, codes: Tensor, noise: float = 0.0) -> Tensor:
        """ln p of every code, (B, T, Q) → (B, T, Q); their sum is that of the whole in the order of the rows.

        Codes that stand for none are given no probability: 0 in its place.
        """
        rows, frames = self.rows(codes), codes.shape[1]
        features = self.features(rows, noise)
        logits = [self.first(features[:, :frames])]
        if self.depth is not None:
            logits += self.depth(features[:, self.delay :], rows[:, self.delay :])
        out = [-F.cross_entropy(one.flatten(0, 1).float(), codes[..., q].flatten(), ignore_index=size, reduction="none")
               for q, (one, size) in enumerate(zip(logits, self.sizes, strict=True))]  # fmt: skip
        return torch.stack(out, -1).unflatten(0, codes.shape[:2])

    def drawn(self, features: Tensor, pick: Picker, given: Tensor | None = None, ended: bool = False) -> Tensor:
        """A row (N, Q) under features (N, H), stage by stage.

        Args:
            given: the stages after the first, (N, Q − 1), where they are known.
            ended: no first stage comes any more.
        """
        codes = [self.none[:1].expand(len(features)) if ended else pick(self.first(features))]
        if given is not None:
            return torch.cat([codes[0][:, None], given], -1)
        cache: Cache = []
        while self.depth is not None and len(codes) < len(self.sizes):
            logits, cache = self.depth.step(features, codes, cache)
            codes.append(pick(logits))
        return torch.stack(codes, -1)

    def continued(self, read: Tensor, state: State, known: Tensor, frames: int, pick: Picker) -> Tensor:
        """The codes (N, frames, Q) of the frames after some rows, as of an utterance that ends with them.

        Args:
            read: what the backbone gives for the next row, (N, W), and its state.
            known: stages after the first of the last frames, (N, delay, Q − 1), which the next rows hold.
        """
        rows = []
        for index in range(frames + self.delay):
            given = known[:, index] if index < self.delay else None
            row = self.drawn(self.trunk(read), pick, given, ended=index >= frames)
            rows.append(row)
            read, state = self.backbone.step(self.embedded(row), state)
        every = torch.stack(rows, 1)
        return torch.cat([every[:, :frames, :1], every[:, self.delay :, 1:]], -1)

    @torch.no_grad()
    def start_at(self, tables: Sequence[Tensor]) -> None:
        """Begin with a codec's codebooks: entries that mean about the same are read and foretold about the same.

        The embeddings of a row then sum to a random projection of its dequantised latent; a classifier's rows are
        a random projection of the entries at the size of a usual start.

        Args:
            tables: (V_q, D) of each stage, in units in which latents are white.
        """
        rng = seeded(0, "codebooks")

        def projected(table: Tensor, onto: Tensor) -> Tensor:
            return table @ onto / math.sqrt(len(onto))

        for embeddings in [self.embeddings, *([] if self.depth is None else [self.depth.embeddings])]:
            onto = torch.randn(tables[0].shape[1], embeddings[0].embedding_dim, generator=rng)
            for table, embedding in zip(tables, embeddings, strict=False):
                embedding.weight[:-1] = projected(table, onto)
        for table, linear in zip(tables, self.classifiers, strict=True):
            about = table - table.mean(0)
            unit = about / about.square().mean().sqrt().clamp(min=1e-6)
            onto = torch.randn(table.shape[1], linear.in_features, generator=rng)
            linear.weight.copy_(projected(unit, onto) / math.sqrt(3 * linear.in_features))

    @torch.no_grad()
    def expect(self, counts: Sequence[Tensor]) -> None:
        """Give the classifiers the frequencies (V_q,) of training codes, add-one smoothed, to begin with."""
        targets = [linear.bias for linear in self.classifiers] + self._rest()
        for count, target in zip(counts, targets, strict=True):
            target.copy_(((count + 1) / (count + 1).sum()).log())

    def frequency(self, codes: Tensor) -> Tensor:
        """ln of how frequent codes of the later stages are: (B, T, Q − stages), the same shape."""
        out = [table[codes[..., q]] for q, table in enumerate(self._rest())]
        return torch.stack(out, -1) if out else torch.zeros(codes.shape, device=codes.device)

    def _rest(self) -> list[Tensor]:
        return [self.get_buffer(f"rest{index}") for index in range(len(self.rest))]

    @property
    def classifiers(self) -> list[nn.Linear]:
        """Of each stage."""
        return [self.first, *([] if self.depth is None else self.depth.outputs)]


class Depth(nn.Module):
    """Stages 2 … Q of a frame, each given what the backbone says and the stages before it."""

    def __init__(self, features: int, sizes: Sequence[int], config: DepthConfig) -> None:
        super().__init__()
        self.width, self.summed = config.width, config.kind == "mlp"
        stages = len(sizes) - 1
        own = stages if config.per_stage else 1
        self.embeddings = nn.ModuleList(_embedding(size, config.width) for size in sizes[:-1])
        self.condition = StageLinear(own, features, config.width)
        self.place = nn.Parameter(0.02 * torch.randn(stages, config.width))
        self.blocks = nn.ModuleList(DepthBlock(own, config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.outputs = nn.ModuleList(nn.Linear(config.width, size) for size in sizes[1:])

    def forward(self, features: Tensor, codes: Tensor) -> list[Tensor]:
        """Features (..., H) and codes (..., Q) → logits (..., V_q) of the stages 2 … Q."""
        lead, stages = features.shape[:-1], len(self.outputs)
        read = torch.stack([table(codes[..., q]).flatten(0, -2) for q, table in enumerate(self.embeddings)], 1)
        features = features.flatten(0, -2).unsqueeze(1).expand(-1, stages, -1)
        hidden, _ = self._run(features, read.cumsum(1) if self.summed else read, [], 0)
        return [out(hidden[:, q]).unflatten(0, lead) for q, out in enumerate(self.outputs)]

    def step(self, features: Tensor, codes: Sequence[Tensor], cache: Cache) -> tuple[Tensor, Cache]:
        """Logits (N, V) of the stage after `codes`, each (N,), and the cache for the one after it."""
        last = len(codes) - 1
        # attention finds the codes before the last in its cache
        wanted = range(0 if self.summed else last, last + 1)
        read = torch.stack([self.embeddings[q](codes[q]) for q in wanted]).sum(0)
        hidden, cache = self._run(features[:, None], read[:, None], cache, last)
        return self.outputs[last](hidden[:, 0]), cache

    def _run(self, features: Tensor, read: Tensor, cache: Cache, first: int) -> tuple[Tensor, Cache]:
        """Stages from `first` on, (N, S, H) and (N, S, W) → (N, S, W)."""
        x = self.condition(features, first) + read + self.place[first : first + read.shape[1]]
        out: Cache = []
        for index, block in enumerate(self.blocks):
            x, past = block(x, cache[index] if cache else None, first)
            out.append(past)
        return self.norm(x), out


class StageLinear(nn.Module):
    """A linear map of each stage, or one of all of them.

    Args:
        stages: how many weights there are; 1: one for all stages.
    """

    def __init__(self, stages: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight = nn.Parameter(torch.empty(stages, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(stages, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor, first: int) -> Tensor:
        """Stages from `first` on: (N, S, inputs) → (N, S, outputs)."""
        if len(self.weight) == 1:
            return x @ self.weight[0] + self.bias[0]
        own = slice(first, first + x.shape[1])
        return torch.einsum("nsi,sio->nso", x, self.weight[own]) + self.bias[own]


class DepthBlock(nn.Module):
    """Attention over the earlier stages, unless they are summed, and feed-forward; each after a norm, residual."""

    def __init__(self, stages: int, config: DepthConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.hidden or 4 * config.width
        self.heads = config.heads
        self.attends = config.kind == "transformer"
        if self.attends:
            self.before_attention = nn.LayerNorm(width)
            self.queries_keys_values = StageLinear(stages, width, 3 * width)
            self.out = StageLinear(stages, width, width)
        self.before_mlp = nn.LayerNorm(width)
        self.up, self.down = StageLinear(stages, width, hidden), StageLinear(stages, hidden, width)

    def forward(
        self, x: Tensor, past: tuple[Tensor, Tensor] | None, first: int
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        k = v = x
        if self.attends:
            parts = self.queries_keys_values(self.before_attention(x), first).unflatten(-1, (3, self.heads, -1))
            q, k, v = (part.transpose(1, 2) for part in parts.unbind(2))
            if past is not None:
                k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
            x = x + self.out(attend(q, k, v).transpose(1, 2).flatten(2), first)
        return x + self.down(F.gelu(self.up(self.before_mlp(x), first)), first), (k, v)


class Picker:
    """Chooses codes: draws them, or with `likeliest` takes the most probable and draws nothing.

    Args:
        generator: a CPU one.
        temperature: τ; probabilities are those of logits / τ.
    """

    def __init__(self, generator: torch.Generator, temperature: float, likeliest: bool = False) -> None:
        self.generator, self.temperature, self.likeliest = generator, temperature, likeliest

    def __call__(self, logits: Tensor) -> Tensor:
        """Logits (N, V) → codes (N,)."""
        if self.likeliest or not len(logits):
            return logits.argmax(-1)
        p = F.softmax(logits.float() / max(self.temperature, SMALLEST_TEMPERATURE), -1)
        return torch.multinomial(p.cpu(), 1, generator=self.generator)[:, 0].to(logits.device)


def _embedding(size: int, width: int) -> nn.Embedding:
    """Of V entries and of none."""
    table = nn.Embedding(size + 1, width)
    nn.init.normal_(table.weight, std=0.3)
    nn.init.zeros_(table.weight[-1:])
    return table
