"""The rollout gap and movement of an exact AR(1) model against their closed forms."""

import math

import pytest
import torch

from tasks.rollout_gap import RolloutGap
from tests.lab import LabCodec, LabContext, OracleAR, ar1, estimates

A, DIM = 0.9, 3
STEPS = {160: 2, 320: 4, 640: 8, 1280: 16}


def scored(submission, **parameters):
    data = {"train": ar1(A, DIM, 200, 40, 0), "test": ar1(A, DIM, 1500, 40, 1)}
    context = LabContext(RolloutGap.card, data, LabCodec(DIM), parameters)
    return estimates(RolloutGap().score(submission, context), data["test"]), context.notes


@pytest.fixture(scope="module")
def oracle():
    return scored(OracleAR(A), draws=16)


def close(measured, truth: float, floor: float) -> None:
    error = (measured.high - measured.low) / (2 * 1.96)
    assert abs(measured.value - truth) <= max(3 * error, floor), f"{measured} against {truth}"


@pytest.mark.parametrize("ms", STEPS)
def test_a_perfect_model_has_the_oracle_gap(oracle, ms: int) -> None:
    """tr(S⁻¹ S_k) − d with samples, half of it with means."""
    excess = DIM * ((1 - A ** (2 * STEPS[ms])) / (1 - A * A) - 1)
    close(oracle[0][f"gap_sampled_{ms}ms"], excess, floor=0.03 * excess)
    close(oracle[0][f"gap_mean_{ms}ms"], excess / 2, floor=0.03 * excess)


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


def test_standing_still_is_exposed(oracle) -> None:
    still, _ = scored(Frozen(A), draws=2)
    assert still["movement_sampled"].value == 0.0
    assert still["gap_sampled_1280ms"].low > oracle[0]["gap_mean_1280ms"].high


def test_explosions_show_in_the_mean_and_are_counted(oracle) -> None:
    result, notes = scored(Exploding(A), draws=2)
    pooled = notes["pooled_nats"]["gap_sampled_1280ms"]
    assert result["gap_sampled_1280ms"].value > 1e4 and result["movement_sampled"].value > 100
    assert result["catastrophic"].value > 0.9 > oracle[0]["catastrophic"].value
    assert pooled["p99_9"] > pooled["trimmed_mean_10"] > pooled["median"] > 0


def test_the_first_rolled_frame_changes_the_next_only() -> None:
    """With k = 1 no rolled frame is in the context: the gap at its position is exactly zero."""
    context = torch.randn(2, 12, DIM)
    truth = context.clone()
    truth[:, 8:] = torch.randn(2, 4, DIM)
    oracle = OracleAR(A)
    same = oracle.log_prob(context, truth, torch.Generator())[:, :9]
    torch.testing.assert_close(same, oracle.log_prob(truth, truth, torch.Generator())[:, :9])
