"""Embeddings of clips: what they are blind to, what they see, and distances between sets that say so."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from bench.datasets.synthspeech import SynthSpeech
from bench.errors import UnknownName
from bench.metrics.distortion import RATE, Unscorable
from bench.metrics.embedding import embed, fingerprint, mfcc
from bench.metrics.frechet import frechet
from bench.metrics.kad import kad

DATA = SynthSpeech()


@pytest.fixture(scope="module")
def clips() -> list[NDArray[np.float64]]:
    found = [DATA.audio(u, RATE).astype(np.float64) for u in DATA.utterances("test")]
    # far above the floor of the mel analysis, so that a gain is one everywhere
    rng = np.random.default_rng(0)
    return [x + 0.003 * rng.standard_normal(len(x)) for x in found if len(x) >= RATE][:100]


def test_stationary_noise_barely_moves() -> None:
    """Of white noise, cepstra have a mean that a longer clip estimates better, and steps that are not zero."""
    one, two = (mfcc(np.random.default_rng(i).standard_normal(20 * RATE)) for i in range(2))
    assert one.shape == (41,)
    assert np.abs(one - two).max() < 0.05
    # overlapping windows are alike: steps are smaller than those of independent frames, √2 deviations
    assert (one[27:] < np.sqrt(2) * one[13:27]).all()


def test_a_gain_changes_nothing(clips: list[NDArray[np.float64]]) -> None:
    np.testing.assert_allclose(mfcc(clips[0]), mfcc(4.0 * clips[0]), atol=1e-9)


def test_a_filter_moves_means_and_no_deviations() -> None:
    """A fixed filter adds a constant to every cepstrum."""
    x = np.random.default_rng(0).standard_normal(10 * RATE)
    plain, filtered = mfcc(x), mfcc(sosfilt(butter(1, 2000, fs=RATE, output="sos"), x))
    assert abs(filtered[0] - plain[0]) > 1.0
    np.testing.assert_allclose(filtered[13:], plain[13:], atol=0.05)


def test_distances_grow_with_noise_and_are_small_for_halves(clips: list[NDArray[np.float64]]) -> None:
    rng = np.random.default_rng(1)
    halves = embed(clips[::2]), embed(clips[1::2])
    noisy = [embed([x + level * rng.standard_normal(len(x)) for x in clips[::2]]) for level in (0.01, 0.05)]
    kernel = [kad(torch.from_numpy(z), torch.from_numpy(halves[1])) for z in (halves[0], *noisy)]
    gaussian = [frechet(z, halves[1]) for z in (halves[0], *noisy)]
    assert kernel == sorted(kernel) and gaussian == sorted(gaussian)
    assert abs(kernel[0]) < 0.1 * kernel[2]


def test_clips_without_an_embedding() -> None:
    short, silent, broken = np.ones(7999), np.zeros(RATE), np.full(RATE, np.nan)
    for bad, reason in ((short, r"at least 0\.5 s"), (silent, "silent"), (broken, "not finite")):
        with pytest.raises(Unscorable, match=reason):
            embed([bad])


def test_an_unknown_name_lists_the_known_ones() -> None:
    for call in (lambda: embed([np.ones(RATE)], "vggish"), lambda: fingerprint("vggish")):
        with pytest.raises(UnknownName, match="no embedding 'vggish'; there are: mfcc41, speaker256"):
            call()


def test_the_fingerprint_names_the_definition() -> None:
    assert fingerprint()["mfcc41"].startswith("1: mean c1–c13")
