"""F3, symbols that only a memory can predict: an order-2 lookup source, and a book of motifs.

`Lookup`: v_t = T[v_{t−2}, v_{t−1}] with probability 1 − ε, otherwise uniform over V symbols; T is a random table.
`MotifBook`: motifs of L symbols, one after another, each drawn uniformly from M; the phase is uniform at frame 0.
A frame is x_t = μ_v + σ ε with random centres μ_v. σ is far below their spacing, so that x tells v and gains in x are
gains in v; the noise of x itself carries nothing.

Conventions: natural logarithms, nats per frame; `context` counts symbols of the past.

Truths of `Lookup`, with q = 1 − ε + ε/V:

* `entropy_rate` = −q ln q − (V − 1) (ε/V) ln (ε/V), whatever T is;
* `marginal_entropy`, `order1_entropy` = H(v_t | v_{t−1}): from the stationary law of pairs, by power iteration;
  both depend on T;
* `horizon_entropy(k)` = H(v_{t+k} | v_t, v_{t−1}, …); `gain(k)` = `marginal_entropy` − `horizon_entropy(k)`;
* `order1_gain` = `marginal_entropy` − `order1_entropy`: the best without more than one symbol of memory;
* `nll` and `marginal_nll` of x: the entropies and those of N(0, σ² I);
* `cluster_ratio` and `cluster_ratio_x`: Var(Δ | v_{t−1}, v_t) / Var Δ of Δ = x_{t+1} − x_t, and the same of x_{t+1}.

Truths of `MotifBook`: `entropy_rate` = ln M / L; `context_entropy(context)` = H(v_t | the last c symbols) by the
forward algorithm over (motif, place) on every string that occurs; `marginal_entropy` = `context_entropy(0)`;
`gain` = `marginal_entropy` − `entropy_rate`, of an infinite past, and `context_gain(context)` of a finite one.

References:
    Rabiner 1989, "A tutorial on hidden Markov models", Proceedings of the IEEE 77(2).
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from bench.calibration.oracles import normal
from bench.calibration.process import Truths, looked_up

SETTLED = 1e-14
"""Largest change of a stationary probability in one power iteration, relative to the largest."""
MOST_STRINGS = 300_000
"""Strings that `context_entropy` will look at."""


class _Symbols:
    """The latent form of a source of symbols."""

    def __init__(self, symbols: int, dim: int, noise: float, generator: torch.Generator) -> None:
        self.symbols, self.dim, self.noise = symbols, dim, noise
        self.centres = normal((symbols, dim), generator)

    def latents(self, v: Tensor, generator: torch.Generator) -> Tensor:
        """μ_v + σ ε: symbols (n, T) → (n, T, D)."""
        return (self.centres[v] + self.noise * normal((*v.shape, self.dim), generator)).float()

    def nearest(self, x: Tensor) -> Tensor:
        """The symbols of latents: (n, T, D) → (n, T)."""
        return torch.cdist(x.double().flatten(0, 1), self.centres).argmin(-1).reshape(x.shape[:2])

    @property
    def noise_entropy(self) -> float:
        """½ D ln 2πe σ²."""
        return 0.5 * self.dim * math.log(2 * math.pi * math.e * self.noise**2)


class Lookup(_Symbols):
    """Process F3, the lookup source.

    Args:
        symbols: V.
        epsilon: ε in (0, 1]; V − 1 of V errors change the symbol.
        dim: D of the latents.
        noise: σ.
        seed: of the table and the centres.
    """

    name = "F3"

    def __init__(
        self, symbols: int = 64, epsilon: float = 0.1, dim: int = 8, noise: float = 0.05, seed: int = 0
    ) -> None:
        rng = torch.Generator().manual_seed(seed)
        self.table = torch.randint(symbols, (symbols, symbols), generator=rng)
        self.epsilon = epsilon
        super().__init__(symbols, dim, noise, rng)

    def draw(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """Symbols (n, frames), stationary from frame 0."""
        pair = torch.multinomial(self.pairs.flatten(), n, replacement=True, generator=generator)
        v = [pair // self.symbols, pair % self.symbols]
        errs = torch.rand(n, frames, generator=generator) < self.epsilon
        random = torch.randint(self.symbols, (n, frames), generator=generator)
        for t in range(2, frames):
            v.append(torch.where(errs[:, t], random[:, t], self.table[v[-2], v[-1]]))
        return torch.stack(v, 1)[:, :frames]

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """Latents (n, frames, D)."""
        return self.latents(self.draw(n, frames, generator), generator)

    def truth(self, metric: str, **at: float) -> float:
        return looked_up(self.name, self.truths, metric, **at)

    @cached_property
    def truths(self) -> Truths:
        """Metric → its closed form, or its value from the stationary law."""
        low, size = self.epsilon / self.symbols, self.symbols
        right = 1 - self.epsilon + low
        rate = -right * math.log(right) - ((size - 1) * low * math.log(low) if low > 0 else 0.0)
        first = _entropy(self.pairs.sum(0))
        order1 = _entropy(self.pairs) - first
        return {
            "entropy_rate": lambda: rate,
            "marginal_entropy": lambda: first,
            "order1_entropy": lambda: order1,
            "horizon_entropy": self._horizon_entropy,
            "gain": lambda k: first - self._horizon_entropy(k),
            "order1_gain": lambda: first - order1,
            "nll": lambda k: self._horizon_entropy(k) + self.noise_entropy,
            "marginal_nll": lambda: first + self.noise_entropy,
            "cluster_ratio": lambda: self._cluster_ratio(steps=True),
            "cluster_ratio_x": lambda: self._cluster_ratio(steps=False),
        }

    def _cluster_ratio(self, steps: bool) -> float:
        """Of both, over the stationary law of triples; the noise of x_t, which no symbol tells, stays in Δ's cells."""
        triples = self.pairs[..., None] * self.given
        target = self.centres.expand(self.symbols, -1, -1) - (self.centres[:, None] if steps else 0.0)
        noise = self.dim * self.noise**2 * (2 if steps else 1)
        mean = torch.einsum("abc,bcd->abd", self.given, target)
        within = torch.einsum("abc,bcd->", triples, target.square()) - (self.pairs[..., None] * mean.square()).sum()
        overall = torch.einsum("abc,bcd->d", triples, target)
        total = torch.einsum("abc,bcd->", triples, target.square()) - overall.square().sum()
        return float((within + noise) / (total + noise))

    @cached_property
    def given(self) -> Tensor:
        """p(v_t | v_{t−2}, v_{t−1}): (V, V, V)."""
        p = torch.full((self.symbols,) * 3, self.epsilon / self.symbols, dtype=torch.float64)
        return p.scatter_add(-1, self.table[..., None], torch.full_like(p[..., :1], 1 - self.epsilon))

    @cached_property
    def pairs(self) -> Tensor:
        """Stationary p(v_{t−1}, v_t): (V, V)."""
        p = torch.full((self.symbols,) * 2, 1 / self.symbols**2, dtype=torch.float64)
        while True:
            moved = torch.einsum("ab,abc->bc", p, self.given)
            if float((moved - p).abs().max()) < SETTLED * float(p.max()):
                return moved / moved.sum()
            p = moved

    def _horizon_entropy(self, k: float) -> float:
        ahead = self.given
        for _ in range(int(k) - 1):
            ahead = torch.einsum("abc,bcd->abd", self.given, ahead)
        return float((self.pairs * -torch.special.xlogy(ahead, ahead).sum(-1)).sum())


