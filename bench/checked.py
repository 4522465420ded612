"""What plug-ins return, checked once, here: a submission's tensors and a task's scores."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from functools import partial
from numbers import Real
from typing import Any, cast, get_args

import torch
from torch import Tensor

from bench.config import TaskCard
from bench.contract import CAPABILITIES, InnovationRate, Likelihood, Score, Skipped, Submission, TrainingHistory
from bench.errors import PluginError
from bench.registry import NEEDED, calling

BARE = ("fit", "state", "load_state", "read_codes")
"""What a submission is fitted by."""


class Checked:
    """`submission` with each capability it has wrapped; a capability it lacks stays missing.

    Nothing is recorded for gradients.

    Raises, from the wrapped calls:
        PluginError: the submission raises, or returns another shape than the contract's, or NaN.
    """

    def __init__(self, submission: Submission, who: str) -> None:
        self._submission, self._who = submission, who
        if hasattr(submission, "likelihood"):
            self.likelihood = submission.likelihood
            if self.likelihood not in get_args(Likelihood):
                raise PluginError(f"{who}: likelihood must be one of {get_args(Likelihood)}, got {self.likelihood!r}")
        for name in CAPABILITIES:
            method = getattr(submission, name, None)
            if method is not None:
                call = self._wrapped(name, method)
                setattr(self, name, partial(self._unfitted, call) if name == "unfitted" else call)
        if hasattr(submission, "budgets"):
            self.budgets = self._budgets

    def attribute(self, name: str) -> Any:
        """What the submission holds under a name that is no capability."""
        return getattr(self._submission, name)

    def _budgets(self) -> list[Checked]:
        """What `budgets` gives (`tasks/matched_rate.py`), each checked in turn."""
        found = calling(self._who, cast(Any, self._submission).budgets)
        if not isinstance(found, list | tuple) or not found:
            raise PluginError(f"{self._who}: budgets must be a list of submissions, got {found!r:.80}")
        return [Checked(one, f"{self._who}, budget {i}") for i, one in enumerate(found)]

    def _unfitted(self, unfitted: Callable[..., Any], replicate: int, noise: float | None = None) -> Checked:
        """What `unfitted` gives, checked in turn, with what it takes to be fitted; gradients are its own affair."""
        made, who = unfitted(replicate, noise), f"{self._who}, replicate {replicate}"
        again = Checked(made, who if noise is None else f"{who} with noise {noise:g}")
        for name in BARE:
            if method := getattr(made, name, None):
                setattr(again, name, partial(calling, again._who, method))
            elif name in NEEDED["submissions"]:
                raise PluginError(f"{again._who}: unfitted must be a submission, got {type(made).__name__}")
        return again

    def _wrapped(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        expect = _EXPECTED[name]
        signature = inspect.signature(getattr(CAPABILITIES[name], name))

        def call(*args: Any, **kwargs: Any) -> Any:
            given = signature.bind(self, *args, **kwargs).arguments
            with torch.no_grad():
                result = calling(self._who, method, *args, **kwargs)
            kind = _MADE_OF.get(name)
            if kind and not isinstance(result, kind):
                article = "an" if kind.__name__[0] in "AEIO" else "a"
                raise PluginError(f"{self._who}: {name} must be {article} {kind.__name__}, got {type(result).__name__}")
            for what, tensor, shape in expect(result, given):
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
Given = Mapping[str, Any]


def _represent(result: object, given: Given) -> Expected:
    return [("", result, (*given["x"].shape[:2], None))]


def _log_prob(result: object, given: Given) -> Expected:
    return [("", result, tuple(given["context"].shape[:2]))]


def _rollout(result: object, given: Given) -> Expected:
    prompt = given["prompt"]
    return [("", result, (len(prompt), given["draws"], given["frames"], prompt.shape[2]))]


def _innovation(result: Any, given: Given) -> Expected:
    shape = tuple(given["x"].shape[:2])
    return [
        (".kl_rec", result.kl_rec, shape),
        (".kl_dyn", result.kl_dyn, shape),
        (".kl_rec_by_dim", result.kl_rec_by_dim, (*shape, None)),
    ]


def _reconstruct(result: object, given: Given) -> Expected:
    return [("", result, tuple(given["x"].shape))]


def _generate(result: object, given: Given) -> Expected:
    return [("", result, (given["draws"], given["frames"], None))]


def _speak(result: Any, given: Given) -> Expected:
    count: Expected = [("'s count", torch.zeros(len(result)), (len(given["texts"]),))]
    dim = given["references"][0].shape[1] if given["references"] else None
    return count + [(f"[{i}]", one, (_at_most(given["frames"], one), dim)) for i, one in enumerate(result)]


def _at_most(frames: int, one: object) -> int | None:
    """The length of `one` where it is 1 to `frames`, and the nearest that it may have where it is not."""
    return min(max(len(one), 1), frames) if isinstance(one, Tensor) and one.dim() else None


def _code_log_prob(result: object, given: Given) -> Expected:
    return [("", result, (*given["x"].shape[:2], None))]


def _history(result: Any, given: Given) -> Expected:
    del given
    out: Expected = []
    for one, other in (("loss", "grad_norm"), ("valid_step", "valid_loss")):
        first, second = getattr(result, one), getattr(result, other)
        out += [(f".{one}", first, (None,)), (f".{other}", second, (len(first) if _long(first) else None,))]
    return out


def _long(tensor: object) -> bool:
    return isinstance(tensor, Tensor) and tensor.dim() == 1


def _anything(result: object, given: Given) -> Expected:
    del result, given
    return []


_EXPECTED: Mapping[str, Callable[..., Expected]] = {
    "represent": _represent,
    "log_prob": _log_prob,
    "rollout": _rollout,
    "innovation": _innovation,
    "reconstruct": _reconstruct,
    "reconstruct_from": _reconstruct,
    "generate": _generate,
    "speak": _speak,
    "code_log_prob": _code_log_prob,
    "history": _history,
    "unfitted": _anything,
}
_MADE_OF: Mapping[str, type] = {"innovation": InnovationRate, "history": TrainingHistory, "speak": list}


def tensors(who: str, state: object) -> dict[str, Tensor]:
    """What a submission's `state` gave, as tensors of their own on the CPU.

    Raises:
        PluginError: no dictionary of tensors by name, or a value that is not finite.
    """
    what = f"{who}: state must be a dictionary of tensors by name"
    if not isinstance(state, Mapping):
        raise PluginError(f"{what}, got {type(state).__name__}")
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise PluginError(f"{what}, got {name!r}: {type(tensor).__name__}")
        if not torch.isfinite(tensor).all():
            raise PluginError(f"{who}: {name} is not finite after fit")
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}


def scores(card: TaskCard, results: object, ids: set[str]) -> dict[str, Any]:
    """What a task gave, as JSON: every column of its card has finite values of known utterances, or a reason.

    Args:
        ids: the utterances of the task's split.

    Raises:
        PluginError: it is not so.
    """
    who = f"task {card.name!r}"
    columns: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    known = {column.name for column in card.columns}
    for result in results if isinstance(results, list | tuple) else [results]:
        if not isinstance(result, Score | Skipped):
            raise PluginError(f"{who}: expected Score or Skipped, got {type(result).__name__}")
        if result.column is not None and result.column not in known:
            raise PluginError(f"{who}: column {result.column!r} is not in its card")
        if result.column in columns or result.column in skipped:
            raise PluginError(f"{who}: {result.column} is answered twice")
        if isinstance(result, Skipped):
            skipped[result.column or "*"] = result.reason
            continue
        strange = [u for u in (*result.values, *result.unscored) if u not in ids]
        if strange:
            raise PluginError(f"{who}: {result.column}: {strange[0]!r} is no utterance of its split")
        columns[result.column] = {
            "values": _numbers(f"{who}: {result.column}", result.values),
            "weights": None if result.weights is None else _weights(f"{who}: weights of {result.column}", result),
            "unscored": dict(result.unscored),
        }
    silent = known - columns.keys() - skipped.keys()
    if silent and "*" not in skipped:
        raise PluginError(f"{who}: columns without a score or a reason: {', '.join(sorted(silent))}")
    return {"columns": columns, "skipped": skipped}


def _numbers(what: str, values: Mapping[str, Any]) -> dict[str, float]:
    for name, value in values.items():
        if not isinstance(value, Real):
            raise PluginError(f"{what}: expected a number for {name}, got {type(value).__name__}")
        if not math.isfinite(value):
            raise PluginError(f"{what}: {name} is not finite")
    return {name: float(value) for name, value in values.items()}


def _weights(what: str, score: Score) -> dict[str, float]:
    given = _numbers(what, score.weights or {})
    if missing := [u for u in score.values if u not in given]:
        raise PluginError(f"{what}: {missing[0]} has none")
    kept = {u: given[u] for u in score.values}
    if kept and (min(kept.values()) < 0 or max(kept.values()) == 0):
        raise PluginError(f"{what}: expected none below zero and one above")
    return kept
