"""A submission behind its contract: every capability's result is checked once, here, for shape and finiteness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from bench.contract import CAPABILITIES, InnovationRate, Submission
from bench.errors import PluginError
from bench.registry import calling


class Checked:
    """`submission` with each capability it has wrapped; a capability it lacks stays missing.

    Raises, from the wrapped calls:
        PluginError: the submission raises, or returns another shape than the contract's, or NaN.
    """

    def __init__(self, submission: Submission, who: str) -> None:
        self._submission, self._who = submission, who
        if hasattr(submission, "likelihood"):
            self.likelihood = submission.likelihood
        for name in CAPABILITIES:
            method = getattr(submission, name, None)
            if method is not None:
                setattr(self, name, self._wrapped(name, method))

    def _wrapped(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        expect = _EXPECTED[name]

        def call(*args: Any, **kwargs: Any) -> Any:
            result = calling(self._who, method, *args, **kwargs)
            for what, tensor, shape in expect(result, *args, **kwargs):
                self._check(f"{name}{what}", tensor, shape)
            return result

        return call

    def _check(self, what: str, tensor: object, shape: tuple[int | None, ...]) -> None:
        wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ")"
        if not isinstance(tensor, Tensor):
            raise PluginError(f"{self._who}: {what} must be a tensor {wanted}, got {type(tensor).__name__}")
        got = tuple(tensor.shape)
        if len(got) != len(shape) or any(n not in (None, g) for n, g in zip(shape, got, strict=True)):
            raise PluginError(f"{self._who}: {what} must be {wanted}, got {got}")
        if not torch.isfinite(tensor).all():
            bad = int((~torch.isfinite(tensor)).sum())
            raise PluginError(f"{self._who}: {what}: {bad} of {tensor.numel()} values are not finite")


Expected = list[tuple[str, object, tuple[int | None, ...]]]


def _represent(result: object, x: Tensor, *_: Any) -> Expected:
    return [("", result, (*x.shape[:2], None))]


def _log_prob(result: object, context: Tensor, *_: Any) -> Expected:
    return [("", result, tuple(context.shape[:2]))]


def _rollout(result: object, prompt: Tensor, frames: int, draws: int, *_: Any, **__: Any) -> Expected:
    return [("", result, (len(prompt), draws, frames, prompt.shape[2]))]


def _innovation(result: object, x: Tensor, *_: Any) -> Expected:
    if not isinstance(result, InnovationRate):
        return [(" (an InnovationRate)", result, tuple(x.shape[:2]))]
    shape = tuple(x.shape[:2])
    return [
        (".kl_rec", result.kl_rec, shape),
        (".kl_dyn", result.kl_dyn, shape),
        (".kl_rec_by_dim", result.kl_rec_by_dim, (*shape, None)),
    ]


def _reconstruct(result: object, x: Tensor, *_: Any) -> Expected:
    return [("", result, tuple(x.shape))]


def _generate(result: object, frames: int, draws: int, *_: Any) -> Expected:
    return [("", result, (draws, frames, None))]


_EXPECTED: Mapping[str, Callable[..., Expected]] = {
    "represent": _represent,
    "log_prob": _log_prob,
    "rollout": _rollout,
    "innovation": _innovation,
    "reconstruct": _reconstruct,
    "generate": _generate,
}
