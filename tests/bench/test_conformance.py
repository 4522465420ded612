"""Every rule bites: a plug-in that keeps all, and for each rule one that is broken in that way alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from bench.conformance import codec, dataset, submission, task
from bench.conformance.report import passed, terminal
from bench.conformance.rule import Result, applied, shortened
from bench.conformance.toy import ToyModel
from bench.contract import CodecInfo, LatentUtterance, Utterance
from tests.conftest import Done
from tests.examples.marginal_gaussian import MarginalGaussian
from tests.plugins import Lab

COUNT = itertools.count(1)


def failed(results: Iterable[Result]) -> set[str]:
    return {one.rule for one in results if one.verdict == "failed"}


# --- submissions -------------------------------------------------------------------------------------------


class Unfittable(ToyModel):
    def fit(self, train: Any, valid: Any, context: Any) -> None:
        raise ValueError("no")


class NotFinite(ToyModel):
    def fit(self, train: Any, valid: Any, context: Any) -> None:
        super().fit(train, valid, context)
        self.tensors["bias"] = self.tensors["bias"] / 0.0


class FitsByChance(ToyModel):
    def fit(self, train: Any, valid: Any, context: Any) -> None:
        super().fit(train, valid, context)
        self.tensors["bias"] = self.tensors["bias"] + 1e-3 * next(COUNT)


class Forgetful(ToyModel):
    def load_state(self, state: Any, codec: Any, device: torch.device) -> None:
        super().load_state(state, codec, device)
        self.tensors["step"] = self.tensors["step"] * 1.01


class Moody(ToyModel):
    def generate(self, frames: int, draws: int, generator: torch.Generator) -> Tensor:
        return super().generate(frames, draws, generator) + next(COUNT)


class NeedsLength(ToyModel):
    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return F.pad(x, (0, 0, 3, 0), mode="reflect")[:, 3:]


class Mingles(ToyModel):
    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x - x.mean(0)


class MinglesWhatItDraws(ToyModel):
    """Right in shape and spread; only its mean moves with the batch."""

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x - x.mean(0) + 0.01 * torch.randn(x.shape, generator=generator)


class CountsFrames(ToyModel):
    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x * x.shape[1]


class LooksAhead(ToyModel):
    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x + 1e-6 * torch.cat([x[:, 1:], x[:, -1:]], 1)


class KnowsItsTarget(ToyModel):
    """Cheats through the context: the frame to be predicted shifts the mean."""

    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        return super().log_prob(context, target - 0.5 * context, generator)


class ReadsOtherTargets(ToyModel):
    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        return super().log_prob(target, target, generator)


class PriorSees(ToyModel):
    def reconstruct(self, x: Tensor, source: Any, generator: torch.Generator) -> Tensor:
        return super().reconstruct(x, source, generator) + 1e-6 * x


class Improper(ToyModel):
    """The volume of its whitening is forgotten."""

    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        return super().log_prob(context, target, generator) + self.tensors["spread"].log().sum()


class Overstated(ToyModel):
    """A "bound" that is above the density; one below it passes."""

    likelihood = "bound"
    shift = 0.05

    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        return super().log_prob(context, target, generator) + self.shift


class Modest(Overstated):
    shift = -0.5


class Mean(ToyModel):
    def rollout(self, prompt: Tensor, frames: int, draws: int, generator: Any, mean: bool = False) -> Tensor:
        return super().rollout(prompt, frames, draws, generator)


class Crowded(ToyModel):
    def rollout(self, prompt: Tensor, frames: int, draws: int, generator: Any, mean: bool = False) -> Tensor:
        return super().rollout(prompt, frames, draws, generator, mean) + prompt.mean()


class SaysTheLongest(ToyModel):
    """Every text as long as the longest."""

    def speak(self, texts: Any, references: Any, frames: int, generator: Any) -> Any:
        return super().speak([max(texts, key=len)] * len(texts), references, frames, generator)


class Overwrites(ToyModel):
    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        found = super().log_prob(context, target, generator)
        target[0, 0, 0] = 0.0
        return found


def touching(what: Callable[[], Any]) -> type[ToyModel]:
    class Touches(ToyModel):
        def fit(self, train: Any, valid: Any, context: Any) -> None:
            super().fit(train, valid, context)
            what()

    return Touches


@pytest.mark.parametrize(
    ("plugin", "rules"),
    [
        (Unfittable, {"fit_completes"}),
        (NotFinite, {"fit_completes"}),
        (FitsByChance, {"fit_repeats"}),
        (Forgetful, {"state_is_all"}),
        (Moody, {"generator_decides"}),
        (NeedsLength, {"lengths_come_back"}),
        (Mingles, {"batch_changes_nothing"}),
        (MinglesWhatItDraws, {"batch_changes_nothing"}),
        (CountsFrames, {"padding_changes_nothing"}),
        (LooksAhead, {"future_is_unseen"}),
        (KnowsItsTarget, {"density_reads_the_past"}),
        (ReadsOtherTargets, {"density_reads_the_past"}),
        (PriorSees, {"prior_is_blind"}),
        (Improper, {"density_has_mass_one"}),
        (Overstated, {"density_has_mass_one"}),
        (Mean, {"rollout_continues"}),
        (Crowded, {"rollout_continues"}),
        (SaysTheLongest, {"speech_answers_its_text"}),
        (Overwrites, {"inputs_are_left_alone"}),
        (touching(lambda: torch.manual_seed(0)), {"process_is_left_alone"}),
        (touching(lambda: np.random.seed(0)), {"process_is_left_alone"}),  # noqa: NPY002
        (touching(lambda: torch.set_default_dtype(torch.float64)), {"process_is_left_alone"}),
        (touching(lambda: torch.set_grad_enabled(False)), {"process_is_left_alone"}),
        (touching(lambda: torch.set_num_threads(3)), {"process_is_left_alone"}),
    ],
)
def test_a_broken_submission_breaks_its_rule(one_thread: None, plugin: Any, rules: set[str]) -> None:
    before = torch.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    results = submission.checked_on_toy("submission 's'", plugin)
    assert rules <= failed(results), [(r.rule, r.detail) for r in results]
    # what follows from one defect is named too, but no rule that has nothing to do with it
    follows = {"padding_changes_nothing", "batch_changes_nothing", "density_has_mass_one", "density_reads_the_past"}
    follows |= {"state_is_all"} if rules == {"inputs_are_left_alone"} else set()
    assert failed(results) - rules <= follows
    after = torch.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled(), torch.get_num_threads()
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]


@pytest.mark.parametrize("plugin", [ToyModel, Modest, MarginalGaussian])
def test_a_sound_submission_keeps_every_rule(one_thread: None, plugin: Any) -> None:
    results = submission.checked_on_toy("submission 's'", plugin)
    assert passed(results), [(r.rule, r.detail) for r in results if r.verdict == "failed"]


def test_what_is_not_offered_does_not_apply(one_thread: None) -> None:
    results = submission.checked_on_toy("submission 's'", MarginalGaussian)
    reasons = {r.rule: r.detail for r in results if r.verdict == "not applicable"}
    assert reasons["rollout_continues"] == "it does not offer rollout"
    assert reasons["prior_is_blind"] == "it does not offer reconstruct"


def test_the_mass_of_the_toy_is_one(one_thread: None) -> None:
    """The grid alone: its own error is far below the tolerance."""
    results = submission.checked_on_toy("submission 's'", ToyModel)
    (found,) = [r.detail for r in results if r.rule == "density_has_mass_one"]
    assert found == "exact: integrates to 1.0000"


def test_budgets_are_cut_wherever_they_are() -> None:
    given = {"steps": 900, "probe": {"fit": {"steps": 1000, "lr": 0.1}}, "draws": 8}
    assert shortened(given) == {"steps": 6, "probe": {"fit": {"steps": 6, "lr": 0.1}}, "draws": 8}
    assert shortened({"steps": 2}) == {"steps": 2}


# --- codecs ------------------------------------------------------------------------------------------------

HOP = 320


class Levels:
    """Log-levels of the quarters of a frame, in steps of a half as codes."""

    lookahead = 0

    def __init__(self) -> None:
        self.info = CodecInfo("levels", 16_000, HOP, 4, self.lookahead, (64,) * 4)

    def to(self, device: torch.device) -> Any:
        return self

    def encode(self, audio: Tensor) -> Tensor:
        padded = F.pad(audio[:, 0], (0, -audio.shape[-1] % HOP))
        return padded.unflatten(-1, (-1, 4, HOP // 4)).square().mean(-1).clamp(min=1e-8).log()

    def decode(self, latents: Tensor) -> Tensor:
        return (0.5 * latents).exp().repeat_interleave(HOP // 4, 2).flatten(1)[:, None].clamp(-1, 1)

    def codes(self, latents: Tensor) -> Tensor:
        return ((latents + 20.0) * 2.0).round().long().clamp(0, 63)

    def from_codes(self, codes: Tensor) -> Tensor:
        return F.pad(codes / 2.0 - 20.0, (0, 4 - codes.shape[-1]))


class DropsTheRest(Levels):
    def encode(self, audio: Tensor) -> Tensor:
        return super().encode(audio)[:, : max(1, audio.shape[-1] // HOP)]


class Doubles(Levels):
    def encode(self, audio: Tensor) -> Tensor:
        return super().encode(audio).double()


class Jitters(Levels):
    def decode(self, latents: Tensor) -> Tensor:
        return super().decode(latents) * (1.0 - 1e-3 * next(COUNT))


class HearsAhead(Levels):
    def encode(self, audio: Tensor) -> Tensor:
        x = super().encode(audio)
        return x + torch.cat([x[:, 1:], x[:, -1:] * 0.0 - 18.42], 1)


class SaysSo(HearsAhead):
    lookahead = 1


class Centres(Levels):
    def encode(self, audio: Tensor) -> Tensor:
        x = super().encode(audio)
        return x - x.mean(0)


class CountsSamples(Levels):
    def encode(self, audio: Tensor) -> Tensor:
        return super().encode(audio) / audio.shape[-1]


class OutOfRange(Levels):
    def codes(self, latents: Tensor) -> Tensor:
        return super().codes(latents) + 40

    def from_codes(self, codes: Tensor) -> Tensor:
        return super().from_codes(codes - 40)


class Drifts(Levels):
    def from_codes(self, codes: Tensor) -> Tensor:
        return super().from_codes(codes) * 3.0


class AllOrNothing(Levels):
    def from_codes(self, codes: Tensor) -> Tensor:
        return codes @ torch.eye(4, dtype=torch.int64) / 2.0 - 20.0


class AfraidOfSilence(Levels):
    def encode(self, audio: Tensor) -> Tensor:
        padded = F.pad(audio[:, 0], (0, -audio.shape[-1] % HOP), value=0.1)
        return padded.unflatten(-1, (-1, 4, HOP // 4)).square().mean(-1).log()


class Loud(Levels):
    def decode(self, latents: Tensor) -> Tensor:
        return super().decode(latents) * 1.5


class Scribbles(Levels):
    def decode(self, latents: Tensor) -> Tensor:
        out = super().decode(latents)
        latents[0, 0, 0] = 7.0
        return out


class Seeds(Levels):
    def encode(self, audio: Tensor) -> Tensor:
        torch.manual_seed(0)
        return super().encode(audio)


@pytest.mark.parametrize(
    ("plugin", "rule"),
    [
        (DropsTheRest, "lengths_come_back"),
        (Doubles, "lengths_come_back"),
        (Jitters, "repeats"),
        (HearsAhead, "lookahead_is_stated"),
        (Centres, "batch_changes_nothing"),
        (CountsSamples, "padding_changes_nothing"),
        (OutOfRange, "codes_are_in_range"),
        (Drifts, "codes_are_kept"),
        (AllOrNothing, "stages_add_up"),
        (AfraidOfSilence, "extremes_are_finite"),
        (Loud, "extremes_are_finite"),
        (Scribbles, "inputs_are_left_alone"),
        (Seeds, "process_is_left_alone"),
    ],
)
def test_a_broken_codec_breaks_its_rule(one_thread: None, plugin: Any, rule: str) -> None:
    results = applied("codec 'c'", codec.RULES, codec.Subject("codec 'c'", plugin))
    assert rule in failed(results), [(r.rule, r.detail) for r in results]


@pytest.mark.parametrize("plugin", [Levels, SaysSo])
def test_a_sound_codec_keeps_every_rule(one_thread: None, plugin: Any) -> None:
    results = applied("codec 'c'", codec.RULES, codec.Subject("codec 'c'", plugin))
    assert passed(results), [(r.rule, r.detail) for r in results if r.verdict == "failed"]


# --- datasets ----------------------------------------------------------------------------------------------


class Noise:
    name, digest, grammar, speakers_known = "noise", "0" * 64, None, True
    refused, converted = {}, {}

    def utterances(self, split: Any) -> list[Utterance]:
        return [Utterance(f"{split}{i}", f"s{i % 2}", split, f"{split} text {i}") for i in range(3)]

    def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
        rng = np.random.default_rng(list(utterance.id.encode()))
        return rng.uniform(-1, 1, sample_rate // 10).astype(np.float32)


def dataset_with(**changes: Any) -> Callable[[], Any]:
    return type("Changed", (Noise,), changes)


def renamed(change: Callable[[Utterance], Utterance]) -> Callable[..., Any]:
    return lambda self, split: [change(u) for u in Noise.utterances(self, split)]


def louder(change: Callable[[np.ndarray], np.ndarray]) -> Callable[..., Any]:
    return lambda self, utterance, rate: change(Noise.audio(self, utterance, rate))


@pytest.mark.parametrize(
    ("build", "rule"),
    [
        (dataset_with(utterances=lambda self, split: []), "splits_are_filled"),
        (dataset_with(utterances=renamed(lambda u: replace(u, split="train"))), "splits_are_filled"),
        (dataset_with(utterances=renamed(lambda u: replace(u, id=u.id[-1]))), "ids_are_unique"),
        (dataset_with(utterances=renamed(lambda u: replace(u, text="Twice  said"))), "transcripts_are_disjoint"),
        (dataset_with(audio=louder(lambda x: 2 * x)), "audio_is_mono_float32"),
        (dataset_with(audio=louder(lambda x: 0 * x)), "audio_is_mono_float32"),
        (dataset_with(audio=louder(lambda x: x.astype(np.float64))), "audio_is_mono_float32"),
        (dataset_with(audio=louder(lambda x: np.stack([x, x]))), "audio_is_mono_float32"),
        (
            dataset_with(audio=louder(lambda x: x * np.float32("nan"))),
            "audio_is_mono_float32",
        ),
        (dataset_with(audio=lambda self, u, rate: Noise.audio(self, u, 16_000)), "duration_is_kept"),
        (dataset_with(digest=property(lambda self: str(id(self)))), "built_again_it_is_the_same"),
        (
            dataset_with(utterances=renamed(lambda u: replace(u, speaker=str(next(COUNT))))),
            "built_again_it_is_the_same",
        ),
        (dataset_with(audio=louder(lambda x: x / (1 + next(COUNT)))), "built_again_it_is_the_same"),
        (dataset_with(audio=louder(lambda x: (np.random.seed(1), x)[1])), "process_is_left_alone"),  # noqa: NPY002
    ],
)
def test_a_broken_dataset_breaks_its_rule(build: Callable[[], Any], rule: str) -> None:
    results = applied("dataset 'd'", dataset.RULES, dataset.Subject("dataset 'd'", build))
    assert rule in failed(results), [(r.rule, r.detail) for r in results]


def test_a_sound_dataset_keeps_every_rule() -> None:
    results = applied("dataset 'd'", dataset.RULES, dataset.Subject("dataset 'd'", Noise))
    assert passed(results) and not failed(results)
    silent = dataset_with(utterances=renamed(lambda u: replace(u, text=None)))
    found = applied("dataset 'd'", dataset.RULES, dataset.Subject("dataset 'd'", silent))
    assert {r.rule for r in found if r.verdict == "not applicable"} == {"transcripts_are_disjoint"}


# --- tasks -------------------------------------------------------------------------------------------------


def test_a_sound_task_keeps_every_rule(lab: Lab) -> None:
    for name in ("density", "moves"):
        results = task.check(name)
        assert passed(results), [(r.rule, r.detail) for r in results if r.verdict == "failed"]


@pytest.mark.parametrize(
    ("file", "old", "new", "rule"),
    [
        ("density.py", "card = task_card(__file__)", "card = task_card(__file__).model_copy(update={'version': 9})",
         "card_is_valid"),
        ("density.py", "values = {}", "values, _ = {}, submission.rollout", "needs_are_enough"),
        ("density.toml", 'needs = ["log_prob"]', 'needs = ["log_prob", "rollout"]', "needs_are_used"),
        ("density.py", "return [Score(", "return [] or [][:0] and [Score(", "columns_are_answered"),
        ("density.py", "-float(log_p.mean())", "float('nan')", "columns_are_answered"),
        ("density.py", "-float(log_p.mean())", "-float(log_p.mean()) + __import__('time').perf_counter()",
         "scores_repeat"),
        ("density.py", "-float(log_p.mean())", "float(u.x.mul_(2).mean())", "submission_is_left_alone"),
        ("density.py", "-float(log_p.mean())", "float(__import__('torch').rand(()))", "process_is_left_alone"),
    ],
)  # fmt: skip
def test_a_broken_task_breaks_its_rule(lab: Lab, file: str, old: str, new: str, rule: str) -> None:
    lab.change(file, old, new)
    results = task.check("density")
    assert rule in failed(results), [(r.rule, r.detail) for r in results]


# --- the command -------------------------------------------------------------------------------------------


def test_the_command_names_what_is_broken_and_says_so_to_the_shell(lab: Lab, bench: Callable[..., Done]) -> None:
    done = bench("conformance", "density")
    assert done.code == 0, done.err
    assert "0 failed" in done.out
    lab.change("density.py", "-float(log_p.mean())", "float('nan')")
    done = bench("conformance", "density")
    assert done.code == 1
    assert "columns_are_answered" in done.out and "FAILED" in done.out and "is not finite" in done.out
    # a codec of which nothing is known but its name, as it is installed
    assert bench("conformance", "levels").out.count("FAILED") == 0


def test_an_unknown_or_ambiguous_name_is_one_line(lab: Lab, bench: Callable[..., Done]) -> None:
    done = bench("conformance", "nothing")
    assert done.code == 2 and "no card or plug-in 'nothing'; there are: codecs: " in done.err
    assert "codecs: levels" in done.err
    lab.install("datasets", density="tinylab.data:Noise")
    done = bench("conformance", "density")
    assert done.code == 2 and "'density' is among datasets and tasks; say which with --kind" in done.err
    assert bench("conformance", "density", "--kind", "tasks").code == 0
    done = bench("conformance", "density", "--kind", "suites")
    assert done.code == 2 and "--kind is one of submissions, codecs, datasets, tasks" in done.err


def test_the_table_tells_what_must_hold_and_the_numbers() -> None:
    shown = terminal("x", [Result("a_rule", "It holds.", "failed", "by 3 of 4"), Result("b", "So.", "passed", "2")])
    assert "a_rule" in shown and "It holds." in shown and "by 3 of 4" in shown
    assert shown.endswith("x: 1 passed, 1 failed, 0 not applicable")
    assert not passed([Result("b", "So.", "not applicable", "")])


def test_latents_that_a_fit_writes_into_are_noticed(one_thread: None) -> None:
    class Scales(ToyModel):
        def fit(self, train: Any, valid: Any, context: Any) -> None:
            first: LatentUtterance = train[0]
            first.x.mul_(2.0)
            super().fit(train, valid, context)

    found = submission.checked_on_toy("submission 's'", Scales)
    assert failed(found) == {"inputs_are_left_alone"}
