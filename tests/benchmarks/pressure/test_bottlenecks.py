"""Bottlenecks against what is known of them."""

import math

import pytest
import torch

from benchmarks.pressure.bottlenecks import FSQ, KL, Noise, Plain, capacity, gaussian_kl, rounding_sigma
from benchmarks.pressure.train import VARIANTS


def draws(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("levels", [3, 5, 9])
def test_fsq_takes_all_its_levels_and_no_others(levels: int) -> None:
    fsq = FSQ(levels)
    found = fsq.latents(3 * draws(1, 4000, 2)).unique()
    assert found.tolist() == pytest.approx([2 * i / (levels - 1) - 1 for i in range(levels)])
    assert float(fsq.nats(draws(1, 1, 6), draws(1, 1, 6)).sum()) == pytest.approx(6 * math.log(levels))


def test_fsq_is_that_of_vector_quantize_pytorch() -> None:
    # by the formula of FSQ(levels=[5, 5]) in its release 1.32.0
    given = torch.tensor([[[-3.0, -0.8], [-0.3, -0.2], [0.0, 0.24], [0.27, 0.9], [1.1, 4.0]]])
    expected = [[[-1.0, -0.5], [-0.5, 0.0], [0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]]
    assert FSQ(5).latents(given).tolist() == expected


def test_fsq_codes_are_undone() -> None:
    fsq = FSQ(5)
    latents = fsq.latents(draws(2, 30, 4))
    codes = fsq.codes(latents)
    assert int(codes.min()) >= 0 and int(codes.max()) < 5
    torch.testing.assert_close(fsq.from_codes(codes), latents)


def test_fsq_passes_the_gradient_of_its_bound_straight_through() -> None:
    mean = draws(1, 7, 3).requires_grad_()
    received, penalty = FSQ(3).channel(mean, torch.zeros_like(mean), torch.Generator())
    torch.testing.assert_close(received.detach(), FSQ(3).latents(mean.detach()))
    weights = draws(1, 7, 3, seed=1)
    (received * weights).sum().backward()
    torch.testing.assert_close(mean.grad, weights * (1 - torch.tanh(mean.detach()) ** 2))
    assert float(penalty) == 0.0


@pytest.mark.parametrize("levels", [1, 2, 4, 0, -3])
def test_fsq_refuses_what_has_no_middle_level(levels: int) -> None:
    with pytest.raises(ValueError, match="odd number of levels"):
        FSQ(levels)


def test_kl_is_that_of_torch_and_zero_for_the_prior() -> None:
    assert float(gaussian_kl(torch.zeros(4), torch.zeros(4)).abs().sum()) == 0.0
    mean, log_var = draws(1, 9, 3), draws(1, 9, 3, seed=1)
    normal = torch.distributions.Normal
    truth = torch.distributions.kl_divergence(normal(mean, (0.5 * log_var).exp()), normal(0.0, 1.0))
    torch.testing.assert_close(gaussian_kl(mean, log_var), truth)
    torch.testing.assert_close(KL(1.0).nats(mean, log_var), truth[0].mean(0))


def test_kl_pays_its_weight_and_sends_samples_of_the_posterior() -> None:
    mean, log_var = torch.full((1, 20_000, 1), 2.0), torch.full((1, 20_000, 1), math.log(0.25))
    received, penalty = KL(0.1).channel(mean, log_var, torch.Generator().manual_seed(0))
    assert float(penalty) == pytest.approx(0.1 * 0.5 * (4 + 0.25 - 1 - math.log(0.25)))
    assert float(received.mean()) == pytest.approx(2.0, abs=0.02)
    assert float(received.std()) == pytest.approx(0.5, abs=0.02)
    torch.testing.assert_close(KL(0.1).latents(mean), mean)


def test_capacity_is_half_the_logarithm_of_one_plus_the_ratio() -> None:
    assert float(capacity(torch.tensor(15.0), 1.0)) == pytest.approx(2 * math.log(2))
    mean = draws(1, 5000, 2)
    power = torch.tanh(mean)[0].var(0, unbiased=False)
    torch.testing.assert_close(Noise(0.5).nats(mean, mean), 0.5 * torch.log(1 + power / 0.25))


def test_noise_has_the_error_that_rounding_has() -> None:
    # inputs that make tanh uniform, so that the error of rounding is uniform
    mean = torch.atanh(2 * torch.rand(1, 100_000, 1, generator=torch.Generator().manual_seed(0)) - 1)
    bounded = torch.tanh(mean)
    for levels in (3, 5, 9):
        error = (FSQ(levels).latents(mean) - bounded).std()
        assert float(error) == pytest.approx(rounding_sigma(levels), rel=0.01)
        received, _ = Noise(rounding_sigma(levels)).channel(mean, mean, torch.Generator().manual_seed(1))
        assert float((received - bounded).std()) == pytest.approx(rounding_sigma(levels), rel=0.01)


def test_plain_does_nothing() -> None:
    mean = draws(1, 3, 2)
    received, penalty = Plain().channel(mean, mean, torch.Generator())
    assert torch.equal(received, mean) and float(penalty) == 0.0
    assert Plain().nats(mean, mean) is None


def test_every_variant_exposes_what_its_decoder_was_trained_on_but_for_noise() -> None:
    mean = draws(1, 20_000, 1)
    for name, bottleneck in VARIANTS.items():
        received, _ = bottleneck.channel(mean, torch.full_like(mean, -40.0), torch.Generator().manual_seed(0))
        off = float((received - bottleneck.latents(mean)).mean())
        assert abs(off) < 0.01, name
