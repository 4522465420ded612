"""Control rows: closed-form submissions whose place in every column is known beforehand.

A column in which a control stands where its docstring says it must not is measuring something else. Nothing
is trained; each offers only the capabilities it can answer, so that everything else is skipped with a reason.

Frames: (T, D), in the codec's units; densities in nats. Everything is causal, as the contract asks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from bench.contract import CodecInfo, FitContext, LatentUtterance, Likelihood, Source
from bench.metrics.gaussian import LinearGaussian
from bench.seeding import generator as seeded

KEPT = 4096
"""Training frames that are kept to be drawn from: enough for any distance between samples, at 512 kB for D = 32."""


class Control:
    """What controls share: a state of named tensors."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}

    def state(self) -> dict[str, Tensor]:
        return dict(self.tensors)

    def load_state(self, state: Mapping[str, Tensor], codec: CodecInfo, device: torch.device) -> None:
        del codec
        self.tensors = {name: tensor.to(device) for name, tensor in state.items()}

    def _keep(self, context: FitContext, **tensors: Tensor) -> None:
        self.load_state(tensors, context.codec, context.device)

    def _resampled(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Training frames drawn independently: (*shape, D)."""
        frames = self.tensors["frames"]
        return frames[torch.randint(len(frames), shape, generator=generator).to(frames.device)]


class Ceiling(Control):
    """The codec itself, `control_ceiling`: the posterior path gives x back, the prior path iid training frames.

    No submission may be better on the posterior path, and none that predicts anything worse on the prior path:
    the row holds the ceiling of the one and the floor of the other. It exposes no state and has no density.
    """

    def fit(
        self, train_set: Sequence[LatentUtterance], valid_set: Sequence[LatentUtterance], context: FitContext
    ) -> None:
        """Keep training frames to draw from."""
        del valid_set
        self._keep(context, frames=_kept(train_set, context))

    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        """Posterior: x. Prior: training frames, whatever came before."""
        return x if source == "posterior" else self._resampled(tuple(x.shape[:2]), generator)


class CopyLast(Control):
    """The last frame again, `control_copy_last`: a random walk whose state is the frame it has seen.

    A probe gains from its state what it gains from raw rows whose codec needs one frame of memory, no more than
    from any richer state. Its density is beaten wherever frames revert to a mean; its rollouts must be flagged as
    frozen, and have less energy-score skill the further ahead they go, below 0 where the process has forgotten.
    """

    likelihood: ClassVar[Likelihood] = "exact"

    def fit(
        self, train_set: Sequence[LatentUtterance], valid_set: Sequence[LatentUtterance], context: FitContext
    ) -> None:
        """Mean and covariance of frames, for the first; second moment of steps, for all others."""
        del valid_set
        steps = torch.cat([u.x[1:] - u.x[:-1] for u in train_set])
        first = _gaussian(torch.cat([u.x for u in train_set]))
        both = torch.cat([steps, -steps])  # as likely down as up: its mean is 0
        self._keep(context, mean=first[0], spread=first[1], step=_gaussian(both)[1])

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """x itself: the last frame seen, (B, T, D)."""
        del generator
        return x

    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """log N(target_t; context_{t−1}, E[ΔxΔxᵀ]); the first frame under the Gaussian marginal. (B, T)."""
        del generator
        own = self.tensors
        first = _log_normal(target[:, :1] - own["mean"], own["spread"])
        later = _log_normal(target[:, 1:] - context[:, :-1], own["step"])
        return torch.cat([first, later], 1)

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        """The prompt's last frame, repeated: (B, S, frames, D). Its best guess, without the noise of its density."""
        del generator, mean
        return prompt[:, None, -1:].expand(-1, draws, frames, -1).clone()


class Marginal(Control):
    """Frames without a past, `control_marginal`: a full-covariance Gaussian; samples are iid training frames.

    The zero of every gain and skill: nothing can be read from its state, its own gain is at most 0 within the
    interval, and so is its skill. Its rollouts lose nothing against teacher forcing, since both ignore the past.
    A model below it has learned less than nothing.
    """

    likelihood: ClassVar[Likelihood] = "exact"

    def fit(
        self, train_set: Sequence[LatentUtterance], valid_set: Sequence[LatentUtterance], context: FitContext
    ) -> None:
        """Mean and covariance of training frames, and frames to draw from."""
        del valid_set
        mean, spread = _gaussian(torch.cat([u.x for u in train_set]))
        self._keep(context, mean=mean, spread=spread, frames=_kept(train_set, context))

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Nothing: (B, T, 1) of zeros."""
        del generator
        return x.new_zeros(*x.shape[:2], 1)

    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """log N(target_t; mean, covariance), whatever the context: (B, T)."""
        del context, generator
        return _log_normal(target - self.tensors["mean"], self.tensors["spread"])

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        """(B, S, frames, D); `mean` is the training mean."""
        shape = (len(prompt), draws, frames)
        if mean:
            return self.tensors["mean"].expand(*shape, -1).clone()
        return self._resampled(shape, generator)

    def generate(self, frames: int, draws: int, generator: torch.Generator) -> Tensor:
        """(S, frames, D)."""
        return self._resampled((draws, frames), generator)

    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        """The same on both paths: it has no variables that could keep anything of x."""
        del source
        return self._resampled(tuple(x.shape[:2]), generator)


class Shuffled(Control):
    """The right frames at the wrong time, `control_shuffled`: frame t is a frame drawn from x_<t.

    A column that asks about order must put it near `control_marginal`, and what it has above that is what an
    utterance keeps for its whole length (voice, level); a column that puts it near the ceiling does not see time.
    A whole permutation would use frames that have not been seen yet, so each is drawn from those before it.
    """

    def fit(
        self, train_set: Sequence[LatentUtterance], valid_set: Sequence[LatentUtterance], context: FitContext
    ) -> None:
        """The mean frame, which stands where there is no past."""
        del valid_set
        self._keep(context, mean=torch.cat([u.x for u in train_set]).mean(0))

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """A frame of x_<t at every t: (B, T, D)."""
        return self._earlier(x, generator)

    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        """The same on both paths."""
        del source
        return self._earlier(x, generator)

    def _earlier(self, x: Tensor, generator: torch.Generator) -> Tensor:
        time = torch.arange(1, x.shape[1])
        # drawn frame by frame, so that padding does not change which are taken
        index = (torch.rand(len(time), len(x), generator=generator) * time[:, None]).long().T.to(x.device)
        start = self.tensors["mean"].expand(len(x), 1, -1)
        return torch.cat([start, x.gather(1, index[..., None].expand(-1, -1, x.shape[2]))], 1)


class Silence(Control):
    """The training frame that is repeated most, `control_silence`: in recordings with pauses, their silence.

    A submission never sees audio, so that it cannot ask the codec for the latent of zeros. Of up to 4,096
    training frames it takes the one whose hundredth of all frames is nearest around it, in whitened units: the
    densest place, which is a pause where pauses are what recurs.

    It must be flagged as collapsed, be worst on movement and on words, and lose to every model in any distance
    between waveforms or spectra. A score that it does well in rewards saying nothing.
    """

    def fit(
        self, train_set: Sequence[LatentUtterance], valid_set: Sequence[LatentUtterance], context: FitContext
    ) -> None:
        """Find the densest frame."""
        del valid_set
        frames = _kept(train_set, context)
        scaled = frames / frames.std(0).clamp(min=1e-6)
        nearest = max(1, len(frames) // 100)
        radius = [torch.cdist(part, scaled).kthvalue(nearest + 1, dim=1).values for part in scaled.split(512)]
        self._keep(context, frame=frames[torch.cat(radius).argmin()])

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        """(B, S, frames, D) of the one frame."""
        del generator, mean
        return self._silent(len(prompt), draws, frames)

    def generate(self, frames: int, draws: int, generator: torch.Generator) -> Tensor:
        """(S, frames, D) of the one frame."""
        del generator
        return self._silent(draws, frames)

    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        """(B, T, D) of the one frame, on both paths."""
        del source, generator
        return self._silent(*x.shape[:2])

    def _silent(self, *shape: int) -> Tensor:
        return self.tensors["frame"].expand(*shape, -1).clone()


def _kept(train_set: Sequence[LatentUtterance], context: FitContext) -> Tensor:
    """Up to KEPT training frames, drawn without replacement under the fit's seed."""
    frames = torch.cat([u.x for u in train_set])
    order = torch.randperm(len(frames), generator=seeded(context.seed, "control frames"))
    return frames[order[:KEPT]]


def _gaussian(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and lower Cholesky factor (D, D) of the maximum-likelihood covariance."""
    fitted = LinearGaussian(frames.new_zeros(len(frames), 0), frames)
    return fitted.y_mean.float(), fitted.cholesky.float()


def _log_normal(residual: Tensor, cholesky: Tensor) -> Tensor:
    """log N(residual; 0, L Lᵀ): (B, T, D) → (B, T), nats."""
    zero = residual.new_zeros(residual.shape[-1])
    return torch.distributions.MultivariateNormal(zero, scale_tril=cholesky, validate_args=False).log_prob(residual)
