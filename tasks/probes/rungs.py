"""The rungs of the capacity ladder and the contrastive critic: bodies of growing capacity on a window of states.

Every rung is a density of the residual of the same closed-form linear-Gaussian prediction, so that each contains the
one below it: "linear" is the closed form alone, "mlp" and "transformer" add a body with a mixture-density head, and
"twin" has the same head and no context.

References:
    Bishop 1994 (mixture density networks); Vaswani et al. 2017 (arXiv 1706.03762); van den Oord et al. 2018 (arXiv
    1807.03748).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Literal, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.fitting import FitConfig, NoCheckpoint, fit, initialised
from bench.metrics import infonce
from bench.metrics.mixture import Whitening
from tasks.probes.linear import LinearStart
from tasks.probes.mdn import MixtureDensity, log_kernel
from tasks.probes.windows import Windows

Kind = Literal["twin", "linear", "mlp", "transformer"]
Progress = Callable[[str, int, int], None]
AT_ONCE = 4096
"""Anchors scored at once."""


@dataclass(frozen=True)
class LadderConfig:
    """Capacity and budget. `candidates` is N; `batch` of `fit` counts anchors, a multiple of N."""

    width: Annotated[int, Field(ge=8)] = 128
    layers: Annotated[int, Field(ge=1)] = 2
    heads: Annotated[int, Field(ge=1)] = 4
    components: Annotated[int, Field(ge=1)] = 8
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    candidates: Annotated[int, Field(ge=2)] = 64
    fit: FitConfig = field(default_factory=FitConfig)


class Body(nn.Module):
    """Windows (n, W, Dz), standardised, → features (n, width)."""

    def __init__(self, kind: Kind, states: int, window: int, config: LadderConfig) -> None:
        super().__init__()
        self.kind = kind
        width = config.width
        if kind == "twin":
            self.constant = nn.Parameter(torch.randn(width))
        elif kind == "mlp":
            self.net = nn.Sequential(
                nn.Flatten(),
                nn.Linear(window * states, width),
                nn.SiLU(),
                nn.Dropout(config.dropout),
                nn.Linear(width, width),
                nn.SiLU(),
            )
        else:
            self.project = nn.Linear(states, width)
            self.position = nn.Parameter(0.02 * torch.randn(window, width))
            layer = nn.TransformerEncoderLayer(
                width, config.heads, 2 * width, config.dropout, "gelu", batch_first=True, norm_first=True
            )
            self.net = nn.TransformerEncoder(layer, config.layers, nn.LayerNorm(width), enable_nested_tensor=False)
            self.register_buffer("future", torch.ones(window, window, dtype=torch.bool).triu(1))

    def forward(self, window: Tensor) -> Tensor:
        if self.kind == "twin":
            return self.constant.expand(len(window), -1)
        if self.kind == "mlp":
            return cast(Tensor, self.net(window))
        return cast(Tensor, self.net(self.project(window) + self.position, mask=self.future)[:, -1])


class Rung(nn.Module):
    """Densities of whitened x at each horizon, and their means."""

    def __init__(self, kind: Kind, states: int, window: int, dim: int, horizons: int, config: LadderConfig) -> None:
        super().__init__()
        self.kind = kind
        reads = 0 if kind == "twin" else window * states
        self.starts = nn.ModuleList(LinearStart(reads, dim) for _ in range(horizons))
        if kind != "linear":
            self.body = Body(kind, states, window, config)
            self.features = nn.ModuleList(nn.Linear(config.width, config.width) for _ in range(horizons))
            self.heads = nn.ModuleList(
                MixtureDensity(config.width, dim, config.components, "semi_tied") for _ in range(horizons)
            )

    def read(self, window: Tensor, u: list[Tensor], mean: bool) -> list[tuple[Tensor, Tensor | None]]:
        """Per horizon log p(u | window) (n,) and, if asked for, E[u | window] (n, D)."""
        context = window.flatten(1)[:, : 0 if self.kind == "twin" else None]
        body = None if self.kind == "linear" else self.body(window)
        out = []
        for index, target in enumerate(u):
            start = cast(LinearStart, self.starts[index])
            v = start(context, target)
            guess: Tensor | None = context @ start.weight + start.bias if mean else None
            if body is None:
                log_p = log_kernel(v.square().sum(-1), v.shape[1], 0.0)
            else:
                head = cast(MixtureDensity, self.heads[index])
                features = nn.functional.silu(self.features[index](body))
                log_p = head.log_prob(features, v)
                if guess is not None:
                    guess = guess + torch.linalg.solve(start.whiten, head.mean(features).T).T
            out.append((log_p + start.log_det, guess))
        return out


class Critic(nn.Module):
    """Scores of every future against every context, one pair of encoders for each horizon."""

    def __init__(self, states: int, window: int, dim: int, horizons: int, config: LadderConfig) -> None:
        super().__init__()
        width = config.width
        self.body = Body("mlp", states, window, config)
        self.contexts = nn.ModuleList(nn.Linear(width, width) for _ in range(horizons))
        self.futures = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, width), nn.SiLU(), nn.Linear(width, width)) for _ in range(horizons)
        )

    def forward(self, window: Tensor, u: list[Tensor], candidates: int) -> list[Tensor]:
        """Groups of N consecutive anchors → per horizon scores (n, N); the true future of row i is i mod N."""
        body = self.body(window)
        out = []
        for target, context, future in zip(u, self.contexts, self.futures, strict=True):
            c, f = (part.unflatten(0, (-1, candidates)) for part in (context(body), future(target)))
            out.append((c @ f.transpose(1, 2) / math.sqrt(c.shape[-1])).flatten(0, 1))
        return out


@dataclass(frozen=True)
class Reading:
    """Anchors of three splits, and the maps of states and targets that training frames gave."""

    train: Windows
    valid: Windows
    shift: Tensor
    scale: Tensor
    white: Whitening
    device: torch.device

    @staticmethod
    def of(train: Windows, valid: Windows, device: torch.device) -> Reading:
        """Standardise states and whiten targets by the training frames; a constant dimension stays constant."""
        spread = train.states.std(0)
        scale = torch.where(spread > 1e-6, spread, torch.ones_like(spread))
        white = Whitening(train.x.shape[1]).set_from(train.x)
        return Reading(train, valid, train.states.mean(0), scale, white, device)

    def batch(self, windows: Windows, pick: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Standardised windows and whitened targets."""
        context = (windows.context(pick) - self.shift) / self.scale
        return context.to(self.device), [self.white(windows.target(pick, k)).to(self.device) for k in windows.horizons]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Dz, window, D, horizons."""
        return self.train.states.shape[1], self.train.window, self.train.x.shape[1], len(self.train.horizons)


def fit_rung(kind: Kind, reading: Reading, config: LadderConfig, seed: int, progress: Progress) -> Rung:
    """Set the closed form and, above the first rung, train the rest, early-stopped on validation anchors."""
    states, window, dim, horizons = reading.shape
    rung = cast(Rung, initialised(lambda: Rung(kind, states, window, dim, horizons, config), seed))
    pairs = [reading.batch(w, torch.arange(len(w))) for w in (reading.train, reading.valid)]
    for index, start in enumerate(rung.starts):
        reads = 0 if kind == "twin" else None
        both = [(context.flatten(1)[:, :reads].cpu(), u[index].cpu()) for context, u in pairs]
        cast(LinearStart, start).set_from(both[0], both[1], diagonal=False)
    rung.to(reading.device)

    def nll(context: Tensor, u: list[Tensor]) -> Tensor:
        return -torch.stack([log_p.mean() for log_p, _ in rung.read(context, u, mean=False)]).mean()

    if kind != "linear":
        train = lambda _, rng: nll(*reading.batch(reading.train, _drawn(reading.train, config, rng)))  # noqa: E731
        fit(rung, train, lambda: float(nll(*pairs[1])), config.fit, seed, NoCheckpoint(), progress, f"fit {kind}")
    return rung.eval()


@torch.no_grad()
def read_rung(rung: Rung, reading: Reading, windows: Windows) -> list[tuple[Tensor, Tensor]]:
    """Per horizon NLL of x (n,) in nats and E[x | window] (n, D), in the units of x."""
    parts: list[list[tuple[Tensor, Tensor]]] = [[] for _ in windows.horizons]
    for pick in torch.arange(len(windows)).split(AT_ONCE):
        for out, (log_p, guess) in zip(parts, rung.read(*reading.batch(windows, pick), mean=True), strict=True):
            assert guess is not None
            out.append((-log_p.cpu() - reading.white.log_det(), reading.white.invert(guess.cpu())))
    return [(torch.cat([a for a, _ in part]), torch.cat([b for _, b in part])) for part in parts]


def fit_critic(reading: Reading, config: LadderConfig, seed: int, progress: Progress) -> Critic:
    """Train on groups of N anchors drawn from all training frames: negatives come from the marginal."""
    states, window, dim, horizons = reading.shape
    critic = cast(Critic, initialised(lambda: Critic(states, window, dim, horizons, config), seed)).to(reading.device)

    def loss(windows: Windows, pick: Tensor) -> Tensor:
        scores = critic(*reading.batch(windows, pick), config.candidates)
        truth = torch.arange(len(pick), device=reading.device) % config.candidates
        return torch.stack([infonce.loss(s, truth).mean() for s in scores]).mean()

    order = torch.randperm(len(reading.valid), generator=torch.Generator().manual_seed(seed))
    held_out = order[: len(order) // config.candidates * config.candidates]
    train = lambda _, rng: loss(reading.train, _drawn(reading.train, config, rng))  # noqa: E731
    check = lambda: float(loss(reading.valid, held_out))  # noqa: E731
    fit(critic, train, check, config.fit, seed, NoCheckpoint(), progress, "fit critic")
    return critic.eval()


@torch.no_grad()
def read_critic(
    critic: Critic, reading: Reading, windows: Windows, candidates: int, generator: torch.Generator
) -> list[tuple[Tensor, Tensor]]:
    """Per horizon accuracy and ln N − loss of every anchor, (n,) each, against N − 1 others of the split."""
    order = torch.randperm(len(windows), generator=generator)
    missing = -len(order) % candidates
    # the last group is filled up with anchors whose own rows were counted before
    filled = torch.cat([order, order[:missing]])
    out = [(torch.zeros(len(order)), torch.zeros(len(order))) for _ in windows.horizons]
    for pick in filled.split(AT_ONCE // candidates * candidates):
        scores = critic(*reading.batch(windows, pick), candidates)
        truth = torch.arange(len(pick)) % candidates
        for (accuracy, bound), s in zip(out, scores, strict=True):
            accuracy[pick], bound[pick] = infonce.accuracy(s.cpu(), truth), infonce.bound(s.cpu(), truth)
    return out


def _drawn(windows: Windows, config: LadderConfig, generator: torch.Generator) -> Tensor:
    """Anchors of a batch, without repetition where there are enough."""
    count = max(1, config.fit.batch // config.candidates) * config.candidates
    if count <= len(windows):
        return torch.randperm(len(windows), generator=generator)[:count]
    return torch.randint(len(windows), (count,), generator=generator)
