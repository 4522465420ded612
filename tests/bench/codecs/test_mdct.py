"""The lapped transform: exact, orthonormal, the textbook's coefficients, and half a frame ahead to the sample."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
import torch
from torch import Tensor

from bench import registry
from bench.codecs.mdct import HOP, MDCT, cosines
from bench.conformance import codec as rules
from bench.conformance.report import passed, terminal
from bench.datasets.synthspeech import SynthSpeech
from bench.errors import BenchError, DataError


def audio(samples: int, batch: int = 1, seed: int = 0) -> Tensor:
    return torch.rand(batch, 1, samples, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, HOP + 1, 7 * HOP, 50 * HOP + 3])
def test_all_coefficients_give_every_sample_back(samples: int) -> None:
    codec, x = MDCT(), audio(samples, 2)
    back = codec.decode(codec.encode(x))
    assert back.shape == (2, 1, -(-samples // HOP) * HOP)
    torch.testing.assert_close(back[..., :samples], x, atol=1e-5, rtol=0)
    torch.testing.assert_close(back[..., samples:], torch.zeros_like(back[..., samples:]), atol=1e-5, rtol=0)


def test_speech_comes_back() -> None:
    data = SynthSpeech()
    a = torch.from_numpy(data.audio(data.utterances("test")[0], 16_000))[None, None]
    codec = MDCT()
    torch.testing.assert_close(codec.decode(codec.encode(a))[..., : a.shape[-1]], a, atol=1e-5, rtol=0)


def test_energy_is_kept() -> None:
    x = audio(30 * HOP)
    assert float(MDCT().encode(x).square().sum()) == pytest.approx(float(x.square().sum()), rel=1e-5)


def test_every_latent_is_decoded_to_audio_that_is_encoded_to_it() -> None:
    x = 0.01 * torch.randn(1, 9, HOP, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(MDCT().encode(MDCT().decode(x)), x, atol=1e-6, rtol=0)


def test_coefficients_are_the_textbooks() -> None:
    """X_k = √(2/M) Σ_n w_n x_n cos(π/M (n + ½ + M/2)(k + ½)), n over 2M samples, block [t M − M/2, t M + 3M/2)."""
    x = audio(8 * HOP)
    n, k = np.arange(2 * HOP), np.arange(HOP)
    cosines = np.cos(np.pi / HOP * (n[:, None] + 0.5 + HOP / 2) * (k + 0.5))
    window = np.sin(np.pi / (2 * HOP) * (n + 0.5))
    got = MDCT().encode(x)[0].numpy()
    for t in range(1, 7):
        block = x[0, 0, t * HOP - HOP // 2 : t * HOP + 3 * HOP // 2].double().numpy()
        np.testing.assert_allclose(got[t], np.sqrt(2 / HOP) * (window * block) @ cosines, atol=2e-5)


def test_the_cosines_are_scipys_dct_iv_read_backwards() -> None:
    expected = -scipy.fft.dct(np.eye(12), type=4, norm="ortho")[::-1]
    np.testing.assert_allclose(cosines(12).numpy(), expected, atol=1e-7)


@pytest.mark.parametrize("t", [0, 3, 8])
def test_it_looks_ahead_by_half_a_frame_and_not_a_sample_more(t: int) -> None:
    codec, x = MDCT(), audio(10 * HOP)
    for at, reached in (((t + 1) * HOP + HOP // 2 - 1, True), ((t + 1) * HOP + HOP // 2, False)):
        other = x.clone()
        other[..., at:] += 0.5
        same = torch.equal(codec.encode(other)[:, : t + 1], codec.encode(x)[:, : t + 1])
        assert same is not reached
    assert codec.info.lookahead == 1


@pytest.mark.parametrize("k", [1, 64, 320])
def test_a_tap_is_the_lowest_coefficients_and_a_band(k: int) -> None:
    codec, x = MDCT(tap=str(k)), audio(40 * HOP)
    assert codec.info.name == f"mdct@{k}" and codec.info.dim == k
    torch.testing.assert_close(codec.encode(x), MDCT().encode(x)[..., :k], atol=1e-5, rtol=0)
    power = np.abs(np.fft.rfft(codec.decode(codec.encode(x))[0, 0].numpy() * np.hanning(40 * HOP))) ** 2
    hz = np.fft.rfftfreq(40 * HOP, 1 / 16_000)
    assert power[hz < 25 * k + 100].sum() > 0.98 * power.sum()


def test_it_keeps_the_rules_at_12_5_hz_too(one_thread: None) -> None:
    info = registry.build("codecs", "mdct@64+stack4").info
    assert (info.frame_rate, info.dim, info.lookahead) == (12.5, 256, 1)
    for spec in ("mdct@64", "mdct+stack4"):
        results = rules.check(spec)
        assert passed(results), terminal(spec, results)


@pytest.mark.parametrize("tap", ["0", "321", "064", "-1", "x"])
def test_other_taps_and_arguments_are_refused(tap: str) -> None:
    with pytest.raises(DataError, match=f"codec mdct: no tap '{tap}'; there are: 1 to 320"):
        MDCT(tap=tap)
    with pytest.raises(BenchError, match="codec mdct takes no argument, got 'x'"):
        registry.build("codecs", "mdct:x")
