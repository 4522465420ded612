"""How far the decoded audio is from the recording: as the codec is used, at its own rate, and with noise added.

Distortion is the log-mel L1 of `bench.metrics.distortion` against the recording, log10, one value an utterance.
Noise: y = x + σ n, n ~ N(0, I), decoded from the linear estimate of x given y. σ is a share of the latents'
root-mean-square standard deviation, as the dither of `delta_nll` is. What y tells about x is a rate that exists for
every bottleneck alike; `benchmarks.pressure.predict` measures it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bench.codecs.minicodec_model import SAMPLE_RATE
from bench.contract import Dataset, LatentUtterance
from bench.metrics.distortion import Array, log_mel
from bench.seeding import generator
from benchmarks.pressure.bottlenecks import FSQ
from benchmarks.pressure.codec import PressedCodec

Values = dict[str, float]
SHARES = (0.03, 0.06, 0.12, 0.25, 0.5, 1.0)
"""Between the nearest two of them the distortion is taken as linear in log share, for the first guess."""
TOLERANCE = 0.003
"""Of the target, within which the mean distortion at the share found must lie."""
TRIES = 6


@dataclass(frozen=True)
class Moments:
    """Mean (D,) and covariance (D, D) of training latents."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, train: Sequence[LatentUtterance]) -> Moments:
        frames = torch.cat([u.x for u in train])
        return cls(frames.mean(0), torch.cov(frames.T))

    @property
    def spread(self) -> float:
        """Root-mean-square standard deviation of the dimensions."""
        return float(self.covariance.diagonal().mean().sqrt())

    def estimate(self, y: Tensor, sigma: float) -> Tensor:
        """Linear least-squares estimate of x from y = x + σ n."""
        noisy = self.covariance + sigma**2 * torch.eye(len(self.mean))
        gain = torch.linalg.solve(noisy, self.covariance)
        return self.mean + (y - self.mean) @ gain


class Listener:
    """Distances of decoded latents from a test split's recordings."""

    def __init__(self, codec: PressedCodec, dataset: Dataset, test: Sequence[LatentUtterance], seed: int) -> None:
        self.codec, self.seed = codec, seed
        self.x = {u.id: u.x for u in test}
        known = {u.id: u for u in dataset.utterances("test")}
        self.audio = {i: dataset.audio(known[i], SAMPLE_RATE) for i in self.x}
        self._spectra: dict[str, Array] = {}

    @property
    def frames(self) -> Values:
        """Utterance → frames, the weights of means."""
        return {i: float(len(x)) for i, x in self.x.items()}

    def distance(self, name: str, latents: Tensor) -> float:
        """Log-mel L1 of the decoding of latents (T, D) from the recording `name`."""
        samples = self.codec.decode(latents[None])[0, 0].numpy()
        if name not in self._spectra:
            self._spectra[name] = log_mel(self.audio[name])
        return float(np.abs(log_mel(samples[: len(self.audio[name])]) - self._spectra[name]).mean())

    def clean(self) -> Values:
        """With the latents as the codec exposes them."""
        return {i: self.distance(i, x) for i, x in self.x.items()}

    def own_channel(self) -> tuple[Values, dict[str, Tensor] | None]:
        """With what the decoder received in training, and the rate of that by dimension where there is one."""
        mel: Values = {}
        rates: dict[str, Tensor] = {}
        for name, audio in self.audio.items():
            mean, log_var = self.codec.posterior(torch.from_numpy(np.ascontiguousarray(audio))[None, None])
            received, _ = self.codec.bottleneck.channel(mean, log_var, generator(self.seed, "own", name))
            mel[name] = self.distance(name, received[0])
            if (nats := self.codec.bottleneck.nats(mean, log_var)) is not None:
                rates[name] = nats
        return mel, rates or None

    def noisy(self, share: float, moments: Moments, names: Sequence[str] | None = None) -> Values:
        """With noise of `share` of the spread; the same draws at every share."""
        sigma = share * moments.spread
        out = {}
        for name in self.x if names is None else names:
            x = self.x[name]
            noise = torch.randn(x.shape, generator=generator(self.seed, "noise", name))
            out[name] = self.distance(name, moments.estimate(x + sigma * noise, sigma))
        return out


def mean(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """Weighted mean over utterances."""
    return float(np.average(list(values.values()), weights=[weights[i] for i in values]))


def matched_share(listener: Listener, moments: Moments, target: float) -> tuple[float, Values] | str:
    """The share at which the mean distortion over all test utterances is `target`, and the distortions there.

    A first guess on every eighth utterance, then secants on all; where the target is not reached, the reason.
    """
    weights = listener.frames
    some = list(listener.x)[::8]
    rough = [mean(listener.noisy(s, moments, some), weights) for s in SHARES]
    if rough[-1] < target:
        return f"not reached: {target:g} is above the distortion with as much noise as signal, {rough[-1]:.3f}"
    after = max(1, next(i for i, d in enumerate(rough) if d >= target))
    steps = [math.log(s) for s in SHARES[after - 1 : after + 1]]
    slope = (steps[1] - steps[0]) / max(rough[after] - rough[after - 1], 1e-6)
    at = steps[0] + slope * (target - rough[after - 1])
    for _ in range(TRIES):
        share = math.exp(min(max(at, math.log(SHARES[0]) - 2), math.log(SHARES[-1])))
        found = listener.noisy(share, moments)
        off = target - mean(found, weights)
        if abs(off) <= TOLERANCE * target:
            return share, found
        at = math.log(share) + slope * off
    return f"not reached: {target:g}, at share {share:.3g} the distortion is {target - off:.3f}"


def code_rates(fsq: FSQ, train: Sequence[LatentUtterance], test: Sequence[LatentUtterance]) -> dict[str, Values]:
    """Ideal code lengths of the test split, nats per frame, under frequencies of the training split.

    `unigram`: of each dimension's levels; `bigram`: given the same dimension's level one frame earlier. Both with
    half a count added (Krichevsky and Trofimov 1981); dimensions are coded apart, so that both are upper bounds.
    The first frame of an utterance has no predecessor and is left out of both.
    """
    levels = fsq.levels
    dims = train[0].x.shape[1]
    offsets = torch.arange(dims) * levels * levels
    counts = torch.zeros(dims * levels * levels, dtype=torch.float64)
    for u in train:
        codes = fsq.codes(u.x)
        pairs = codes[:-1] * levels + codes[1:] + offsets
        counts += torch.bincount(pairs.flatten(), minlength=len(counts))
    joint = counts.reshape(dims, levels, levels)
    single = joint.sum(1) + 0.5
    unigram = -(single / single.sum(-1, keepdim=True)).log()
    bigram = -((joint + 0.5) / (joint + 0.5).sum(-1, keepdim=True)).log()
    out: dict[str, Values] = {"unigram": {}, "bigram": {}}
    each = torch.arange(dims)
    for u in test:
        codes = fsq.codes(u.x)
        out["unigram"][u.id] = float(unigram[each, codes[1:]].sum(-1).mean())
        out["bigram"][u.id] = float(bigram[each, codes[:-1], codes[1:]].sum(-1).mean())
    return out
