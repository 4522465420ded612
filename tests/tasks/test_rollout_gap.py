"""The rollout gap, its crossings, movement and collapse, of exact and of broken AR(1) models, against closed forms."""

import math

import pytest
import torch

from bench.contract import Skipped
from tasks.rollout_gap import RolloutGap
from tests.lab import LabCodec, LabContext, OracleAR, ar1, estimates

A, DIM = 0.9, 3
STEPS = {160: 2, 320: 4, 640: 8, 1280: 16}


def scored(submission, utterances=300, **parameters):
    data = {"train": ar1(A, DIM, 400, 40, 0), "test": ar1(A, DIM, utterances, 40, 1)}
    context = LabContext(RolloutGap.card, data, LabCodec(DIM), parameters)
    return estimates(RolloutGap().score(submission, context), data["test"]), context.notes


class Oracle(OracleAR):
    """Knows its own floor."""

    def rollout_floor(self, k: int, mean: bool) -> float:
        return excess(k) / (2 if mean else 1)


def excess(k: int) -> float:
    """tr(S⁻¹ S_k) − d."""
    return DIM * ((1 - A ** (2 * k)) / (1 - A * A) - 1)


def crossing_ms(curve) -> float:
    """Of a falling curve at k = 1, 2, …, linear between frames, 80 ms each."""
    last = max(k for k, value in enumerate(curve, 1) if value > 0)
    return 80 * (last + curve[last - 1] / (curve[last - 1] - curve[last]))


@pytest.fixture(scope="module")
def oracle():
    return scored(Oracle(A), utterances=1500)


def close(measured, truth: float, floor: float) -> None:
    error = (measured.high - measured.low) / (2 * 1.96)
    assert abs(measured.value - truth) <= max(3 * error, floor), f"{measured} against {truth}"


@pytest.mark.parametrize("ms", STEPS)
def test_a_perfect_model_has_the_oracle_gap(oracle, ms: int) -> None:
    """tr(S⁻¹ S_k) − d with samples, half of it with means."""
    truth = excess(STEPS[ms])
    close(oracle[0][f"gap_sampled_{ms}ms"], truth, floor=0.03 * truth)
    close(oracle[0][f"gap_mean_{ms}ms"], truth / 2, floor=0.03 * truth)


def test_the_curve_holds_every_frame_with_its_floor(oracle) -> None:
    curve = oracle[1]["curves"]["gap_sampled"]
    assert [point["ms"] for point in curve] == [80 * k for k in range(1, 17)]
    assert curve[0]["value"] == curve[0]["low"] == curve[0]["high"] == 0.0
    for k, point in enumerate(curve, 1):
        assert point["floor"] == pytest.approx(excess(k))
        assert abs(point["value"] - point["floor"]) <= max(0.8 * (point["high"] - point["low"]), 0.03 * excess(k))
    assert oracle[1]["impossible"] == []


def test_the_floor_is_taken_off_where_it_is_known(oracle) -> None:
    close(oracle[0]["excess_1280ms"], 0.0, floor=0.03 * excess(16))
    assert "excess_1280ms" not in scored(OracleAR(A), seeds=1)[0]


def test_a_right_model_has_its_own_floor(oracle) -> None:
    close(oracle[0]["self_floor"], excess(16), floor=0.03 * excess(16))


def test_own_context_is_worse_than_none_where_the_closed_form_says(oracle) -> None:
    gain = -0.5 * DIM * math.log(1 - A * A)
    close(oracle[0]["first_divergence"], crossing_ms([gain - excess(k) for k in range(1, 17)]), floor=3.0)


def test_the_predictive_horizon_is_where_the_energy_skill_has_fallen(oracle) -> None:
    """Predicted and true futures differ by √(1 − a^{2k}) of what independent ones do."""
    skill = [1 - math.sqrt(1 - A ** (2 * k)) for k in range(1, 17)]
    close(oracle[0]["predictive_horizon"], crossing_ms([s - 0.05 for s in skill]), floor=20.0)
    for point, truth in zip(oracle[1]["curves"]["es_skill"], skill, strict=True):
        assert abs(point["value"] - truth) <= max(0.8 * (point["high"] - point["low"]), 0.01)


def test_seeds_differ_by_their_sampling_error(oracle) -> None:
    spread = oracle[1]["seeds_nats"]["1280ms"]
    assert len(spread["values"]) == 4 and 0 < spread["sd"] < 0.05 * excess(16)
    assert sum(spread["values"]) / 4 == pytest.approx(oracle[0]["gap_sampled_1280ms"].value, rel=1e-4)


def test_movement_is_one_for_samples_and_the_decay_for_means(oracle) -> None:
    close(oracle[0]["movement_sampled"], 1.0, floor=0.02)
    # means: x_{t+j} = a^j x_t, so steps (1 − a) a^{j−1} ‖x_t‖, against √(2 (1 − a)) ‖n‖ with the same mean norm
    mean = (1 - A) * sum(A**j for j in range(16)) / 16 / math.sqrt(2 * (1 - A))
    close(oracle[0]["movement_mean"], mean, floor=0.02)


class Frozen(OracleAR):
    """Repeats the last frame for ever."""

    def rollout(self, prompt, frames, draws, generator, mean=False):
        return prompt[:, None, -1:].expand(-1, draws, frames, -1)


class Exploding(OracleAR):
    def rollout(self, prompt, frames, draws, generator, mean=False):
        return 1.9 ** torch.arange(1, frames + 1)[:, None] * prompt[:, None, -1:].expand(-1, draws, frames, -1)


