"""F4, increments whose direction, or whose magnitude, or now one and now the other, is predictable.

x_t = m_t u_t with ‖u_t‖ = 1 *is the increment*: a path of such increments wanders, so that only they have a stationary
law. ln m_t ~ N(½ ln d − s², s²), hence E ‖x‖² = d. Nats per frame, natural logarithms; directions against the surface
measure, magnitudes against that of ln m. The Jacobian of (u, ln m) is the same in marginal and conditional, so that
gains add: `gain` = `direction_gain` + `magnitude_gain`.

* F4a, `Directions`: u_t ~ vMF(R u_{t−1}, κ) with R a rotation; ln m_t independent.
  `direction_gain(k)` for k = 1 alone: ln C_d(κ) + κ A_d(κ) + ln |S^{d−1}| (further ahead the law is no vMF);
  `direction_cosine(k)` = A_d(κ)^k, of u_{t+k} and R^k u_t; `r2(k)` = e^{−s²} A_d(κ)^{2k}; `magnitude_…` 0.
* F4b, `Magnitudes`: u_t uniform; ln m_t = φ ln m_{t−1} + … about its mean.
  `magnitude_gain(k)` = −½ ln (1 − φ^{2k}); `magnitude_r2(k)` = φ^{2k}, of ln m; `direction_…` 0, `r2(k)` 0.
* F4c, `Alternating`: a hidden regime that stays with probability p; in one frames follow F4a, in the other F4b.
  `log_prob` is exact, by the forward algorithm. Its entropy rate has no closed form; truths for k = 1:
  `informed_gain` = `informed_direction_gain` + `informed_magnitude_gain`, of who is told the regime of every frame,
  half of the two gains above; and
  `least_gain` = `informed_gain` − ln 2 < gain ≤ `informed_gain`, as a regime is worth at most its entropy.

References:
    Mardia and Jupp 2000, "Directional statistics"; Hamilton 1989, "A new approach to the economic analysis of
    nonstationary time series and the business cycle", Econometrica 57 (forward algorithm with autoregression).
"""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from bench.calibration.oracles import normal
from bench.calibration.process import Truths, looked_up
from bench.metrics import vmf


