"""What every submission must keep, on correlated AR(1) latents and after next to no training.

The rules hold for weights of any quality, so that the fit is cut to a few steps. Where a call draws random
numbers, "the same" means under the same generator, or in the mean of draws where shapes differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial

import torch
from torch import Tensor

from bench import checked, registry
from bench.config import SubmissionCard
from bench.conformance.fitted import CUT, DIM, FRAMES, WORDS, Call, Subject
from bench.conformance.rule import (
    Broken,
    NotApplicable,
    Result,
    applied,
    globals_left_alone,
    inputs_left_alone,
    near,
    result,
    rng,
    same,
    shortened,
)
from bench.conformance.toy import utterances
from bench.contract import Submission
from bench.errors import BenchError

DRAWS, DEVIATIONS = 32, 6.0
"""Means of DRAWS draws may be this many of their standard errors apart."""
MASS = 0.02
"""How far from 1 a density may integrate."""
ON_GPU = 1e-3
"""Of float32 on two devices, relative to the largest value."""


# --- rules -------------------------------------------------------------------------------------------------


def fit_completes(subject: Subject) -> str:
    """`fit` on a small set of latents makes a state of finite tensors."""
    count = sum(t.numel() for t in subject.state.values())
    return f"{len(subject.state)} tensors, {count} values"


def fit_repeats(subject: Subject) -> str:
    """Two fits under one seed make the same bytes on the CPU."""
    again = subject.fitted(DIM)
    if again.keys() != subject.state.keys():
        raise Broken("the two states have other names")
    for name, tensor in subject.state.items():
        same(name, tensor, again[name])
    return f"{len(again)} tensors equal"


def state_is_all(subject: Subject) -> str:
    """`load_state` of `state` gives a submission that answers with the same bytes, and has that very state."""
    one = subject.become(subject.state, DIM)
    calls = subject.calls(checked.Checked(one, subject.who))
    for (name, call), other in zip(subject.calls().items(), calls.values(), strict=True):
        same(name, call(subject.x, rng(0)), other(subject.x, rng(0)))
    again = checked.tensors(subject.who, registry.calling(subject.who, one.state))
    for name, tensor in subject.state.items():
        same(name, tensor, again.get(name, tensor.new_zeros(0)))
    return f"{len(calls)} calls and {len(again)} tensors equal"


def generator_decides(subject: Subject) -> str:
    """The same generator gives the same bytes, in every call."""
    names = []
    for name, call in subject.calls().items():
        same(name, call(subject.x, rng(3)), call(subject.x, rng(3)))
        names.append(name)
    if generate := getattr(subject.model, "generate", None):
        same("generate", generate(5, 3, rng(3)), generate(5, 3, rng(3)))
        names.append("generate")
    if rollout := getattr(subject.model, "rollout", None):
        same("rollout", rollout(subject.x, 5, 3, rng(3)), rollout(subject.x, 5, 3, rng(3)))
        names.append("rollout")
    if speak := getattr(subject.model, "speak", None):
        said = (torch.cat(speak(WORDS, list(subject.x[: len(WORDS)]), 12, rng(3))) for _ in range(2))
        same("speak", *said)
        names.append("speak")
    return _listed(names)


def batch_changes_nothing(subject: Subject) -> str:
    """An utterance in a batch is answered as it is alone."""
    rest = subject.x[1:]
    found = []
    for name, call in subject.calls().items():
        found.append(_as_alone(subject, name, call, lambda n: torch.cat([subject.x[:1].expand(n, -1, -1), rest])))
        beside = torch.cat([subject.x[:1], subject.later[1:] * 3.0])
        near(f"{name} beside other utterances", call(subject.x, rng(0))[:1], call(beside, rng(0))[:1])
    return _listed(found)


def padding_changes_nothing(subject: Subject) -> str:
    """Frames appended on the right change nothing before them."""
    found = []
    for name, call in subject.calls().items():

        def padded(n: int) -> Tensor:
            return torch.cat([subject.x[:1], subject.x.new_full((1, 7, DIM), 5.0)], 1).expand(n, -1, -1)

        found.append(_as_alone(subject, name, call, padded))
    return _listed(found)


def lengths_come_back(subject: Subject) -> str:
    """Utterances of 1, 2 and 17 frames are answered at their own length."""
    for frames in (1, 2, 17):
        for name, call in subject.calls().items():
            got = call(subject.x[:, :frames], rng(0)).shape[1]
            if got != frames:
                raise Broken(f"{name}: {got} frames for {frames}")
    return _listed(subject.calls())


def future_is_unseen(subject: Subject) -> str:
    """Nothing up to frame t moves by a bit when x after t does."""
    for name, call in subject.calls().items():
        same(f"{name} before frame {CUT}", call(subject.x, rng(0))[:, :CUT], call(subject.later, rng(0))[:, :CUT])
    return _listed(subject.calls())


def density_reads_the_past(subject: Subject) -> str:
    """log_prob at t reads context_<t and target_t alone: terms of a joint bound too, though they bound nothing."""
    log_prob, x = subject.needed("log_prob"), subject.x
    base = log_prob(x, x, rng(0))
    same("context from t on reaches t", log_prob(subject.later, x, rng(0))[:, : CUT + 1], base[:, : CUT + 1])
    other = subject.later
    other[:, CUT] = x[:, CUT]
    other[:, :CUT] += 1.0
    same("targets of other frames reach t", log_prob(x, other, rng(0))[:, CUT], base[:, CUT])
    if torch.equal(log_prob(x, x + 1.0, rng(0)), base):
        raise Broken("targets do not matter at all")
    return f"bit-equal at frames ≤ {CUT}"


def prior_is_blind(subject: Subject) -> str:
    """reconstruct(x, "prior") at t is a sample given x_<t: it does not move by a bit when x_t does."""
    reconstruct = subject.needed("reconstruct")
    if getattr(subject.model, "likelihood", None) == "joint bound":
        raise NotApplicable("a joint bound's state may have seen x_t, and pays for it")
    innovation = getattr(subject.model, "innovation", None)
    if innovation and float(innovation(subject.x, rng(0)).kl_dyn.abs().max()) > 0:
        raise NotApplicable("its state pays for what it has seen of x_t (kl_dyn > 0)")
    one, other = (reconstruct(x, "prior", rng(0))[:, : CUT + 1] for x in (subject.x, subject.later))
    same("the prior's sample at t", one, other)
    return f"bit-equal at frames ≤ {CUT}"


def density_has_mass_one(subject: Subject) -> str:
    """A density integrates to 1 over x, a bound to at most 1: on a grid, in two dimensions of unequal scale."""
    subject.needed("log_prob")
    kind = subject.model.likelihood
    model = subject.loaded(subject.fitted(2), 2)
    # a joint bound is one over a whole utterance, which may be of one frame
    past = utterances(2, "test", 1, 2)[0].x[: 0 if kind == "joint bound" else 1]
    frames = torch.cat([u.x for u in utterances(2, "train", 24, FRAMES)])
    # x = mean + scale · sinh(u): dense in the middle, 16 standard deviations at the ends
    u = torch.linspace(-3.5, 3.5, 49, dtype=torch.float64)
    axes = [float(m) + float(s) * u.sinh() for m, s in zip(frames.mean(0), frames.std(0), strict=True)]
    steps = [float(s) * u.cosh() * float(u[1] - u[0]) for s in frames.std(0)]
    points = torch.cartesian_prod(*axes).float()
    x = torch.cat([past.expand(len(points), -1, -1), points[:, None]], 1)
    # the mean of logarithms: E[log p̂] is what a bound states, E[p̂] is not
    draws = {"exact": 1, "bound": 2, "joint bound": 8}[kind]
    log_prob = subject.calls(model)["log_prob"]
    log_p = torch.stack([log_prob(x, rng(i))[:, -1] for i in range(draws)]).mean(0)
    mass = float((log_p.double().exp() * torch.outer(*steps).flatten()).sum())
    wanted = "1" if kind == "exact" else "at most 1"
    if not (mass <= 1 + MASS and (kind != "exact" or mass >= 1 - MASS)):
        raise Broken(f"the {kind} density integrates to {mass:.4f}, expected {wanted}")
    return f"{kind}: integrates to {mass:.4f}"


def rollout_continues(subject: Subject) -> str:
    """Rollouts are finite, follow a prompt of any length, depend on no other prompt, and `mean` draws nothing."""
    rollout, x = subject.needed("rollout"), subject.x
    for frames in (1, CUT):
        rollout(x[:, :frames], 5, 3, rng(0))
    beside = torch.cat([x[:1], subject.later[1:] * 3.0])
    away = near("beside other prompts", rollout(x, 1, 3, rng(0))[:1], rollout(beside, 1, 3, rng(0))[:1])
    one, other = rollout(x, 5, 3, rng(0), mean=True), rollout(x, 5, 3, rng(1), mean=True)
    same("with mean, under another generator", one, other)
    near("with mean, between draws", one[:, :1].expand_as(one), one)
    return f"finite; beside other prompts within {away:.1g}"


def speech_answers_its_text(subject: Subject) -> str:
    """speak gives each text at most the frames asked for, and what it would give alone."""
    speak = subject.needed("speak")
    voices = list(subject.x[: len(WORDS)])
    both = speak(WORDS, voices, 12, rng(0))
    away = near("speak beside other texts", speak(WORDS[:1], voices[:1], 12, rng(0))[0], both[0])
    if any(len(one) != 1 for one in speak(WORDS, voices, 1, rng(0))):
        raise Broken("speak: expected one frame where one was asked for")
    return f"{', '.join(str(len(one)) for one in both)} frames of 12; beside other texts within {away:.1g}"


def gpu_agrees(subject: Subject) -> str:
    """The GPU gives what the CPU gives: states, densities and rates, under one generator."""
    if not torch.cuda.is_available():
        raise NotApplicable("there is no GPU here")
    there = subject.calls(subject.loaded(subject.state, DIM, "cuda"))
    found = {}
    # samples of a mixture are left out: rounding may turn a draw into another component's
    for name in ("represent", "log_prob", "innovation"):
        if name in there:
            got = there[name](subject.x.cuda(), rng(0)).cpu()
            found[name] = near(f"{name} on the GPU", got, subject.calls()[name](subject.x, rng(0)), ON_GPU)
    return _listed([f"{name} within {away:.1g}" for name, away in found.items()])


def process_is_left_alone(subject: Subject) -> str:
    """No call changes a global generator, the default dtype, the gradient mode or the thread count."""
    return globals_left_alone(subject.guard)


def inputs_are_left_alone(subject: Subject) -> str:
    """No call writes into the tensors it is given."""
    return inputs_left_alone(subject.guard)


RULES: tuple[Callable[[Subject], str], ...] = (
    fit_completes,
    fit_repeats,
    state_is_all,
    generator_decides,
    lengths_come_back,
    batch_changes_nothing,
    padding_changes_nothing,
    future_is_unseen,
    density_reads_the_past,
    prior_is_blind,
    density_has_mass_one,
    rollout_continues,
    speech_answers_its_text,
    gpu_agrees,
    process_is_left_alone,
    inputs_are_left_alone,
)


def check(card: SubmissionCard) -> list[Result]:
    """Every rule on a card's submission, under the parameters of the suite `quick` and a few steps."""
    factory = registry.load("submissions", card.plugin)
    return checked_on_toy(f"submission {card.name!r}", partial(factory, **shortened(card.resolved("quick"))))


