"""How many bits a second the posterior adds over the submission's own prior, and whether they matter.

`rate` is the raw KL, never a clamped one: KL(q(z_rec) ‖ p(z_rec)) and, where z_dyn is noisy and charged, its KL
to the dynamics. `usefulness_*` is what decoding from the prior's sample loses against the posterior's: bits
that buy nothing (target-KL spent on noise) leave it at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch

from bench.config import TaskCard, task_card
from bench.contract import Context, Score, Skipped, Submission
from bench.metrics.distortion import log_mel_l1


class InnovationRate:
    """Task plug-in `innovation_rate`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """Needs `innovation` and `reconstruct`."""
        test = context.latents("test")
        spread = torch.cat([u.x for u in context.latents("train")]).std(0).clamp(min=1e-6)
        values: dict[str, dict[str, float]] = {c.name: {} for c in self.card.columns}
        by_dim = []
        with context.track("innovation", test) as utterances:
            for u in utterances:
                row, dims = self._utterance(submission, context, u, spread)
                by_dim.append(dims)
                for name, value in row.items():
                    values[name][u.id] = value
        kl = torch.cat(by_dim).mean(0)
        context.note("kl_rec_by_dim_nats", [round(float(v), 5) for v in kl])
        context.note("active_dims", int((kl > context.parameters["active_nats"]).sum()))
        frames = {u.id: float(len(u.x)) for u in test}
        return [Score(name, column, frames) for name, column in values.items()]

    def _utterance(
        self, submission: Any, context: Context, u: Any, spread: torch.Tensor
    ) -> tuple[dict[str, float], torch.Tensor]:
        x = u.x[None].to(context.device)
        rate = submission.innovation(x, context.generator("innovation", u.id))
        row = {
            "rate": float((rate.kl_rec + rate.kl_dyn).mean()),
            "rate_rec": float(rate.kl_rec.mean()),
            "rate_dyn": float(rate.kl_dyn.mean()),
        }
        original = context.codec.decode(x)[0, 0].cpu().numpy()
        errors: dict[str, tuple[float, float]] = {}
        for source in ("posterior", "prior"):
            y = submission.reconstruct(x, source, context.generator(source, u.id))
            latent = float((((y - x).cpu() / spread) ** 2).mean())
            decoded = context.codec.decode(y)[0, 0].cpu().numpy()
            errors[source] = (latent, log_mel_l1(original, decoded))
        row["posterior_mse"], row["prior_mse"] = errors["posterior"][0], errors["prior"][0]
        row["usefulness_mse"] = errors["prior"][0] - errors["posterior"][0]
        row["usefulness_mel"] = errors["prior"][1] - errors["posterior"][1]
        return row, rate.kl_rec_by_dim[0].float().cpu()
