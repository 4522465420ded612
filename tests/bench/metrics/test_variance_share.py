"""Variance components: known ones come back, without an effect there is none, and a worked example."""

import pytest
import torch

from bench.metrics.variance_share import SpeakerSums, one_way

DIM = 200


def simulated(counts: list[int], between: float, within: float, seed: int = 0) -> SpeakerSums:
    """Utterance means of speakers with these numbers of utterances; dimensions are independent repetitions."""
    rng = torch.Generator().manual_seed(seed)
    sums = SpeakerSums(DIM)
    for speaker, count in enumerate(counts):
        voice = between**0.5 * torch.randn(DIM, generator=rng, dtype=torch.float64)
        for _ in range(count):
            noise = within**0.5 * torch.randn(DIM, generator=rng, dtype=torch.float64)
            sums.add(f"s{speaker}", 10.0 + voice + noise)
    return sums


@pytest.mark.parametrize("counts", [[8] * 40, [1, 2, 3, 5, 8, 13, 21] * 5])
@pytest.mark.parametrize("between", [0.0, 0.3, 0.9])
def test_known_components_come_back_without_bias(counts: list[int], between: float) -> None:
    found = simulated(counts, between, 1 - between).components()
    # standard errors of the means over dimensions are below .012
    assert float(found.between.mean()) == pytest.approx(between, abs=0.03)
    assert float(found.within.mean()) == pytest.approx(1 - between, abs=0.02)
    assert float(found.intraclass.mean()) == pytest.approx(between, abs=0.03)


def test_without_an_effect_half_is_below_zero_and_eta_is_not_zero() -> None:
    found = simulated([4] * 20, 0.0, 1.0).components()
    assert 0.35 < float((found.between < 0).double().mean()) < 0.7
    assert float(found.eta_squared.mean()) == pytest.approx(19 / 79, abs=0.015)


def test_the_stated_direction_of_the_bias_of_icc_with_few_speakers() -> None:
    found = simulated([8] * 3, 0.3, 0.7).components()
    assert float(found.between.mean()) == pytest.approx(0.3, abs=0.07)
    assert float(found.intraclass.mean()) < 0.27


def test_a_worked_example() -> None:
    # groups (1, 3), (5, 7, 9): SS_between 30, SS_within 10 of df 1 and 3; n0 = 5 − 13/5 = 2.4
    sums = SpeakerSums(1)
    for speaker, values in (("a", (1.0, 3.0)), ("b", (5.0, 7.0, 9.0))):
        for value in values:
            sums.add(speaker, torch.tensor([value]))
    found = sums.components()
    between = (30 - 10 / 3) / 2.4
    assert float(found.within) == pytest.approx(10 / 3, rel=1e-12)
    assert float(found.between) == pytest.approx(between, rel=1e-12)
    assert float(found.intraclass) == pytest.approx(between / (between + 10 / 3), rel=1e-12)
    assert float(found.eta_squared) == pytest.approx(0.75, rel=1e-12)


def test_the_share_of_few_speakers_is_not_too_large() -> None:
    # 3 speakers: frames vary by σ_e² + ⅔ σ_s², a frame of any speaker by σ_e² + σ_s²
    found = simulated([50] * 3, 0.5, 0.5, seed=1).components()
    frames = 0.5 + 2 / 3 * found.between
    assert found.concentration == pytest.approx(1 / 3)
    torch.testing.assert_close(found.share_of(frames), found.between / (found.between + 0.5))


def test_what_says_nothing_of_voices_is_said() -> None:
    assert simulated([5], 1.0, 1.0).why_not() == "needs at least 2 speakers, got 1"
    alone = simulated([1, 1, 1], 1.0, 1.0)
    assert alone.why_not() == "one utterance a speaker: voices cannot be told from recordings"
    with pytest.raises(ValueError, match="one utterance a speaker"):
        alone.components()
    assert simulated([1, 2], 1.0, 1.0).why_not() is None


def test_a_dimension_of_one_value_has_no_share() -> None:
    found = one_way(torch.tensor([2.0, 2.0]), torch.zeros(2, 1), torch.zeros(1))
    assert found.intraclass.isnan().all() and found.eta_squared.isnan().all()
