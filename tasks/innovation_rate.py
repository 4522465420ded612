"""How many bits a second the posterior adds over the submission's own prior, and whether they matter.

`rate` is the raw KL, never a clamped one: KL(q(z_rec) ‖ p(z_rec)) and, where z_dyn is noisy and charged, its KL
to the dynamics. Three ways in which it may mean nothing are called by name in the note `alarms`:

* "spent on noise": a rate without `usefulness_mse`, which is what decoding from the prior's sample loses
  against the posterior's (a target KL that the decoder ignores);
* "unpaid": usefulness without a rate; the innovation reaches the decoder past its KL;
* "collapsed": neither; x is decoded from the state alone;
* "state ignored": decoding loses nothing when z_dyn is another utterance's (`state_shuffle_mse`).

`state_shuffle_*` needs `represent` and `reconstruct_from(x, states, generator)`: the posterior reconstruction of x
(B, T, D) beside given states (B, T, Dz), aligned as `represent` gives them, with z_rec sent anew under those states.
Here they are another utterance's; the reference is the submission's own states through the same path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from bench.config import TaskCard, parameters, task_card
from bench.contract import Context, LatentUtterance, Score, Skipped, Submission
from bench.contract import InnovationRate as Rate
from bench.errors import PluginError
from bench.stats import Interval, interval
from tasks.decoded import heard, mel_distance

SHUFFLED = ("state_shuffle_mse", "state_shuffle_mel")


@dataclass(frozen=True)
class Config:
    """`active_nats`: KL per frame of a dimension that counts as active. Below `least_nats` per frame there is
    no rate; below `least_mse`, in training variances, no use."""

    active_nats: Annotated[float, Field(gt=0)] = 0.01
    least_nats: Annotated[float, Field(gt=0)] = 0.05
    least_mse: Annotated[float, Field(gt=0)] = 0.005


class InnovationRate:
    """Task plug-in `innovation_rate`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """Needs `innovation` and `reconstruct`; uses `represent` and `reconstruct_from` where they are.

        Raises:
            PluginError: a KL that is not the sum over its dimensions, as a clamped one is not.
        """
        config = parameters(Config, context.parameters, self.card.name)
        test = context.latents("test")
        spread = torch.cat([u.x for u in context.latents("train")]).std(0).clamp(min=1e-6)
        lacking = [name for name in ("represent", "reconstruct_from") if not hasattr(submission, name)]
        others = _foreign(test) if not lacking and len(test) > 1 else {}
        values: dict[str, dict[str, float]] = {}
        by_dim = []
        with context.track("innovation", test) as utterances:
            for u in utterances:
                row, dims = _utterance(submission, context, u, others.get(u.id), spread, config)
                by_dim.append(dims)
                for name, value in row.items():
                    values.setdefault(name, {})[u.id] = value
        kl = torch.cat(by_dim).mean(0)
        context.note("kl_rec_by_dim_nats", [round(float(v), 5) for v in kl])
        context.note("active_dims", int((kl > config.active_nats).sum()))
        frames = {u.id: float(len(u.x)) for u in test}
        speakers = {u.id: u.speaker for u in test}
        found = {name: interval(column, speakers, frames) for name, column in values.items()}
        context.note("alarms", alarms(found, config))
        out: list[Score | Skipped] = [Score(name, column, frames) for name, column in values.items()]
        if not others:
            reason = f"needs {lacking[0]}" if lacking else "needs two utterances"
            out += [Skipped(reason, name) for name in SHUFFLED]
        return out


def alarms(found: Mapping[str, Interval], config: Config) -> list[str]:
    """What is wrong, by name; see the module.

    Args:
        found: `rate`, `usefulness_mse` and, where there is one, `state_shuffle_mse`.
    """
    spends = found["rate"].value > config.least_nats
    useful = _above(found["usefulness_mse"], config.least_mse)
    out = []
    if spends and not useful:
        out.append("spent on noise")
    if useful and not spends:
        out.append("unpaid")
    if not useful and not spends:
        out.append("collapsed")
    if "state_shuffle_mse" in found and not _above(found["state_shuffle_mse"], config.least_mse):
        out.append("state ignored")
    return out


def _above(found: Interval, least: float) -> bool:
    return found.low > 0 and found.value > least


def _utterance(
    submission: Any, context: Context, u: LatentUtterance, other: Tensor | None, spread: Tensor, config: Config
) -> tuple[dict[str, float], Tensor]:
    x = u.x[None].to(context.device)
    rate = submission.innovation(x, context.generator("innovation", u.id))
    by_dim = _by_dim(rate, u.id)
    row = {
        "rate": float((rate.kl_rec + rate.kl_dyn).mean()),
        "rate_rec": float(rate.kl_rec.mean()),
        "rate_dyn": float(rate.kl_dyn.mean()),
        "active_dims": float((by_dim.mean(0) > config.active_nats).sum()),
    }
    original = heard(context.codec, x)

    def errors(y: Tensor) -> tuple[float, float]:
        return float((((y - x).cpu() / spread) ** 2).mean()), mel_distance(original, heard(context.codec, y))

    posterior = errors(submission.reconstruct(x, "posterior", context.generator("posterior", u.id)))
    prior = errors(submission.reconstruct(x, "prior", context.generator("prior", u.id)))
    row["posterior_mse"], row["prior_mse"] = posterior[0], prior[0]
    row["usefulness_mse"], row["usefulness_mel"] = prior[0] - posterior[0], prior[1] - posterior[1]
    if other is not None:
        pair = []
        for y in (x, other[None].to(context.device)):
            states = submission.represent(y, context.generator("represent", u.id))
            # the same noise in z_rec on both sides: the state alone differs
            pair.append(errors(submission.reconstruct_from(x, states, context.generator("given states", u.id))))
        row |= {name: foreign - own for name, own, foreign in zip(SHUFFLED, *pair, strict=True)}
    return row, by_dim


def _by_dim(rate: Rate, who: str) -> Tensor:
    """(T, dim of z_rec), checked against its sum."""
    by_dim = rate.kl_rec_by_dim[0].float().cpu()
    total, parts = float(rate.kl_rec.mean()), float(by_dim.sum(-1).mean())
    if abs(total - parts) > 1e-3 * max(1.0, abs(total)):
        raise PluginError(
            f"innovation of {who}: kl_rec must be the raw sum of kl_rec_by_dim, got {total:.4f}, {parts:.4f}"
        )
    return by_dim


def _foreign(utterances: Sequence[LatentUtterance]) -> dict[str, Tensor]:
    """Utterance id → latents of the next one, from its middle on, repeated to the same length."""
    out = {}
    for u, other in zip(utterances, [*utterances[1:], utterances[0]], strict=True):
        turned = other.x.roll(len(other.x) // 2, 0)
        out[u.id] = turned.repeat(-(-len(u.x) // len(turned)), 1)[: len(u.x)]
    return out
