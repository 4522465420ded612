"""ΔNLL against closed forms on iid and AR(1) latents. Tolerances: three standard errors or 0.05 nats."""

import math

import pytest
import torch

from bench.contract import Skipped
from tasks.delta_nll import DeltaNLL
from tasks.horizons import frames_ahead
from tests.lab import LabCodec, LabContext, OracleAR, ar1, estimates, gain

DIM = 3
FIT = {"steps": 60, "crop_frames": 32, "batch": 32, "lr": 3e-3, "evaluate_every": 30}
BUDGET = {"probe": {"width": 32, "components": 1, "fit": FIT}, "linear_window": 2}
HORIZONS = {80: 1, 160: 2, 320: 4, 640: 8}


def splits(a: float, mixing: torch.Tensor | None = None, test: int = 300):
    return {
        "train": ar1(a, DIM, 600, 32, 10, mixing),
        "valid": ar1(a, DIM, 60, 32, 11, mixing),
        "test": ar1(a, DIM, test, 32, 12, mixing),
    }


def scored(submission, data, lookahead: int = 0, **parameters):
    context = LabContext(DeltaNLL.card, data, LabCodec(DIM, lookahead), {**BUDGET, "controls": False, **parameters})
    scores = DeltaNLL().score(submission, context)
    return estimates(scores, data["test"]), scores, context


def close(measured, truth: float, floor: float = 0.05) -> None:
    error = (measured.high - measured.low) / (2 * 1.96)
    assert abs(measured.value - truth) <= max(3 * error, floor), f"{measured} against {truth}"


@pytest.fixture(scope="module")
def strong():
    return scored(OracleAR(0.8), splits(0.8), controls=True, rollout={"draws": 128})


@pytest.fixture(scope="module")
def noise():
    return scored(OracleAR(0.0), splits(0.0))


@pytest.mark.parametrize("ms", HORIZONS)
def test_probe_and_linear_recover_the_gain(strong, ms: int) -> None:
    truth = gain(0.8, DIM, HORIZONS[ms])
    close(strong[0][f"gain_{ms}ms"], truth)
    close(strong[0][f"linear_gain_{ms}ms"], truth)


@pytest.mark.parametrize("ms", HORIZONS)
def test_own_density_recovers_the_gain_and_its_bound_is_below(strong, ms: int) -> None:
    truth, own = gain(0.8, DIM, HORIZONS[ms]), strong[0][f"own_gain_{ms}ms"]
    if ms == 80:
        close(own, truth)
    else:
        # Jensen: below the truth on average, by about var / (2 · draws)
        close(own, truth, floor=0.1)
    assert ("own_gain_160ms" in strong[2].notes["bounds"]) and ("own_gain_80ms" not in strong[2].notes["bounds"])


@pytest.mark.parametrize("ms", HORIZONS)
def test_energy_skill_is_that_of_the_conditional_gaussian(strong, ms: int) -> None:
    """Energy scores of matched Gaussians scale with their standard deviation: skill = 1 − √(1 − a^{2k})."""
    truth = 1 - math.sqrt(1 - 0.8 ** (2 * HORIZONS[ms]))
    close(strong[0][f"es_skill_{ms}ms"], truth, floor=0.04)


@pytest.mark.parametrize("ms", HORIZONS)
def test_shuffled_context_gains_nothing(strong, ms: int) -> None:
    close(strong[0][f"shuffled_gain_{ms}ms"], 0.0, floor=0.03)


def test_nothing_is_predictable_in_noise(noise) -> None:
    for ms in HORIZONS:
        close(noise[0][f"gain_{ms}ms"], 0.0, floor=0.03)
        close(noise[0][f"own_gain_{ms}ms"], 0.0, floor=0.03)
        close(noise[0][f"es_skill_{ms}ms"], 0.0, floor=0.02)


@pytest.mark.parametrize("ms", HORIZONS)
def test_the_notes_increments_are_not_zero_for_noise(noise, ms: int) -> None:
    """(D/2) ln 2 for iid latents, as is their null on permuted frames; the stale Δx has it at k = 1 only."""
    half = 0.5 * DIM * math.log(2)
    close(noise[0][f"increment_gain_{ms}ms"], half)
    close(noise[0][f"increment_null_{ms}ms"], half)
    close(noise[0][f"stale_gain_{ms}ms"], half if ms == 80 else 0.0)
    close(noise[0][f"stale_null_{ms}ms"], half if ms == 80 else 0.0)


