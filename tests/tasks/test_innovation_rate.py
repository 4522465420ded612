"""The innovation rate of submissions whose rate and worth are known."""

import math

import pytest
import torch

from bench.contract import InnovationRate as Rate
from bench.metrics.gaussian import kl_diagonal
from tasks.innovation_rate import InnovationRate
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


def scored(submission):
    data = {"train": ar1(0.0, DIM, 400, 40, 0), "test": ar1(0.0, DIM, 600, 40, 1)}
    context = LabContext(InnovationRate.card, data, LabCodec(DIM))
    return estimates(InnovationRate().score(submission, context), data["test"]), context.notes


@pytest.fixture(scope="module")
def channel():
    return scored(Channel())


def test_the_rate_is_that_of_the_gaussian_channel(channel) -> None:
    result, notes = channel
    assert result["rate_rec"].value == pytest.approx(-math.log(1 - KEEP), abs=0.02)
    assert result["rate_dyn"].value == pytest.approx(0.25)
    assert result["rate"].value == pytest.approx(result["rate_rec"].value + 0.25)
    assert notes["active_dims"] == 2 and notes["kl_rec_by_dim_nats"][2] == 0.0


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