class MotifBook(_Symbols):
    """Process F3, the book of motifs.

    Args:
        motifs: M.
        length: L, symbols of a motif.
        symbols: V.
        dim: D of the latents.
        noise: σ.
        seed: of the motifs and the centres.

    Raises:
        ValueError: more motifs than there are strings of their length.
    """

    name = "F3 motifs"

    def __init__(
        self, motifs: int = 16, length: int = 4, symbols: int = 8, dim: int = 4, noise: float = 0.05, seed: int = 0
    ) -> None:
        if motifs > symbols**length:
            raise ValueError(f"F3 motifs: expected at most {symbols**length} motifs, got {motifs}")
        rng = torch.Generator().manual_seed(seed)
        book: dict[tuple[int, ...], None] = {}
        while len(book) < motifs:
            # a repeated motif would lower the entropy rate
            book[tuple(torch.randint(symbols, (length,), generator=rng).tolist())] = None
        self.book = torch.tensor(list(book))
        super().__init__(symbols, dim, noise, rng)

    def draw(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """Symbols (n, frames), stationary from frame 0."""
        motifs, length = self.book.shape
        chosen = torch.randint(motifs, (n, frames // length + 2), generator=generator)
        phase = torch.randint(length, (n, 1), generator=generator)
        return self.book[chosen].flatten(1).gather(1, phase + torch.arange(frames))

    def sample(self, n: int, frames: int, generator: torch.Generator) -> Tensor:
        """Latents (n, frames, D)."""
        return self.latents(self.draw(n, frames, generator), generator)

    def log_prob(self, v: Tensor) -> Tensor:
        """ln p(v_t | v_<t) of symbols (n, T), the phase unknown at first: (n, T)."""
        belief = self._start.expand(len(v), -1)
        out = []
        for t in range(v.shape[1]):
            joint = (belief if t == 0 else self._moved(belief)) * self._says[v[:, t]]
            total = joint.sum(-1, keepdim=True)
            out.append(total[:, 0].log())
            belief = joint / total
        return torch.stack(out, 1)

    def truth(self, metric: str, **at: float) -> float:
        return looked_up(self.name, self.truths, metric, **at)

    @cached_property
    def truths(self) -> Truths:
        """Metric → its closed form, or its sum over every string."""
        motifs, length = self.book.shape
        rate = math.log(motifs) / length
        context = lambda context: self._blocks(int(context) + 1) - self._blocks(int(context))  # noqa: E731
        return {
            "entropy_rate": lambda: rate,
            "context_entropy": context,
            "marginal_entropy": lambda: self._blocks(1),
            "gain": lambda: self._blocks(1) - rate,
            "context_gain": lambda context: (
                self._blocks(1) - self._blocks(int(context) + 1) + self._blocks(int(context))
            ),
        }

    @property
    def _start(self) -> Tensor:
        """Uniform over (motif, place), flat: (M L,)."""
        return torch.full((self.book.numel(),), 1 / self.book.numel(), dtype=torch.float64)

    @cached_property
    def _says(self) -> Tensor:
        """1 where a (motif, place) emits a symbol: (V, M L)."""
        return torch.nn.functional.one_hot(self.book.flatten(), self.symbols).T.double()

    def _moved(self, belief: Tensor) -> Tensor:
        """One place on: (n, M L) → (n, M L)."""
        b = belief.unflatten(-1, tuple(self.book.shape))
        ends = b[..., -1].mean(-1, keepdim=True).expand(*b.shape[:-1])
        return torch.cat([ends[..., None], b[..., :-1]], -1).flatten(-2)

    def _blocks(self, size: int) -> float:
        """H of `size` symbols in a row, over every string that occurs."""
        return _block_entropy(self, size)


@lru_cache(maxsize=64)
def _block_entropy(book: MotifBook, size: int) -> float:
    forward = book._start[None]
    for step in range(size):
        moved = forward if step == 0 else book._moved(forward)
        forward = (moved[:, None] * book._says).flatten(0, 1)
        forward = forward[forward.sum(-1) > 0]
        if len(forward) > MOST_STRINGS:
            raise ValueError(
                f"{book.name}: expected at most {MOST_STRINGS} strings of {size} symbols; shorten the context"
            )
    return _entropy(forward.sum(-1)) if size else 0.0


def _entropy(p: Tensor) -> float:
    """−Σ p ln p."""
    return float(-torch.special.xlogy(p, p).sum())
