"""The self-tests of generation and of its cost: they pass, need no extra, and tell planted faults."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bench.calibration.check import Check
from bench.contract import Skipped
from bench.metrics import audio_collapse, cepstral, distortion, flops, intelligibility, paired_mmd, prosody
from bench.metrics.distortion import Unscorable
from tasks import cost_at_quality as cost
from tasks import frontier, generation_hearing
from tasks import generation_scores as scores
from tasks.selftests import cost_at_quality, generation

CHECKS = {check.name: check for module in (generation, cost_at_quality) for check in module.checks()}
FAST = [check for check in CHECKS.values() if check.preset == "fast"]
SLOPE, COUNTED, LEAST_COST = audio_collapse.level_slope, flops.counted, frontier.least_cost
EXTRAS = ("onnxruntime", "pyworld", "resemblyzer")


def outside(name: str) -> list[str]:
    """Rows of a check that fail at its first seed."""
    check = CHECKS[name]
    rows = check.run(check.seeds[0])
    if isinstance(rows, Skipped):
        pytest.skip(rows.reason)
    # a verdict of numpy's cannot be kept as JSON
    assert {type(row.passed) for row in rows} == {bool}
    return [row.what for row in rows if not row.passed]


@pytest.mark.parametrize("check", FAST, ids=lambda check: check.name)
def test_its_fast_checks_pass(one_thread: None, check: Check) -> None:
    assert outside(check.name) == []


def test_what_needs_an_extra_is_skipped_without_it_and_the_rest_is_not(
    one_thread: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in EXTRAS:
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setattr(prosody, "_world", prosody._world.__wrapped__)
    skipped = [check.name for check in FAST if isinstance(check.run(check.seeds[0]), Skipped)]
    assert skipped == ["generation: pitch"]
    assert isinstance(CHECKS["generation: every column of the truth"].run(0), Skipped)


def biased(x: Any, y: Any, width: float) -> np.ndarray:
    """With the pairs' own terms, of which 2 − 2 k(x_i, y_i) each stays."""
    a, b = np.asarray(x), np.asarray(y)
    own = np.exp(-np.square(a - b).sum(1) / (2 * width**2))
    return paired_mmd.contributions(a, b, width) + (2 - 2 * own) / len(a)


def halved(x: Any, y: Any, width: float) -> np.ndarray:
    """Of half the spread: an interval that is too narrow."""
    found = paired_mmd.contributions(x, y, width)
    return found.mean() + (found - found.mean()) / 2


def unpaired(x: Any, y: Any, width: float) -> np.ndarray:
    """Recordings in another order than the continuations."""
    return paired_mmd.contributions(x, np.roll(np.asarray(y), 1, 0), width)


def first_period(audio: Any) -> float:
    """The shortest period's correlation and not the best one's."""
    mel = distortion.log_mel(audio)
    mel = mel - mel.mean(0)
    lag = round(audio_collapse.SHORTEST_S * audio_collapse.FRAMES_A_SECOND)
    return audio_collapse._correlation(mel[:-lag], mel[lag:])


def with_level(reference: Any, estimate: Any) -> float:
    """A distortion that counts c_0."""
    a, b = (cepstral.cepstra(distortion.log_mel(np.asarray(x))) for x in (reference, estimate))
    return float(cepstral.SCALE * np.sqrt(np.square(a - b)[:, : cepstral.ORDER + 1].sum(1)).mean())


def insertions_alone(reference: str, hypothesis: str) -> intelligibility.WordErrors:
    words = len(intelligibility.normalise(reference).split())
    return intelligibility.WordErrors(max(0, len(hypothesis.split()) - words), words)


def in_octaves(voice: Any, audio: Any) -> float:
    one, other = (prosody.pitch(x)["f0_hz"] for x in (voice, audio))
    return abs(float(np.log2(other / one)))


def steep(audio: Any, level: float) -> float:
    return -SLOPE(audio, level)


def never_silent(metric: str, audio: Any, least_s: float) -> Any:
    """Silence that has an embedding."""
    del metric, least_s
    if not len(audio):
        raise Unscorable("nothing")
    return np.asarray(audio, dtype=np.float64)


