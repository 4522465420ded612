"""The innovation rate of submissions whose rate and worth are known."""

import math

import pytest
import torch

from bench.calibration.var1 import VAR1
from bench.contract import InnovationRate as Rate
from bench.contract import Skipped
from bench.errors import PluginError
from bench.metrics.gaussian import kl_diagonal
from bench.stats import Interval
from tasks.innovation_rate import Config, InnovationRate, alarms
from tasks.selftests.innovation_rate import OptimalChannel
from tests.lab import LabCodec, LabContext, ar1, estimates

DIM, KEEP = 4, 0.6


class Channel:
    """z_rec is the first two dimensions of x, sent as N(√KEEP x, 1 − KEEP) under a standard normal prior.

    For unit-variance x the mean KL is −½ ln(1 − KEEP) a dimension: the rate of a Gaussian channel.
    """

    scale = math.sqrt(1 - KEEP)
    worth = True

    def innovation(self, x, generator):
        mean = math.sqrt(KEEP) * x[..., :2]
        one, scale = torch.ones_like(mean), torch.full_like(mean, self.scale)
        kl = kl_diagonal(mean, scale, torch.zeros_like(mean), one)
        dead = torch.zeros_like(kl[..., :1])
        return Rate(kl.sum(-1), torch.full_like(kl[..., 0], 0.25), torch.cat([kl, dead], -1))

    def reconstruct(self, x, source, generator):
        if not self.worth:
            return torch.zeros_like(x)
        sent = math.sqrt(KEEP) * x[..., :2] + self.scale * torch.randn(x[..., :2].shape, generator=generator)
        drawn = torch.randn(x[..., :2].shape, generator=generator)
        estimate = math.sqrt(KEEP) * (sent if source == "posterior" else drawn)
        return torch.cat([estimate, torch.zeros_like(x[..., 2:])], -1)


class Wasted(Channel):
    """The same rate, spent on nothing that is decoded."""

    worth = False


def scored(submission, utterances=20):
    data = {"train": ar1(0.0, DIM, 400, 40, 0), "test": ar1(0.0, DIM, utterances, 40, 1)}
    context = LabContext(InnovationRate.card, data, LabCodec(DIM))
    return estimates(InnovationRate().score(submission, context), data["test"]), context.notes


@pytest.fixture(scope="module")
def channel():
    return scored(Channel(), utterances=150)


def test_the_rate_is_that_of_the_gaussian_channel(channel) -> None:
    result, notes = channel
    assert result["rate_rec"].value == pytest.approx(-math.log(1 - KEEP), abs=0.02)
    assert result["rate_dyn"].value == pytest.approx(0.25)
    assert result["rate"].value == pytest.approx(result["rate_rec"].value + 0.25)
    assert notes["active_dims"] == 2 == result["active_dims"].value and notes["kl_rec_by_dim_nats"][2] == 0.0


def test_distortions_are_those_of_the_channel(channel) -> None:
    """Two of four dimensions at MSE 1 − KEEP, or 1 + KEEP with an independent draw; the others at 1."""
    result, _ = channel
    assert result["posterior_mse"].value == pytest.approx((2 * (1 - KEEP) + 2) / 4, abs=0.02)
    assert result["prior_mse"].value == pytest.approx((2 * (1 + KEEP) + 2) / 4, abs=0.02)
    assert result["usefulness_mse"].value == pytest.approx(KEEP, abs=0.02)
    assert result["usefulness_mel"].low > 0


def test_wasted_bits_buy_nothing() -> None:
    result, _ = scored(Wasted())
    assert result["rate_rec"].value > 0.9
    assert result["usefulness_mse"].value == 0.0 and result["usefulness_mel"].value == 0.0


A, FRAMES, LEVEL = 0.8, 60, 0.1


def predictive(utterances=10, **how):
    data = {"train": ar1(A, DIM, 200, FRAMES, 0), "test": ar1(A, DIM, utterances, FRAMES, 1)}
    context = LabContext(InnovationRate.card, data, LabCodec(DIM))
    submission = OptimalChannel(VAR1.isotropic(A, DIM), LEVEL, **how)
    return estimates(InnovationRate().score(submission, context), data["test"]), context.notes


@pytest.fixture(scope="module")
def optimal():
    return predictive(utterances=60)


def test_the_rate_of_an_optimal_channel_is_the_rate_distortion_function(optimal) -> None:
    """½ ln (1 − a²) / θ a dimension at an error of θ; the first frame, without a past, pays ½ ln 1 / θ."""
    first = -0.5 * math.log(1 - A * A) / FRAMES
    assert optimal[0]["rate"].value == pytest.approx(DIM * (0.5 * math.log((1 - A * A) / LEVEL) + first), rel=0.02)
    assert optimal[0]["posterior_mse"].value == pytest.approx(LEVEL, rel=0.03)
    assert optimal[1]["alarms"] == []


def test_another_utterances_state_costs_what_the_innovation_does_not_make_good(optimal) -> None:
    """z_dyn = a x_{t−1} is replaced by an independent copy, 2 a² apart, of which z_rec sends all but θ / (1 − a²)."""
    found = optimal[0]["state_shuffle_mse"]
    truth = 2 * A * A * (LEVEL / (1 - A * A)) ** 2 * (FRAMES - 1) / FRAMES
    assert found.value == pytest.approx(truth, abs=0.75 * (found.high - found.low)) and found.low > 0.5 * truth
    assert optimal[0]["state_shuffle_mel"].low > 0


def test_each_failure_is_called_by_its_name() -> None:
    assert predictive(worth=False)[1]["alarms"] == ["spent on noise"]
    assert predictive(paid=False)[1]["alarms"] == ["unpaid"]
    assert predictive(worth=False, paid=False)[1]["alarms"] == ["collapsed"]
    assert predictive(state=False)[1]["alarms"] == ["state ignored"]


def test_alarms_look_at_intervals_and_at_least_amounts() -> None:
    at = lambda value, half: Interval(value, value - half, value + half, "utterances", 9, half / 2)  # noqa: E731
    found = {"rate": at(2.0, 0.1), "usefulness_mse": at(0.1, 0.2), "state_shuffle_mse": at(0.002, 0.001)}
    assert alarms(found, Config()) == ["spent on noise", "state ignored"]
    assert alarms({**found, "usefulness_mse": at(0.1, 0.05), "state_shuffle_mse": at(0.1, 0.05)}, Config()) == []


def test_without_the_capability_the_state_columns_say_what_they_need() -> None:
    data = {"train": ar1(0.0, DIM, 20, 40, 0), "test": ar1(0.0, DIM, 5, 40, 1)}
    scores = InnovationRate().score(Channel(), LabContext(InnovationRate.card, data, LabCodec(DIM)))
    reasons = {s.column: s.reason for s in scores if isinstance(s, Skipped)}
    assert {s.column for s in scores} == {c.name for c in InnovationRate.card.columns}
    assert set(reasons) == {"state_shuffle_mse", "state_shuffle_mel"}
    assert all(reason == "needs represent" for reason in reasons.values())


class Clamped(Channel):
    """Reports at least 3 nats: free bits."""

    def innovation(self, x, generator):
        raw = super().innovation(x, generator)
        return Rate(raw.kl_rec.clamp(min=3.0), raw.kl_dyn, raw.kl_rec_by_dim)


def test_a_clamped_rate_is_refused() -> None:
    with pytest.raises(PluginError, match="raw sum of kl_rec_by_dim, got 3"):
        scored(Clamped())
