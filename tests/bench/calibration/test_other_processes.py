"""F7, F8 and F9: simulations and filters against the closed forms."""

import math

import pytest
import torch

from bench.calibration.junk import DecoderJunk
from bench.calibration.speakers import TwoSpeakers
from bench.calibration.two_rate import TwoRate
from bench.metrics.gaussian import LinearGaussian


def ratio(delta: torch.Tensor, cells: torch.Tensor) -> float:
    """Σ over dimensions of variance within cells over variance."""
    within = sum(delta[cells == c].var(0, correction=0).sum() * (cells == c).sum() for c in cells.unique()) / len(delta)
    return float(within / delta.var(0, correction=0).sum())


@pytest.mark.parametrize("seed", [0, 1])
def test_junk_hides_what_the_decoder_hears(seed) -> None:
    process = DecoderJunk(predictable=2)
    x = process.sample(1000, 40, torch.Generator().manual_seed(seed))
    previous, delta = x[:, :-1].flatten(0, 1), (x[:, 1:] - x[:, :-1]).flatten(0, 1)
    # two Lloyd–Max cells are the signs
    cells = ((previous[:, process.predictable] > 0).long() * torch.tensor([1, 2])).sum(1)
    assert ratio(delta, cells) == pytest.approx(process.truth("variance_ratio", cells=2), abs=0.003)
    heard = ratio(delta @ process.decoder.T, cells)
    assert heard == pytest.approx(process.truth("decoder_variance_ratio", cells=2), abs=0.006)
    assert process.truth("variance_ratio", cells=2) > 0.999 > heard
    noise = torch.randn(3, process.dim)
    noise[:, process.predictable] = 0
    assert float((noise @ process.decoder.T).abs().max()) == 0.0


def test_knowing_the_phase_is_worth_more_than_the_averaged_covariances_say() -> None:
    process = TwoRate(torch.ones(1, 1))
    assert process.truth("nll", k=1) == pytest.approx(0.614, abs=5e-4)
    assert process.truth("phase_averaged_nll", k=1) == pytest.approx(0.734, abs=5e-4)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_gain_at_each_phase_is_that_of_a_regression_on_a_long_window(seed) -> None:
    process = TwoRate.example(dim=2, states=1)
    x = process.sample(12_000, 24, torch.Generator().manual_seed(seed))
    for phase in range(4):
        t = 16 + phase
        past, target = x[:, t - 15 : t + 1].flatten(1), x[:, t + 1]
        gain = LinearGaussian(past[:, :0], target).log_prob(past[:, :0], target)
        gain = LinearGaussian(past, target, 1e-6).log_prob(past, target) - gain
        assert float(gain.mean()) == pytest.approx(process.truth("gain_at", k=1, phase=phase), abs=0.03)


@pytest.mark.parametrize("seed", [0, 1])
def test_two_speakers_invent_the_stated_gain(seed) -> None:
    process = TwoSpeakers()
    x = process.sample(2000, 30, torch.Generator().manual_seed(seed))
    own, other = x[0::2], x[1::2]
    rows = lambda y: (y[:, :-1].flatten(0, 1), y[:, 1:].flatten(0, 1))  # noqa: E731
    (c, y), (c_other, y_other) = rows(own), rows(other)
    given, alone = LinearGaussian(c, y), LinearGaussian(c[:, :0], y)
    gain = lambda a, b: float((given.log_prob(a, b) - alone.log_prob(a[:, :0], b)).mean())  # noqa: E731
    assert gain(c, y) == pytest.approx(process.truth("within_gain", k=1), abs=0.03)
    assert gain(c_other, y_other) == pytest.approx(process.truth("unseen_gain", k=1), rel=0.03)
    pooled = LinearGaussian(torch.cat([c, c_other])[:, :0], torch.cat([y, y_other]))
    excess = float((given.log_prob(c, y) - pooled.log_prob(c[:, :0], y)).mean())
    assert excess == pytest.approx(process.truth("gaussian_pooled_gain", k=1), abs=0.04)
    assert process.truth("leaked") == pytest.approx(math.log(2), abs=0.1)