class Cyclic(OracleAR):
    """Repeats its first three frames for ever."""

    def rollout(self, prompt, frames, draws, generator, mean=False):
        once = super().rollout(prompt, 3, draws, generator, mean)
        return once.repeat(1, 1, -(-frames // 3), 1)[:, :, :frames]


@pytest.fixture(scope="module")
def frozen():
    return scored(Frozen(A), seeds=1)


def test_standing_still_is_exposed(oracle, frozen) -> None:
    still, notes = frozen
    assert still["movement_sampled"].value == 0.0
    assert still["gap_sampled_1280ms"].low > oracle[0]["gap_mean_1280ms"].high
    assert still["collapsed"].value == 1.0 and notes["collapse"]["sampled"]["still"] == 1.0


def test_a_cycle_is_detected_by_name() -> None:
    result, notes = scored(Cyclic(A), seeds=1)
    assert result["collapsed"].value == 1.0
    assert notes["collapse"]["sampled"]["cyclic"] == 1.0 > notes["collapse"]["sampled"]["still"]


def test_explosions_show_in_the_mean_and_are_counted(oracle) -> None:
    result, notes = scored(Exploding(A), seeds=1)
    pooled = notes["pooled_nats"]["gap_sampled_1280ms"]
    assert result["gap_sampled_1280ms"].value > 1e4 and result["movement_sampled"].value > 100
    assert result["catastrophic"].value > 0.9 > oracle[0]["catastrophic"].value
    assert pooled["tail"] > pooled["trimmed_mean_10"] > pooled["median"] > 0
    assert notes["collapse"]["sampled"]["exploding"] == 1.0


def test_real_futures_and_a_perfect_model_rarely_look_collapsed(oracle) -> None:
    """At most 1 % for each of three detectors, and what thresholds from 1600 training windows leave."""
    shares = oracle[1]["collapse"]
    for kind in ("real", "sampled"):
        assert all(shares[kind][name] < 0.02 for name in ("still", "cyclic", "exploding"))
    assert oracle[0]["collapsed"].value == pytest.approx(shares["real"]["any"], abs=0.015)


class Oracular(OracleAR):
    """Scores frames well when its context is not the true one: no honest density can."""

    def log_prob(self, context, target, generator):
        own = (context != target).flatten(1).any(1)
        return super().log_prob(context, target, generator) + 50.0 * own[:, None]


def test_a_rolled_prefix_that_informs_better_than_the_true_one_is_flagged() -> None:
    _, notes = scored(Oracular(A), seeds=1)
    assert {point["what"] for point in notes["impossible"]} == {"gap_sampled", "gap_mean"}
    assert all(point["high"] < 0 and point["ms"] > 80 for point in notes["impossible"])


def test_noise_has_no_gap_no_horizon_and_nothing_to_diverge_from() -> None:
    data = {"train": ar1(0.0, DIM, 200, 40, 0), "test": ar1(0.0, DIM, 400, 40, 1)}
    scores = RolloutGap().score(OracleAR(0.0), LabContext(RolloutGap.card, data, LabCodec(DIM)))
    reasons = {s.column: s.reason for s in scores if isinstance(s, Skipped)}
    found = estimates(scores, data["test"])
    assert "nothing to diverge from" in reasons["first_divergence"]
    assert found["predictive_horizon"].value == 0.0 and abs(found["gap_sampled_1280ms"].value) < 1e-6


def test_one_sample_answers_what_it_can() -> None:
    data = {"train": ar1(A, DIM, 200, 40, 0), "test": ar1(A, DIM, 200, 40, 1)}
    context = LabContext(RolloutGap.card, data, LabCodec(DIM), {"seeds": 1, "draws": 1})
    scores = RolloutGap().score(OracleAR(A), context)
    assert {s.column for s in scores} == {c.name for c in RolloutGap.card.columns}
    reasons = {s.column: s.reason for s in scores if isinstance(s, Skipped)}
    assert reasons["self_floor"] == reasons["predictive_horizon"] == "needs two samples"
    assert context.notes["seeds_nats"]["160ms"]["sd"] is None


class Joint(OracleAR):
    likelihood = "joint bound"


def test_terms_of_a_joint_bound_are_not_held_against_a_marginal() -> None:
    data = {"train": ar1(A, DIM, 50, 40, 0), "test": ar1(A, DIM, 50, 40, 1)}
    context = LabContext(RolloutGap.card, data, LabCodec(DIM), {"seeds": 1})
    scores = RolloutGap().score(Joint(A), context)
    (reason,) = [s.reason for s in scores if isinstance(s, Skipped) and s.column == "first_divergence"]
    assert "whole utterances" in reason and context.notes["likelihood"] == "joint bound"


def test_utterances_without_a_future_skip_the_task() -> None:
    data = {"train": ar1(A, DIM, 50, 40, 0), "test": ar1(A, DIM, 5, 23, 1)}
    (only,) = RolloutGap().score(OracleAR(A), LabContext(RolloutGap.card, data, LabCodec(DIM)))
    assert only == Skipped("no utterance has 24 frames, for an anchor and its future")


def test_the_first_rolled_frame_changes_the_next_only() -> None:
    """With k = 1 no rolled frame is in the context: the gap at its position is exactly zero."""
    context = torch.randn(2, 12, DIM)
    truth = context.clone()
    truth[:, 8:] = torch.randn(2, 4, DIM)
    oracle = OracleAR(A)
    same = oracle.log_prob(context, truth, torch.Generator())[:, :9]
    torch.testing.assert_close(same, oracle.log_prob(truth, truth, torch.Generator())[:, :9])
