"""The fixed probe: a multi-horizon conditional density on a submission's states, and its null-context twin.

One GRU trunk reads the states z_≤t; one head per horizon gives a density of the codec's latent x_{t+k}, in
whitened units, or rather of the residual of its linear-Gaussian prediction from z_t: training starts from the
closed form and adds to it. The twin is the same network reading a learned constant, and starts from the Gaussian
marginal: it counts frames as the probe does and knows nothing else, so that NLL[twin] − NLL[probe] is what the states
say about the future, as far as this model class can read it. A weak probe underestimates the gain; a twin that
underfits the marginal overestimates it.

Families: "mdn" (`tasks/probes/mdn.py`), "flow" (`tasks/probes/flow.py`) and "linear" (`tasks/probes/linear.py`),
which is closed-form and the floor. The twin is always of the same family: a marginal of a poorer family than the
conditional invents gain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Protocol, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from bench.contract import LatentUtterance
from bench.fitting import FitConfig, FitReport, Frames, NoCheckpoint, fit, initialised
from bench.metrics.mixture import Whitening
from tasks.probes.flow import Flow, FlowDensity
from tasks.probes.linear import LinearProbe, LinearStart
from tasks.probes.mdn import Covariance, MixtureDensity


@dataclass(frozen=True)
class ProbeConfig:
    """The family and the budget that a suite fixes for every row.

    Attributes:
        width: of the trunk and of the features that a head reads.
        components, covariance, rank, student_df: of the mixture; `student_df` 0 is Gaussian.
        flow, transforms: of the flow.
        window: states that the linear family reads.
    """

    family: Literal["mdn", "flow", "linear"] = "mdn"
    width: Annotated[int, Field(ge=1)] = 128
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    components: Annotated[int, Field(ge=1)] = 8
    covariance: Covariance = "semi_tied"
    rank: Annotated[int, Field(ge=1)] = 2
    student_df: Annotated[float, Field(ge=0)] = 0.0
    flow: Flow = "nsf"
    transforms: Annotated[int, Field(ge=1)] = 3
    window: Annotated[int, Field(ge=1)] = 4
    fit: FitConfig = field(default_factory=FitConfig)

    def head(self, dim: int) -> nn.Module:
        """An untrained head of the family for a D-dimensional target."""
        if self.family == "flow":
            return FlowDensity(self.width, dim, self.flow, self.transforms)
        return MixtureDensity(self.width, dim, self.components, self.covariance, self.rank, self.student_df)


class Reader(Protocol):
    """A fitted probe of any family."""

    def nll(self, z: Tensor, x: Tensor) -> list[Tensor]:
        """NLL in nats, in the units of x, of one utterance: (T, Dz), (T, D) → per horizon (T − k)."""
        ...

    def note(self) -> dict[str, Any]:
        """What a record keeps of the fit."""
        ...


class Probe(nn.Module):
    """States (B, T, Dz) → log-density of whitened x at each horizon.

    Args:
        states: dim of the states; 0 makes the null-context twin.
        dim: D of the target.
        horizons: frames ahead, one head each.
    """

    def __init__(self, states: int, dim: int, horizons: Sequence[int], config: ProbeConfig) -> None:
        super().__init__()
        self.horizons = tuple(horizons)
        self.twin = states == 0
        self.register_buffer("shift", torch.zeros(states))
        self.register_buffer("scale", torch.ones(states))
        if self.twin:
            self.constant = nn.Parameter(torch.randn(config.width))
        else:
            self.project = nn.Linear(states, config.width)
        self.gru = nn.GRU(config.width, config.width, batch_first=True)
        self.dropout = nn.Dropout(config.dropout)
        self.starts = nn.ModuleList(LinearStart(states, dim) for _ in horizons)
        self.features = nn.ModuleList(nn.Linear(config.width, config.width) for _ in horizons)
        self.heads = nn.ModuleList(config.head(dim) for _ in horizons)

    def standardise(self, states: Tensor) -> None:
        """Set input mean and scale from training states (n, Dz); a constant dimension stays constant."""
        self.shift.copy_(states.mean(0))
        spread = states.std(0)
        self.scale.copy_(torch.where(spread > 1e-6, spread, torch.ones_like(spread)))

    def trunk(self, z: Tensor) -> Tensor:
        """Summary of z_≤t at every t: (B, T, width)."""
        if self.twin:
            read = self.constant.expand(*z.shape[:2], -1).contiguous()
        else:
            read = self.project((z - self.shift) / self.scale)
        out, _ = self.gru(read)
        return cast(Tensor, self.dropout(out))

    def log_prob(self, z: Tensor, u: Tensor, mask: Tensor) -> list[Tensor]:
        """log p(u_{t+k} | z_≤t) at the real targets alone.

        Args:
            z: (B, T, Dz).
            u: (B, T, D).
            mask: (B, T), which frames are real.

        Returns:
            For each horizon k the values (n_k,) where `mask` holds at t + k, row by row.
        """
        summary = self.trunk(z)
        out = []
        parts = zip(self.horizons, self.starts, self.features, self.heads, strict=True)
        for k, start, feature, head in parts:
            reach = max(0, u.shape[1] - k)
            inside = mask[:, u.shape[1] - reach :]
            v = start(z[:, :reach][inside], u[:, u.shape[1] - reach :][inside])
            read = nn.functional.silu(feature(summary[:, :reach][inside]))
            out.append(cast(MixtureDensity, head).log_prob(read, v) + cast(LinearStart, start).log_det)
        return out


@dataclass(frozen=True)
class Fitted:
    """A trained probe with the whitening of its target."""

    probe: Probe
    white: Whitening
    report: FitReport

    @torch.no_grad()
    def nll(self, z: Tensor, x: Tensor) -> list[Tensor]:
        """See `Reader`."""
        log_det = self.white.log_det()
        real = torch.ones(1, len(x), dtype=torch.bool, device=x.device)
        return [-(lp + log_det).cpu() for lp in self.probe.log_prob(z[None], self.white(x)[None], real)]

    def note(self) -> dict[str, Any]:
        """Parameters, the step that was kept, and the curve."""
        return {
            "parameters": sum(p.numel() for p in self.probe.parameters()),
            "kept_step": self.report.kept_step,
            "stopped_early": self.report.stopped_early,
            "curve": [[step, round(train, 4), round(valid, 4)] for step, train, valid in self.report.curve],
        }


def fit_probe(
    states: Mapping[str, Tensor] | None,
    train: Sequence[LatentUtterance],
    valid: Sequence[LatentUtterance],
    horizons: Sequence[int],
    config: ProbeConfig,
    seed: int,
    device: torch.device,
    progress: Callable[[str, int, int], None],
    what: str,
) -> Reader:
    """Fit a probe on training utterances, early-stopped on the validation ones.

    Args:
        states: utterance id → states (T, Dz); None fits the null-context twin.
        horizons: frames ahead.
    """
    if config.family == "linear":
        return LinearProbe(states, train, horizons, config.window)
    dim = train[0].x.shape[1]
    width = 0 if states is None else next(iter(states.values())).shape[1]
    white = Whitening(dim).set_from(torch.cat([u.x for u in train]))
    probe = cast(Probe, initialised(lambda: Probe(width, dim, horizons, config), seed))
    read = lambda u: torch.zeros(len(u.x), 0) if states is None else states[u.id]  # noqa: E731
    if states is not None:
        probe.standardise(torch.cat([states[u.id] for u in train]))
    for k, start in zip(probe.horizons, probe.starts, strict=True):
        both = [
            (torch.cat([read(u)[: max(0, len(u.x) - k)] for u in us]), white(torch.cat([u.x[k:] for u in us])))
            for us in (train, valid)
        ]
        cast(LinearStart, start).set_from(both[0], both[1], config.covariance == "diagonal")
    probe.to(device)
    white.to(device)
    pairs = Frames([[read(u), u.x] for u in train])
    held_out = Frames([[read(u), u.x] for u in valid])

    def total(z: Tensor, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Summed NLL and count of frames, over horizons."""
        terms = probe.log_prob(z.to(device), white(x.to(device)), mask.to(device))
        return -torch.stack([t.sum() for t in terms]).sum(), torch.tensor(sum(len(t) for t in terms), device=device)

    def loss(step: int, generator: torch.Generator) -> Tensor:
        (z, x), mask = pairs.crops(config.fit.batch, config.fit.crop_frames, generator)
        nll, count = total(z, x, mask)
        return nll / count

    def validate() -> float:
        sums = torch.zeros(2)
        for pick in torch.arange(len(valid)).split(32):
            (z, x), mask = held_out.whole(pick, 2 * config.fit.crop_frames)
            sums += torch.stack([part.cpu().float() for part in total(z, x, mask)])
        return float(sums[0] / sums[1])

    report = fit(probe, loss, validate, config.fit, seed, NoCheckpoint(), progress, what)
    return Fitted(probe, white, report)