@pytest.mark.parametrize("ms", HORIZONS)
def test_the_increments_of_ar1_have_their_closed_forms(strong, ms: int) -> None:
    a, k = 0.8, HORIZONS[ms]
    ahead = 1 - a ** (2 * k)
    close(strong[0][f"increment_gain_{ms}ms"], 0.5 * DIM * math.log(2 * (1 - a**k) / ahead))
    before = 1 - a ** (2 * (k - 1))
    known = (1 - a * a) + (1 - a) ** 2 * before
    close(strong[0][f"stale_gain_{ms}ms"], 0.5 * DIM * math.log(2 * (1 - a) / known))
    close(strong[0][f"increment_null_{ms}ms"], 0.5 * DIM * math.log(2))
    close(strong[0][f"stale_null_{ms}ms"], 0.5 * DIM * math.log(2) if k == 1 else 0.0)
    # gain_Δ − gain_x is the difference of two entropies, and nothing is left over
    close(strong[0][f"increment_offset_{ms}ms"], 0.5 * DIM * math.log(2 * (1 - a**k)))
    note = strong[2].notes["increment_offset_nats"][f"{ms}ms"]
    assert note["gain_difference"] == pytest.approx(note["entropy_difference"], abs=1e-3)
    assert note["of_training_covariances"] == pytest.approx(0.5 * DIM * math.log(2 * (1 - a**k)), abs=0.05)


def test_robust_summaries_and_units_stand_beside_the_mean(strong) -> None:
    result, _, context = strong
    pooled, units = context.notes["pooled_nats"], context.notes["units"]
    for ms in HORIZONS:
        mean = result[f"gain_{ms}ms"].value
        assert pooled[f"gain_{ms}ms"]["mean"] == pytest.approx(mean, abs=1e-4)
        assert pooled[f"gain_{ms}ms"]["tail"] < pooled[f"gain_{ms}ms"]["median"]
        assert units[f"gain_{ms}ms"]["bits_per_dim"] == pytest.approx(mean / math.log(2) / DIM, abs=1e-4)
        assert result[f"catastrophic_{ms}ms"].value < 0.2
    # the median of a gain whose law is skewed to the left lies above its mean
    assert result["gain_median_80ms"].value > result["gain_80ms"].value


def test_an_invertible_map_of_the_target_changes_nothing(strong) -> None:
    mixing = torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.2, 0.5], [0.0, 0.0, 8.0]])

    mapped, _, _ = scored(_StateOnly(), splits(0.8, mixing))
    for ms in HORIZONS:
        close(mapped[f"gain_{ms}ms"], gain(0.8, DIM, HORIZONS[ms]), floor=0.06)


class _StateOnly:
    def represent(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return x


class _Blind:
    """A state of fresh noise, whatever x says."""

    def represent(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(*x.shape[:2], 6, generator=generator)


class _RandomFeatures:
    """An untrained recurrent net: perfectly self-predictable in part, and no news about x."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.gru = torch.nn.GRU(DIM, 32, batch_first=True)

    @torch.no_grad()
    def represent(self, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return self.gru(x)[0]


def test_a_state_that_knows_nothing_gains_nothing() -> None:
    result, scores, _ = scored(_Blind(), splits(0.8))
    for ms in HORIZONS:
        close(result[f"gain_{ms}ms"], 0.0, floor=0.03)
    reasons = {s.column: s.reason for s in scores if isinstance(s, Skipped)}
    assert reasons["own_gain_80ms"] == "needs log_prob" and reasons["es_skill_640ms"] == "needs rollout"


def test_an_untrained_recurrence_on_noise_gains_nothing() -> None:
    result, _, _ = scored(_RandomFeatures(), splits(0.0))
    for ms in HORIZONS:
        close(result[f"gain_{ms}ms"], 0.0, floor=0.03)


def test_lookahead_moves_the_target_and_drops_the_own_density() -> None:
    result, scores, _ = scored(OracleAR(0.8), splits(0.8), lookahead=1)
    close(result["gain_80ms"], gain(0.8, DIM, 2))
    assert {s.reason for s in scores if isinstance(s, Skipped) and "own" in (s.column or "")} == {
        "the codec looks ahead"
    }


def test_short_utterances_are_named_not_scored() -> None:
    data = splits(0.8, test=20)
    short = data["test"][0]
    data["test"][0] = type(short)(short.id, short.speaker, short.x[:6])
    _, scores, _ = scored(OracleAR(0.8), data)
    by_name = {s.column: s for s in scores}
    assert short.id in by_name["gain_320ms"].values and short.id not in by_name["gain_640ms"].values
    assert "6 frames" in by_name["gain_640ms"].unscored[short.id]
    assert "6 frames" in by_name["es_skill_80ms"].unscored[short.id]


def test_horizons_are_milliseconds_of_whole_frames() -> None:
    from bench.contract import CodecInfo
    from bench.errors import DataError

    assert frames_ahead(640, CodecInfo("c", 16_000, 1280, 8)) == 8
    assert frames_ahead(80, CodecInfo("c", 24_000, 480, 8)) == 4
    assert frames_ahead(80, CodecInfo("c", 16_000, 1280, 8, lookahead=2)) == 3
    with pytest.raises(DataError, match="80 ms is 6.8"):
        frames_ahead(80, CodecInfo("c", 44_100, 512, 8))


def test_few_draws_lower_the_bound() -> None:
    few, _, _ = scored(OracleAR(0.8), splits(0.8), rollout={"draws": 4}, probe={"family": "linear"})
    assert few["own_gain_640ms"].high < gain(0.8, DIM, 8) - 0.2
