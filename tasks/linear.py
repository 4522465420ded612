"""Diagnostics of `delta_nll` by the linear-Gaussian closed form: never ranked, exact on linear processes.

For a window of the last states, with full residual covariance and a full-covariance Gaussian marginal:

* `linear_gain`: target x_{t+k}, the floor that the probe must beat;
* `increment_gain`: target x_{t+k} − x_t, the note's k-step increment;
* `stale_gain`: target x_{t+k} − x_{t+k−1}, the note's one-step Δx from a context that ends k frames before;
* `increment_null`, `stale_null`: the same on frames permuted over the whole split, where nothing is predictable:
  (D/2) ln 2 at least for the increment, and for the stale Δx at k = 1; 0 for it beyond;
* `increment_offset`: h(Δ) − h(x), by the two Gaussian marginals on the same frames. Where the state holds x_t,
  h(Δ | z) = h(x | z), and gain_Δ − gain_x is this offset exactly; what is left over is a note;
* `self_gain`: target z_{t+k}, the state's prediction of itself. It grows without bound for a state that repeats its
  own past, and says nothing about x.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from bench.contract import Context, LatentUtterance, Score, Skipped, Submission
from bench.metrics.gaussian import LinearGaussian
from tasks.columns import Values, scored
from tasks.states import exposed, permuted
from tasks.targets import Targets

Target = Callable[[Tensor, int], Tensor]
Nats = tuple[dict[str, Values], dict[str, Values]]
"""NLL given the window and of the marginal, each by horizon and utterance."""
MOST_CONTEXT = 512
"""Dimensions of a window; a wide state is read from fewer frames, which a note says."""


def absolute(x: Tensor, k: int) -> Tensor:
    """x_{t+k} for t = 0 … T − k − 1."""
    return x[k:]


def increment(x: Tensor, k: int) -> Tensor:
    """x_{t+k} − x_t."""
    return x[k:] - x[:-k]


def stale(x: Tensor, k: int) -> Tensor:
    """x_{t+k} − x_{t+k−1}."""
    return x[k:] - x[k - 1 : -1]


class LinearDiagnostics:
    """Fits on the training split, scores the test split.

    Args:
        horizons: milliseconds → frames.
        context: its parameter `linear_window` is the number of states read.
        targets: what is predicted.
    """

    def __init__(self, horizons: Mapping[int, int], context: Context, targets: Targets) -> None:
        self.horizons, self.context, self.targets = horizons, context, targets
        self.train, self.test = targets.splits["train"], targets.splits["test"]
        self.window = int(context.parameters["linear_window"])

    def score(self, submission: Submission, states: Mapping[str, dict[str, Tensor]]) -> list[Score | Skipped]:
        """Seven columns for each horizon; notes: the offset and what is left over, the window."""
        known = {**states["train"], **states["test"]}
        width = next(iter(known.values())).shape[1]
        self.window = max(1, min(self.window, MOST_CONTEXT // max(1, width)))
        self.context.note("linear_window", self.window)
        train, test = self.train, self.test
        nats = {d.__name__: self._nats(d, train, test, known) for d in (absolute, increment, stale)}
        out = []
        for name, by_ms in (("linear_gain", "absolute"), ("increment_gain", "increment"), ("stale_gain", "stale")):
            out += self._columns(name, *nats[by_ms])
        out += self._offset(nats["absolute"], nats["increment"])
        train, test, nothing = self._permuted(submission)
        for name, target in (("increment_null", increment), ("stale_null", stale)):
            out += self._columns(name, *self._nats(target, train, test, nothing))
        return out + self._self_columns(states)

    def _nats(
        self,
        target: Target,
        train: Sequence[LatentUtterance],
        test: Sequence[LatentUtterance],
        states: Mapping[str, Tensor],
    ) -> Nats:
        """Per horizon and utterance the mean NLL given the window, and that of the Gaussian marginal."""
        conditional: dict[str, Values] = {}
        marginal: dict[str, Values] = {}
        for ms, k in self.horizons.items():
            fitted, scored_on = ([self._pair(u, target, states[u.id], k) for u in us] for us in (train, test))
            contexts, ys = (torch.cat([pair[side] for pair in fitted]) for side in (0, 1))
            c, y = (torch.cat([pair[side] for pair in scored_on]) for side in (0, 1))
            counts = [len(pair[1]) for pair in scored_on]
            for out, reads in ((conditional, contexts.shape[1]), (marginal, 0)):
                nll = -LinearGaussian(contexts[:, :reads], ys).log_prob(c[:, :reads], y)
                each = zip(test, nll.split(counts), strict=True)
                out[f"{ms}ms"] = {u.id: float(part.mean()) for u, part in each if len(part)}
        return conditional, marginal

    def _pair(self, u: LatentUtterance, target: Target, z: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """States t − window + 1 … t side by side, and the target, for every t that has both."""
        count = max(0, len(z) - k - self.window + 1)
        newest_first = [z[self.window - 1 - i : self.window - 1 - i + count] for i in range(self.window)]
        if not count:
            return z.new_zeros(0, self.window * z.shape[1]), u.x[:0]
        return torch.cat(newest_first, dim=1), target(u.x, k)[self.window - 1 :]

    def _columns(self, name: str, conditional: dict[str, Values], marginal: dict[str, Values]) -> list[Score | Skipped]:
        """Marginal minus conditional."""
        out = []
        for ms, k in self.horizons.items():
            gains = {i: marginal[f"{ms}ms"][i] - nll for i, nll in conditional[f"{ms}ms"].items()}
            out.append(scored(f"{name}_{ms}ms", gains, self.test, self.window - 1 + k))
        return out

    def _offset(self, x: Nats, delta: Nats) -> list[Score | Skipped]:
        """h(Δ) − h(x) of the marginals on the test frames; the note holds it beside the difference of the two gains,
        what is left over of that (h(x | z) − h(Δ | z), zero where the state holds x_t), and the same log-determinants
        of the training split."""
        rows = {}
        for ms, k in self.horizons.items():
            frames = {u.id: float(len(u.x) - k - self.window + 1) for u in self.test}
            (x_given, x_alone), (d_given, d_alone) = ((s[0][f"{ms}ms"], s[1][f"{ms}ms"]) for s in (x, delta))
            if not x_given:
                continue
            alone, given = (_mean(d, frames) - _mean(s, frames) for d, s in ((d_alone, x_alone), (d_given, x_given)))
            rows[f"{ms}ms"] = {
                "gain_difference": alone - given,
                "entropy_difference": alone,
                "of_training_covariances": _gaussian_offset(self.train, k),
                "left_over": -given,
            }
        self.context.note("increment_offset_nats", rows)
        return self._columns("increment_offset", x[1], delta[1])

    def _permuted(
        self, submission: Submission
    ) -> tuple[list[LatentUtterance], list[LatentUtterance], dict[str, Tensor]]:
        """Targets of both splits on permuted frames, and what the submission exposes on the same frames."""
        splits: dict[str, list[LatentUtterance]] = {}
        nothing: dict[str, Tensor] = {}
        for split, made in (("train", self.train), ("test", self.test)):
            latents, splits[split] = (
                permuted(utterances, self.context.generator("permuted", split))
                for utterances in (self.context.latents(split), made)
            )
            nothing |= exposed(submission, self.context, latents, f"null states of {split}", "null")
        return splits["train"], splits["test"], nothing

    def _self_columns(self, states: Mapping[str, dict[str, Tensor]]) -> list[Score | Skipped]:
        """The linear gain of z_{t+k} itself, dimensions in training standard deviations, constant ones left out."""
        every = torch.cat(list(states["train"].values()))
        keep = every.std(0) > 1e-6 * every.abs().amax(0)
        names = [f"self_gain_{ms}ms" for ms in self.horizons]
        if not keep.any():
            return [Skipped("the exposed state is constant", name) for name in names]
        spread = every[:, keep].std(0)
        z = {i: one[:, keep] / spread for split in ("train", "test") for i, one in states[split].items()}
        train, test = ([LatentUtterance(u.id, u.speaker, z[u.id]) for u in us] for us in (self.train, self.test))
        try:
            nats = self._nats(absolute, train, test, z)
        except torch.linalg.LinAlgError:
            return [Skipped("the exposed state is a function of its own past: no density exists", n) for n in names]
        return self._columns("self_gain", *nats)


def _gaussian_offset(train: Sequence[LatentUtterance], k: int) -> float:
    """½ ln |Cov Δ| / |Cov x| of the training split."""
    long = [u.x.double() for u in train if len(u.x) > k]
    delta, x = (torch.cat([f(one, k) for one in long]) for f in (increment, absolute))
    halves = [0.5 * torch.logdet(torch.atleast_2d(torch.cov(y.T))) for y in (delta, x)]
    return float(halves[0] - halves[1])


def _mean(by_id: Mapping[str, float], frames: Mapping[str, float]) -> float:
    weight = sum(frames[i] for i in by_id)
    return sum(value * frames[i] for i, value in by_id.items()) / weight