def checked_on_toy(who: str, build: Callable[[], Submission]) -> list[Result]:
    """Every rule on what `build` gives; one that cannot be fitted has broken the first and is asked no other."""
    try:
        subject = Subject(who, build)
    except BenchError as error:
        rest = [result(rule, "not applicable", "it was not fitted") for rule in RULES[1:]]
        return [result(RULES[0], "failed", str(error)), *rest]
    return applied(who, RULES, subject)


def _as_alone(subject: Subject, name: str, call: Call, batch: Callable[[int], Tensor]) -> str:
    """Compare an answer to `x[:1]` alone with the first rows of the answer to `batch(rows)`.

    A call that draws is compared in its mean, since its noise depends on the shape.
    """
    alone = subject.x[:1]
    first = call(alone, rng(0))
    if torch.equal(first, call(alone, rng(1))):
        away = near(f"{name} alone against in a batch", first, call(batch(1), rng(0))[:1, :FRAMES])
        return f"{name} within {away:.1g}"
    one = torch.cat([call(alone, rng(i)) for i in range(DRAWS)])
    many = call(batch(DRAWS), rng(DRAWS))[:DRAWS, :FRAMES]
    if one.shape != many.shape:
        raise Broken(f"{name}: {tuple(one.shape)} alone against {tuple(many.shape)} in a batch")
    floor = 1e-4 * float(one.abs().max())
    error = ((one.var(0) + many.var(0)) / DRAWS + floor**2).sqrt()
    deviations = float(((one.mean(0) - many.mean(0)).abs() / error).max())
    if not (math.isfinite(deviations) and deviations <= DEVIATIONS):
        raise Broken(f"{name}: means of {DRAWS} draws are {deviations:.1f} standard errors apart")
    return f"{name} within {deviations:.1f} standard errors"


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    if not found:
        raise NotApplicable("it offers nothing that answers frame by frame")
    return ", ".join(found)
