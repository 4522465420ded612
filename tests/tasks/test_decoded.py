"""Spectra of decoded latents against the distance of waveforms, at the codec's own rate and at another."""

import numpy as np
import pytest
import torch

from bench.contract import CodecInfo
from bench.metrics.distortion import log_mel_l1
from tasks.decoded import heard, mel_distance
from tests.lab import LabCodec


def test_the_distance_is_that_of_the_waveforms() -> None:
    codec = LabCodec(2)
    x, y = torch.randn(1, 20, 2), torch.randn(1, 20, 2)
    expected = log_mel_l1(codec.decode(x)[0, 0].numpy(), codec.decode(y)[0, 0].numpy())
    assert mel_distance(heard(codec, x), heard(codec, y)) == pytest.approx(expected, abs=1e-12)


class Tone:
    """Decodes to 500 Hz of the first latent's amplitude."""

    def __init__(self, rate: int) -> None:
        self.info = CodecInfo("tone", rate, rate * 2 // 25, 1)

    def decode(self, latents):
        samples = latents.shape[1] * self.info.hop
        return (float(latents[0, 0, 0]) * torch.sin(2 * np.pi * 500 * torch.arange(samples) / self.info.sample_rate))[
            None, None
        ]


def test_another_sample_rate_is_heard_as_the_same_tone() -> None:
    one = torch.full((1, 25, 1), 0.5)
    at_16, at_24 = (heard(Tone(rate), one)[4:-4] for rate in (16_000, 24_000))
    loudest = at_16.mean(0).argmax()
    assert at_24.mean(0).argmax() == loudest
    np.testing.assert_allclose(at_24[:, loudest], at_16[:, loudest], atol=0.01)
    assert mel_distance(
        heard(Tone(24_000), one)[:, loudest], heard(Tone(24_000), 2 * one)[:, loudest]
    ) == pytest.approx(np.log10(2), abs=1e-3)


def test_less_than_a_window_is_filled() -> None:
    assert heard(Tone(8_000), torch.ones(1, 1, 1)).shape == (2, 80)
    codec = Tone(16_000)
    object.__setattr__(codec.info, "hop", 320)
    assert heard(codec, torch.ones(1, 1, 1)).shape == (1, 80)
