"""A submission fitted on the toy, with every call watched and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from bench import checked, registry
from bench.calibration.lab import fit_context
from bench.conformance.rule import CALLS, Guard, NotApplicable, fields_of
from bench.conformance.toy import ToyCodec, utterances
from bench.contract import CAPABILITIES, FitContext, ReadsCodes, Split, Submission

DIM, FRAMES = 4, 20
WORDS = ("one", "two words", "and three words")
CUT = 9
"""Frames from CUT on are changed."""
COUNTS: dict[Split, int] = {"train": 24, "valid": 6}
"""Utterances of a fit."""
Call = Callable[[Tensor, torch.Generator], Tensor]


def said(utterance: str) -> str:
    """A transcript for a toy utterance, which says nothing."""
    return WORDS[int(utterance.rpartition("-")[2]) % len(WORDS)]


class Subject:
    """A submission, fitted on the toy.

    Args:
        build: called as a card's plug-in is.

    Raises:
        BenchError: it cannot be built or fitted.
    """

    def __init__(self, who: str, build: Callable[[], Submission]) -> None:
        self.who, self._build = who, build
        self.guard = Guard()
        self.state = self.fitted(DIM)
        self.model = self.loaded(self.state, DIM)
        self.x = torch.stack([u.x for u in utterances(DIM, "test", 6, FRAMES) if len(u.x) == FRAMES])

    def _built(self, dim: int) -> Submission:
        made = registry.made("submissions", self.who, self._build)
        if isinstance(made, ReadsCodes):
            self.guard.call("read_codes", registry.calling, self.who, made.read_codes, ToyCodec(dim))
        watched: Submission = self.guard.around(made, CALLS)
        return watched

    def fitted(self, dim: int) -> dict[str, Tensor]:
        """The state after a fit on the toy of that dimension."""
        submission = self._built(dim)
        train, valid = (utterances(dim, split, n, FRAMES) for split, n in COUNTS.items())
        registry.calling(self.who, submission.fit, train, valid, self._context(dim))
        return checked.tensors(self.who, registry.calling(self.who, submission.state))

    def _context(self, dim: int) -> FitContext:
        texts = {u.id: said(u.id) for split, n in COUNTS.items() for u in utterances(dim, split, n, FRAMES)}
        return replace(fit_context(dim), codec=ToyCodec(dim).info, texts=texts)

    def become(self, state: dict[str, Tensor], dim: int, device: str = "cpu") -> Submission:
        """A fresh submission that has become the one of `state`."""
        submission = self._built(dim)
        info = self._context(dim).codec
        registry.calling(self.who, submission.load_state, state, info, torch.device(device))
        return submission

    def loaded(self, state: dict[str, Tensor], dim: int, device: str = "cpu") -> checked.Checked:
        """The same; what it returns is checked."""
        return checked.Checked(self.become(state, dim, device), self.who)

    def calls(self, model: checked.Checked | None = None) -> dict[str, Call]:
        """Everything it offers that answers frame by frame, teacher-forced: x (B, T, D) → (B, T, …)."""
        own = {name: getattr(model or self.model, name, None) for name in CAPABILITIES}
        out: dict[str, Call] = {}
        if represent := own["represent"]:
            out["represent"] = represent
        if log_prob := own["log_prob"]:
            out["log_prob"] = lambda x, generator: log_prob(x, x, generator)
        if code_log_prob := own["code_log_prob"]:
            out["code_log_prob"] = code_log_prob
        if innovation := own["innovation"]:
            out["innovation"] = lambda x, generator: fields_of(innovation(x, generator))
        if reconstruct := own["reconstruct"]:
            out["reconstruct posterior"] = lambda x, generator: reconstruct(x, "posterior", generator)
            out["reconstruct prior"] = lambda x, generator: reconstruct(x, "prior", generator)
        return out

    def needed(self, name: str) -> Callable[..., Tensor]:
        """The capability of that name, or NotApplicable."""
        method: Callable[..., Tensor] | None = getattr(self.model, name, None)
        if method is None:
            raise NotApplicable(f"it does not offer {name}")
        return method

    @property
    def later(self) -> Tensor:
        """x with other frames from CUT on."""
        other = self.x.clone()
        other[:, CUT:] = other[:, CUT:].flip(0) * 1.5 + 2.0
        return other
