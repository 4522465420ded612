"""A rule that a plug-in keeps or breaks, and what watches over every call into one.

A rule is a function of its subject. Its docstring's first line says what must hold; it returns the numbers that
show it, and raises `Broken` with those that show it does not, or `NotApplicable` with the reason. A plug-in that
raises breaks the rule it was called for.
"""

from __future__ import annotations

import inspect
import pickle
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor

from bench.contract import CAPABILITIES, InnovationRate, LatentUtterance
from bench.errors import BenchError
from bench.registry import calling

S = TypeVar("S")
Verdict = Literal["passed", "failed", "not applicable"]
TOLERANCE = 1e-4
"""Of float32 sums in another order, relative to the largest value."""


class Broken(BenchError):
    """The rule does not hold; the numbers."""


class NotApplicable(BenchError):
    """The rule asks for what the plug-in does not offer, or the machine does not have."""


@dataclass(frozen=True)
class Result:
    """One rule on one plug-in.

    Attributes:
        holds: what must hold, one line.
        detail: the numbers, or the reason.
    """

    rule: str
    holds: str
    verdict: Verdict
    detail: str


def applied(who: str, rules: Sequence[Callable[[S], str]], subject: S) -> list[Result]:
    """Every rule on `subject`, one after another; none keeps the next from being asked."""
    out = []
    for rule in rules:
        verdict: Verdict = "passed"
        try:
            detail = str(calling(who, rule, subject))
        except NotApplicable as reason:
            verdict, detail = "not applicable", str(reason)
        except BenchError as error:
            verdict, detail = "failed", str(error)
        out.append(result(rule, verdict, detail))
    return out


def result(rule: Callable[..., str], verdict: Verdict, detail: str) -> Result:
    """The result of `rule` under its name and statement."""
    return Result(rule.__name__, (inspect.getdoc(rule) or "").partition("\n")[0], verdict, detail)


def rng(seed: int) -> torch.Generator:
    """A fresh CPU generator."""
    return torch.Generator().manual_seed(seed)


def moved(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    scale = max(float(one.abs().max()), float(other.abs().max()), 1e-12) if one.numel() else 1.0
    return float((one.double() - other.double()).abs().max()) / scale if one.numel() else 0.0


def same(what: str, one: Tensor, other: Tensor) -> None:
    """Broken unless both are equal bit for bit."""
    if one.shape != other.shape:
        raise Broken(f"{what}: {tuple(one.shape)} against {tuple(other.shape)}")
    if not torch.equal(one, other):
        count = int((one != other).sum())
        raise Broken(f"{what}: {count} of {one.numel()} values differ, by up to {moved(one, other):.2g} of the largest")


def near(what: str, one: Tensor, other: Tensor, tolerance: float = TOLERANCE) -> float:
    """How far both are apart; Broken beyond the tolerance."""
    if one.shape != other.shape:
        raise Broken(f"{what}: {tuple(one.shape)} against {tuple(other.shape)}")
    away = moved(one, other)
    if not away <= tolerance:
        raise Broken(f"{what}: differ by {away:.2g} of the largest value, allowed {tolerance:g}")
    return away


# --- what no call may touch --------------------------------------------------------------------------------


class Guard:
    """Watches calls: `called` names them; `globals_moved` and `inputs_moved` say what was touched, and by which."""

    def __init__(self) -> None:
        self.called: set[str] = set()
        self.globals_moved: dict[str, str] = {}
        self.inputs_moved: dict[str, str] = {}

    def call(self, name: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call and compare; what was changed globally is put back, so that the next rule starts clean."""
        self.called.add(name)
        before = {what: read() for what, (read, _) in _GLOBALS.items()}
        given = list(_tensors([args, kwargs]))
        copies = [tensor.clone() for tensor in given]
        try:
            return function(*args, **kwargs)
        finally:
            for what, (read, write) in _GLOBALS.items():
                if not _equal(before[what], read()):
                    self.globals_moved.setdefault(what, name)
                    write(before[what])
            if not all(torch.equal(t, copy) for t, copy in zip(given, copies, strict=True)):
                self.inputs_moved.setdefault("a tensor it was given", name)

    def around(self, plugin: Any, names: Sequence[str]) -> Any:
        """`plugin` with those of its methods watched, and nothing else of it."""
        return _Around(self, plugin, names)


class _Around:
    def __init__(self, guard: Guard, plugin: Any, names: Sequence[str]) -> None:
        for name in names:
            if callable(getattr(plugin, name, None)):
                call = partial(guard.call, name, getattr(plugin, name))
                setattr(self, name, partial(_around_made, guard, call, names) if name == "unfitted" else call)
        if hasattr(plugin, "likelihood"):
            self.likelihood = plugin.likelihood


def _around_made(guard: Guard, make: Callable[..., Any], names: Sequence[str], *args: Any, **kwargs: Any) -> Any:
    return guard.around(make(*args, **kwargs), names)


def globals_left_alone(guard: Guard) -> str:
    """Broken where a call changed what belongs to the process."""
    if guard.globals_moved:
        raise Broken("; ".join(f"{name} changes {what}" for what, name in guard.globals_moved.items()))
    return f"{', '.join(_GLOBALS)}: as they were after every call"


def inputs_left_alone(guard: Guard) -> str:
    """Broken where a call wrote into its arguments."""
    if guard.inputs_moved:
        raise Broken("; ".join(f"{name} writes into {what}" for what, name in guard.inputs_moved.items()))
    return "as they were after every call"


_GLOBALS: Mapping[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch's generator": (torch.get_rng_state, torch.set_rng_state),
    "python's generator": (random.getstate, random.setstate),
    "numpy's generator": (
        lambda: pickle.dumps(np.random.get_state()),  # noqa: NPY002
        lambda state: np.random.set_state(pickle.loads(state)),  # noqa: NPY002
    ),
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "the gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "the thread count": (torch.get_num_threads, torch.set_num_threads),
}


def _equal(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, Tensor) else bool(one == other)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, LatentUtterance):
        yield value.x
    elif isinstance(value, Mapping):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)


# --- small budgets -----------------------------------------------------------------------------------------

STEPS = 6
"""Optimisation steps of any fit: the rules hold for weights of any quality."""


def shortened(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with every `steps` at most STEPS, however deep."""
    out: dict[str, Any] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            out[key] = shortened(value)
        elif key == "steps" and isinstance(value, int):
            out[key] = min(value, STEPS)
        else:
            out[key] = value
    return out


BARE = ("fit", "state", "load_state")
CALLS = (*CAPABILITIES, *BARE)
"""What a submission may be called for."""


def fields_of(rate: InnovationRate) -> Tensor:
    """The innovation rate as one tensor (B, T, 2 + dim z_rec)."""
    return torch.cat([rate.kl_rec[..., None], rate.kl_dyn[..., None], rate.kl_rec_by_dim], -1)
