"""The innovation rate, its use and the state's, of an optimal channel on linear-Gaussian processes: closed forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from bench.calibration.check import Check, Measured, aggregated
from bench.calibration.lab import LabCodec, LabContext
from bench.calibration.oracles import KalmanOracle
from bench.calibration.process import splits
from bench.calibration.state_space import StateSpace
from bench.calibration.var1 import VAR1
from bench.contract import InnovationRate as Rate
from bench.contract import Source
from bench.metrics.gaussian import kl_diagonal
from tasks.innovation_rate import InnovationRate

FRAMES = 50
LEVEL = 0.1
"""Water level θ, in variances of x."""


class Truth(NamedTuple):
    """What the channel pays and gets, means over `frames` frames from the first on."""

    rate: float
    posterior_mse: float
    usefulness_mse: float
    state_shuffle_mse: float


class OptimalChannel:
    """Codes the innovation e_t = x_t − E[x_t | x_<t] by reverse water-filling; z_dyn,t is that expectation.

    In the eigenbasis of the innovation's covariance S_t, x in standard deviations, and for eigenvalues λ above the
    level θ: κ = 1 − θ / λ, z_rec = √κ e / √λ + √(1 − κ) n under the prior N(0, 1), decoded to √(κ λ) z_rec. The
    error is then θ at a mean KL of ½ ln λ / θ, and λ at none where λ ≤ θ: the rate–distortion function.

    Args:
        process: its exact filter, and its stationary covariance.
        level: θ.
        worth: False decodes from z_dyn alone.
        paid: False claims no rate.
        state: False leaves z_dyn at 0 and codes x itself.
    """

    def __init__(
        self, process: VAR1 | StateSpace, level: float, worth: bool = True, paid: bool = True, state: bool = True
    ) -> None:
        self.covariance, self.level = process.covariance, level
        self.worth, self.paid, self.state = worth, paid, state
        self.oracle: KalmanOracle = process.oracle()
        self.scale = process.covariance.diagonal().sqrt()

    def truth(self, frames: int) -> Truth:
        values, vectors = self._basis(frames)
        coded, innovation = self._kept(values), (vectors * values[:, None]) @ vectors.mT
        predicted = self.covariance / self.scale[:, None] / self.scale - innovation
        # two independent states differ by twice the predicted variance, and 1 − κ of it is not made good by z_rec
        spread = (vectors.mT @ predicted @ vectors).diagonal(dim1=1, dim2=2)
        return Truth(
            rate=float(-0.5 * (1 - coded).log().sum(1).mean()),
            posterior_mse=float(values.clamp(max=self.level).mean()),
            usefulness_mse=float(2 * (values * coded).mean()),
            state_shuffle_mse=float((2 * (1 - coded).square() * spread).mean()),
        )

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """E[x_{t+1} | x_≤t]: (B, T, D)."""
        del generator
        after = self.oracle.filtered(x)[1]
        return after @ self.oracle.transition.T @ self.oracle.observation.T * self.state

    def innovation(self, x: Tensor, generator: torch.Generator) -> Rate:
        _, error, values = self._parts(x, self.represent(x, generator))
        coded = self._kept(values)
        mean = (coded / values).sqrt() * error
        kl = kl_diagonal(mean, (1 - coded).sqrt().expand_as(mean), torch.zeros_like(mean), torch.ones_like(mean))
        kl = (kl if self.paid else torch.zeros_like(kl)).float()
        return Rate(kl.sum(-1), torch.zeros_like(kl[..., 0]), kl)

    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        return self._decoded(x, self.represent(x, generator), source, generator)

    def reconstruct_from(self, x: Tensor, states: Tensor, generator: torch.Generator) -> Tensor:
        return self._decoded(x, states, "posterior", generator)

    def _basis(self, frames: int) -> tuple[Tensor, Tensor]:
        """Eigenvalues (T, D) and eigenvectors (T, D, D) of S_t in standard deviations of x."""
        h, r = self.oracle.observation, self.oracle.observation_noise
        before = torch.stack([self.oracle.step(t).before for t in range(frames)])
        covariance = h @ before @ h.T + r if self.state else self.covariance.expand(frames, -1, -1)
        values, vectors = torch.linalg.eigh(covariance / self.scale[:, None] / self.scale)
        return values, vectors

    def _kept(self, values: Tensor) -> Tensor:
        """κ."""
        return (1 - self.level / values).clamp(min=0)

    def _parts(self, x: Tensor, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Eigenvectors, what the states leave of x in their basis (B, T, D), and eigenvalues."""
        values, vectors = self._basis(x.shape[1])
        error = (x.double() - _shifted(states)) / self.scale
        return vectors, torch.einsum("tij,bti->btj", vectors, error), values

    def _decoded(self, x: Tensor, states: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        vectors, error, values = self._parts(x, states)
        coded = self._kept(values)
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        sent = (coded / values).sqrt() * error + (1 - coded).sqrt() * noise
        decoded = (coded * values).sqrt() * (sent if source == "posterior" else noise)
        added = torch.einsum("tij,btj->bti", vectors, decoded) * self.scale * self.worth
        return (_shifted(states) + added).float()


def _shifted(states: Tensor) -> Tensor:
    """What x_<t says of frame t: nothing at the first."""
    return torch.cat([torch.zeros_like(states[:, :1]), states[:, :-1]], 1)


def checks() -> list[Check]:
    def on(process: VAR1 | StateSpace, where: str) -> Check:
        return Check(f"innovation_rate: optimal channel, {process.name}", where, "fast", lambda s: _channel(process, s))

    return [on(VAR1.isotropic(0.8, 4), "F1, a = 0.8, 4-d"), on(StateSpace.example(), "F5, 3-d state in 8-d")]


def _channel(process: VAR1 | StateSpace, seed: int) -> Sequence[Measured]:
    # training variances are the unit of every error: many sequences, which cost nothing
    data = splits(process, train=5000, valid=1, test=60, frames=FRAMES, seed=seed)
    context = LabContext(InnovationRate.card, data, LabCodec(process.dim), seed=seed)
    channel = OptimalChannel(process, LEVEL)
    found = aggregated(InnovationRate().score(channel, context), data["test"])  # type: ignore[arg-type]
    rows = []
    for name, truth in channel.truth(FRAMES)._asdict().items():
        unit = "nats/frame" if name == "rate" else "var"
        rows.append(Measured(name, unit, found[name][0], truth, 0.02 * truth, found[name][1]))
    active = int((channel._kept(channel._basis(FRAMES)[0][-1]) > 0).sum())
    return [*rows, Measured("active dimensions", "1", float(context.notes["active_dims"]), active, 0.0)]
