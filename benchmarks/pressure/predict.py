"""How much of noisy latents the past tells, by the harness's task `delta_nll`, and how much there is to tell.

The target is y = x + σ n, for every variant, since levels of FSQ have no density; what is read is x, without noise.

* gain: NLL[null-context twin] − NLL[probe on x_≤t], nats per frame, at each horizon of the task.
* shuffled: the same with frames of the same utterance at the wrong time (`control_shuffled`): what it keeps for its
  whole length, such as the voice. Gain above it is order.
* rate: NLL[twin] − h(σ n), nats per frame: what y tells about x without any past, by the probe's own marginal
  density. I(x; y) = h(y) − h(y | x), and a cross-entropy is never below h(y): an upper bound. A gain cannot exceed
  the rate but by the errors of both.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from baselines.controls import Shuffled
from bench.cache import digest
from bench.calibration.lab import LabContext, fit_context
from bench.contract import LatentUtterance, Score, Split
from tasks.delta_nll import DeltaNLL

Values = dict[str, float]
HORIZONS_MS = tuple(DeltaNLL.card.horizons_ms)


class Raw:
    """Exposes x itself."""

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        del generator
        return x


class Context(LabContext):
    """Keeps what rows share while it lives: the twin is fitted once."""

    def __init__(self, *given: Any, progress: Callable[[str, int, int], None], **named: Any) -> None:
        super().__init__(*given, **named)
        self._kept: dict[str, dict[str, Tensor]] = {}
        self.progress = progress  # type: ignore[method-assign]

    def cached_tensors(self, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        name = digest(dict(key))
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]


def predictability(
    splits: Mapping[Split, Sequence[LatentUtterance]],
    codec: Any,
    share: float,
    probe: Mapping[str, Any],
    seed: int,
    progress: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """Gains and rate with a dither of `share`.

    Args:
        share: σ as a share of the root-mean-square standard deviation of the dimensions, above 0.
        probe: laid over the task's parameters of the probe.

    Returns:
        `gain_*ms`, `shuffled_*ms` and `rate` → utterance → nats per frame; `sigma`; the curves of the probe's fit.
    """
    if share <= 0.0:
        raise ValueError(f"predictability: expected a share above 0, got {share}")
    parameters = {"dither": share, "controls": False, "probe": dict(probe)}
    context = Context(DeltaNLL.card, splits, codec, parameters, seed, progress=progress)
    wrong = Shuffled()
    wrong.fit(splits["train"], splits["valid"], fit_context(codec.info.dim, seed))
    out: dict[str, Any] = {}
    for name, submission in (("gain", Raw()), ("shuffled", wrong)):
        task = DeltaNLL()
        scores = task.score(submission, context)
        found = {s.column: dict(s.values) for s in scores if isinstance(s, Score)}
        out |= {f"{name}_{ms}ms": found[f"gain_{ms}ms"] for ms in HORIZONS_MS}
        out[f"{name}_probe"] = context.notes["probe"]
    entropy = 0.5 * codec.info.dim * math.log(2 * math.pi * math.e * task.targets.sigma**2)
    first = HORIZONS_MS[0]
    out["rate"] = {i: float(task.twin_nll[f"{i}:{first}"].double().mean()) - entropy for i in out[f"gain_{first}ms"]}
    out["sigma"] = task.targets.sigma
    return out