def as_macs(call: Any, parts: Any = None) -> Any:
    found = COUNTED(call, parts)
    by_part = {name: count // 2 for name, count in found.by_part.items()}
    return replace(found, flops=found.flops // 2, by_part=by_part)


def without_parts(call: Any, parts: Any = None) -> Any:
    del parts
    return COUNTED(call)


def linear_in_cost(points: Any, target: float) -> Any:
    """Between the two points that it lies between, by cost and not by its logarithm."""
    found = LEAST_COST(points, target)
    if found is None or found.bound:
        return found
    low, high = (next(p for p in points if p.label == label) for label in found.between)
    at = low.cost + (target - low.mean) / (high.mean - low.mean) * (high.cost - low.cost)
    return replace(found, cost=at, values=dict.fromkeys(found.values, at))


def cheapest_that_reaches(points: Any, target: float) -> Any:
    """Nothing between the points."""
    reaching = [p for p in points if p.mean >= target]
    if not reaching:
        return None
    best = min(reaching, key=lambda p: p.cost)
    return frontier.Reached(best.cost, dict.fromkeys(best.quality, best.cost), True, (best.label,))


def best_of_all(points: Any, target: float) -> Any:
    """The best point's cost where none reaches it."""
    best = max(points, key=lambda p: p.mean)
    return LEAST_COST(points, min(target, best.mean))


def narrow(points: Any, target: float) -> Any:
    """Contributions of the upper point alone."""
    found = LEAST_COST(points, target)
    if found is None or found.bound:
        return found
    high = next(p for p in points if p.label == found.between[1])
    return replace(found, values={i: found.cost * (1 - 0.5 * (q - high.mean)) for i, q in high.quality.items()})


FAULTS: list[tuple[str, Any, str, Any, str]] = [
    ("generation: kernel distance", generation_hearing, "contributions", biased, "the same law"),
    ("generation: kernel distance", generation_hearing, "contributions", halved, "error said / found, another law"),
    ("generation: kernel distance", generation_hearing, "contributions", unpaired, "the recordings themselves"),
    ("generation: kernel distance", generation_hearing, "SCALE", 100.0, "another law"),
    ("generation: kernel distance", generation_hearing, "bandwidth", lambda y: 1.5 * paired_mmd.bandwidth(y),
     "another law"),
    ("generation: kernel distance of clips", generation_hearing, "contributions", biased, "the same law"),
    ("generation: signs of collapse", audio_collapse, "SILENT_DB", 43.0, "silence 40.5 dB below the voice"),
    ("generation: signs of collapse", scores.audio_collapse, "level_slope", steep, "level slope at -12 dB/s"),
    ("generation: signs of collapse", scores.audio_collapse, "loop", first_period, "loop of a period of 0.64 s"),
    ("generation: distances", scores.cepstral, "mcd", with_level, "MCD of half the level"),
    ("generation: distances", cepstral, "ORDER", 12, "MCD of an echo"),
    ("generation: pitch", scores, "_shift", in_octaves, "pitch shift of 7 semitones"),
    ("generation: truth, silence, other words", scores.intelligibility, "word_errors", insertions_alone,
     "WER of silence"),
    ("generation: truth, silence, other words", scores.embedding, "checked", never_silent,
     "kernel distances that silence has"),
    ("cost_at_quality: least cost", cost, "BETTER", {"kad": -1, "dnsmos": -1}, "least cost, dnsmos"),
    ("cost_at_quality: costs by part", cost, "counted", as_macs, "gflops"),
    ("cost_at_quality: costs by part", cost, "counted", without_parts, "gflops_head"),
    ("cost_at_quality: least cost", cost, "least_cost", linear_in_cost, "least cost, kad"),
    ("cost_at_quality: least cost", cost, "least_cost", cheapest_that_reaches, "least cost, kad"),
    ("cost_at_quality: least cost", cost, "least_cost", best_of_all, "said to be not reached, kad"),
    ("cost_at_quality: intervals of the crossing", cost_at_quality, "least_cost", narrow,
     "crossings within 1.96 standard errors"),
    ("cost_at_quality: intervals of the crossing", cost_at_quality, "least_cost", cheapest_that_reaches,
     "median of the logarithm of least cost"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "module", "attribute", "fault", "row"), FAULTS)
def test_a_planted_fault_is_told(
    one_thread: None, monkeypatch: pytest.MonkeyPatch, name: str, module: Any, attribute: str, fault: Any, row: str
) -> None:
    monkeypatch.setattr(module, attribute, fault)
    assert row in outside(name)