class _Polar:
    """What the three share: the stationary law of ln m, and paths of (u, ln m)."""

    def __init__(self, dim: int, spread: float) -> None:
        self.dim, self.spread = dim, spread
        self.level = 0.5 * math.log(dim) - spread**2

    def _joined(self, u: Tensor, log_m: Tensor) -> Tensor:
        return (u * log_m.exp()[..., None]).float()

    def _log_m(self, phi: float, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """Stationary ln m (n, frames)."""
        shocks = self.spread * normal((n, frames), generator)
        path = [shocks[:, 0]]
        for t in range(1, frames):
            path.append(phi * path[-1] + math.sqrt(1 - phi * phi) * shocks[:, t])
        return self.level + torch.stack(path, 1)

    def _log_normal(self, value: Tensor, mean: Tensor | float, scale: float) -> Tensor:
        return -0.5 * ((value - mean) / scale).square() - math.log(scale) - 0.5 * math.log(2 * math.pi)


class Directions(_Polar):
    """Process F4a.

    Args:
        dim: d ≥ 2.
        kappa: κ.
        spread: s, of ln m.
        seed: of the rotation.
    """

    name = "F4a"

    def __init__(self, dim: int = 8, kappa: float = 20.0, spread: float = 0.5, seed: int = 0) -> None:
        super().__init__(dim, spread)
        self.kappa, self.rotation = kappa, rotation(dim, seed)

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """Increments (n, frames, d), stationary from frame 0."""
        cosine = vmf.sample_cosine(self.kappa, self.dim, (n, frames), generator)
        u = [uniform((n, self.dim), generator)]
        for t in range(1, frames):
            u.append(vmf.around(u[-1] @ self.rotation.T, cosine[:, t], generator))
        return self._joined(torch.stack(u, 1), self._log_m(0.0, n, frames, generator))

    def truth(self, metric: str, **at: float) -> float:
        return looked_up(self.name, self.truths, metric, **at)

    @cached_property
    def truths(self) -> Truths:
        """Metric → its closed form."""
        cosine = float(vmf.mean_cosine(torch.tensor(self.kappa), self.dim))
        return {
            "direction_gain": lambda k: direction_gain(self.kappa, self.dim, k),
            "gain": lambda k: direction_gain(self.kappa, self.dim, k),
            "direction_cosine": lambda k: cosine**k,
            "r2": lambda k: math.exp(-(self.spread**2)) * cosine ** (2 * k),
            "magnitude_gain": lambda k: 0.0,
            "magnitude_r2": lambda k: 0.0,
        }


class Magnitudes(_Polar):
    """Process F4b.

    Args:
        dim: d ≥ 2.
        phi: φ.
        spread: s, of ln m.
    """

    name = "F4b"

    def __init__(self, dim: int = 8, phi: float = 0.8, spread: float = 0.5) -> None:
        super().__init__(dim, spread)
        self.phi = phi

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """Increments (n, frames, d), stationary from frame 0."""
        u = uniform((n, frames, self.dim), generator)
        return self._joined(u, self._log_m(self.phi, n, frames, generator))

    def truth(self, metric: str, **at: float) -> float:
        return looked_up(self.name, self.truths, metric, **at)

    @cached_property
    def truths(self) -> Truths:
        """Metric → its closed form."""
        return {
            "magnitude_gain": lambda k: -0.5 * math.log(1 - self.phi ** (2 * k)),
            "gain": lambda k: -0.5 * math.log(1 - self.phi ** (2 * k)),
            "magnitude_r2": lambda k: self.phi ** (2 * k),
            "direction_gain": lambda k: 0.0,
            "direction_cosine": lambda k: 0.0,
            "r2": lambda k: 0.0,
        }


class Alternating(_Polar):
    """Process F4c.

    Args:
        dim: d ≥ 2.
        kappa: κ of the first regime.
        phi: φ of the second.
        stay: p, probability that a regime goes on.
        spread: s, of ln m in both.
        seed: of the rotation.
    """

    name = "F4c"

    def __init__(
        self,
        dim: int = 8,
        kappa: float = 20.0,
        phi: float = 0.8,
        stay: float = 0.95,
        spread: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__(dim, spread)
        self.kappa, self.phi, self.stay, self.rotation = kappa, phi, stay, rotation(dim, seed)

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """Increments (n, frames, d), stationary from frame 0."""
        stays = torch.rand(n, frames, generator=generator) < self.stay
        regime = torch.rand(n, generator=generator) < 0.5
        cosine = vmf.sample_cosine(self.kappa, self.dim, (n, frames), generator)
        shocks = self.spread * normal((n, frames), generator)
        u, deviation = [uniform((n, self.dim), generator)], [shocks[:, 0]]
        for t in range(1, frames):
            regime = torch.where(stays[:, t], regime, ~regime)
            turned = vmf.around(u[-1] @ self.rotation.T, cosine[:, t], generator)
            u.append(torch.where(regime[:, None], uniform((n, self.dim), generator), turned))
            follows = self.phi * deviation[-1] + math.sqrt(1 - self.phi**2) * shocks[:, t]
            deviation.append(torch.where(regime, follows, shocks[:, t]))
        return self._joined(torch.stack(u, 1), self.level + torch.stack(deviation, 1))

    def log_prob(self, x: Tensor) -> Tensor:
        """ln p(u_t, ln m_t | x_<t) by the forward algorithm: increments (n, T, d) → (n, T)."""
        u, log_m = polar(x.double())
        base = -vmf.log_area(self.dim) + self._log_normal(log_m[:, :1], self.level, self.spread)
        turned = vmf.log_prob(u[:, 1:], self.kappa * u[:, :-1] @ self.rotation.T)
        follows = self.level + self.phi * (log_m[:, :-1] - self.level)
        emitted = torch.stack(
            [
                turned + self._log_normal(log_m[:, 1:], self.level, self.spread),
                self._log_normal(log_m[:, 1:], follows, self.spread * math.sqrt(1 - self.phi**2))
                - vmf.log_area(self.dim),
            ],
            -1,
        )
        other = 1 - self.stay
        moves = torch.tensor([[self.stay, other], [other, self.stay]], dtype=torch.float64).log()
        belief = torch.full((len(x), 2), math.log(0.5), dtype=torch.float64)
        out = [base[:, 0]]
        for t in range(emitted.shape[1]):
            joint = torch.logsumexp(belief[:, :, None] + moves, 1) + emitted[:, t]
            out.append(torch.logsumexp(joint, -1))
            belief = joint - out[-1][:, None]
        return torch.stack(out, 1)

    def marginal_log_prob(self, x: Tensor) -> Tensor:
        """ln p(u_t, ln m_t), of no past: (n, T, d) → (n, T)."""
        _, log_m = polar(x.double())
        return self._log_normal(log_m, self.level, self.spread) - vmf.log_area(self.dim)

    def truth(self, metric: str, **at: float) -> float:
        return looked_up(self.name, self.truths, metric, **at)

    @cached_property
    def truths(self) -> Truths:
        """Metric → its closed form."""
        direction = 0.5 * direction_gain(self.kappa, self.dim, 1)
        magnitude = -0.25 * math.log(1 - self.phi**2)
        return {
            "informed_gain": lambda: direction + magnitude,
            "informed_direction_gain": lambda: direction,
            "informed_magnitude_gain": lambda: magnitude,
            "least_gain": lambda: direction + magnitude - math.log(2),
        }


def direction_gain(kappa: float, dim: int, k: float = 1) -> float:
    """ln |S^{d−1}| minus the entropy of vMF(κ).

    Raises:
        ValueError: k other than 1.
    """
    if k != 1:
        raise ValueError(f"direction_gain: expected k = 1, got {k:g}; further ahead the law is no von Mises–Fisher one")
    return vmf.log_area(dim) - float(vmf.entropy(torch.tensor(kappa, dtype=torch.float64), dim))


def polar(x: Tensor) -> tuple[Tensor, Tensor]:
    """x (..., d) → direction (..., d) and ln ‖x‖ (...)."""
    m = x.norm(dim=-1)
    return x / m[..., None], m.log()


def uniform(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Uniform unit vectors, the last axis being d."""
    return polar(normal(shape, generator))[0]


def rotation(dim: int, seed: int) -> Tensor:
    """A random rotation (d, d), of determinant 1."""
    q = torch.linalg.qr(normal((dim, dim), torch.Generator().manual_seed(seed))).Q
    q[:, 0] *= torch.linalg.det(q).sign()
    return q
