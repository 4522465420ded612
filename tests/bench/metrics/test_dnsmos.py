"""DNSMOS: a published value, the package's own analysis, and degradations whose order is known."""

import warnings
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import numpy as np
import pytest
import soundfile as sf
import torch
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from bench.codecs.soundstream import SoundStream, dequantise, quantise
from bench.metrics.distortion import RATE, Unscorable, log_mel_l1, pesq, stoi
from bench.metrics.dnsmos import MEL_HOP, MEL_WINDOW, MELS, WINDOW, dnsmos, fingerprint, log_mels
from bench.metrics.mel_power import filters
from tests.needs import speech

if find_spec("onnxruntime") is None or find_spec("speechmos") is None:
    pytest.skip("onnxruntime and speechmos are an extra: pip install 'latentbench[quality]'", allow_module_level=True)
Signal = NDArray[np.float64]


def known(name: str) -> Signal:
    return sf.read(speech("known_answers") / f"{name}.wav")[0]


@cache
def utterances() -> list[Signal]:
    """One window of each of five speakers."""
    files = sorted(speech("librispeech_train_clean100_251spk").glob("*.flac"))[:250:50]
    return [sf.read(file)[0][: WINDOW // 320 * 320 + 320] for file in files]


def opinions(degrade: Callable[[Signal], Signal], name: str, count: int = 2) -> float:
    return float(np.mean([dict(dnsmos(degrade(x)))[name] for x in utterances()[:count]]))


def test_the_published_value_of_versa() -> None:
    found = dnsmos(known("versa_test2"))
    assert found["ovrl"] == pytest.approx(1.45261, abs=1e-4)
    assert found["p808"] == pytest.approx(2.0943, abs=1e-4)


def test_the_values_of_speechmos_itself() -> None:
    """As speechmos 0.0.1.1 gave them; 3.1 s, so that the clip is repeated and its last window left out."""
    expected = {"sig": 3.5518088, "bak": 4.0474503, "ovrl": 3.2458204, "p808": 3.950929}
    assert dict(dnsmos(known("speech"))) == pytest.approx(expected, abs=1e-4)


def test_mels_are_those_of_librosa() -> None:
    librosa = pytest.importorskip("librosa", reason="librosa is an extra: pip install 'latentbench[dev]'")
    x = np.random.default_rng(0).standard_normal(RATE) * np.linspace(0, 1, RATE) ** 4
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mels = librosa.feature.melspectrogram(y=x, sr=RATE, n_fft=MEL_WINDOW, hop_length=MEL_HOP, n_mels=MELS)
        expected = (librosa.power_to_db(mels, ref=np.max) + 40) / 40
    np.testing.assert_allclose(log_mels(x), expected.T, atol=1e-5)


def test_filters_have_equal_area() -> None:
    hz = RATE / 4096
    np.testing.assert_allclose(filters(4096, 40)[10:].sum(1) * hz, 1.0, rtol=0.02)


@pytest.mark.parametrize("name", ["bak", "ovrl", "p808"])
def test_noise_is_heard(name: str) -> None:
    def noisy(snr_db: float) -> Callable[[Signal], Signal]:
        noise = np.random.default_rng(0).standard_normal(len(utterances()[0]))
        return lambda x: x + noise * np.linalg.norm(x) / np.linalg.norm(noise) * 10 ** (-snr_db / 20)

    found = [opinions(noisy(snr), name) for snr in (40, 20, 10, 0)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1] + 1


def test_clipping_is_heard() -> None:
    found = [opinions(lambda x, c=c: x.clip(-c * x.max(), c * x.max()) / c, "p808") for c in (1.0, 0.2, 0.1)]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1] + 0.5


def test_p808_hears_a_low_pass_and_the_overall_opinion_hardly_does() -> None:
    def low(hz: float) -> Callable[[Signal], Signal]:
        return lambda x: sosfiltfilt(butter(6, hz, fs=RATE, output="sos"), x)

    p808 = [opinions(low(hz), "p808") for hz in (7900, 4000, 2000, 1000)]
    assert p808 == sorted(p808, reverse=True)
    assert p808[0] > p808[-1] + 0.5
    assert abs(opinions(low(4000), "ovrl") - opinions(low(7900), "ovrl")) < 0.1


def test_rates_of_lyra_in_order() -> None:
    """9.2, 6.0 and 3.2 kbit/s: PESQ, STOI and log-mel L1 tell all three, DNSMOS the lowest alone."""
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is an extra: pip install 'latentbench[lyra]'")
    codec = SoundStream(str(speech("lyra")))
    rows = []
    for x in utterances():
        codes = quantise(codec.encode(torch.from_numpy(x).float()[None, None]).numpy(), codec.codebooks)
        for stages in (46, 30, 16):
            latents = torch.from_numpy(dequantise(codes[..., :stages], codec.codebooks))
            y = codec.decode(latents)[0, 0].double().numpy()
            opinion = dnsmos(y)
            rows.append([pesq(x, y), stoi(x, y), -log_mel_l1(x, y), opinion["ovrl"], opinion["p808"]])
    means = np.array(rows).reshape(len(utterances()), 3, -1).mean(0)
    assert (np.diff(means[:, :3], axis=0) < 0).all()
    assert (means[2, 3:] < means[:2, 3:].min(0)).all()


def test_clips_that_cannot_be_scored() -> None:
    x = 0.1 * np.random.default_rng(0).standard_normal(2 * RATE)
    with pytest.raises(Unscorable, match="at least 1 s"):
        dnsmos(x[: RATE - 1])
    with pytest.raises(Unscorable, match="silent"):
        dnsmos(np.zeros(RATE))
    with pytest.raises(Unscorable, match="not finite"):
        dnsmos(np.where(np.arange(len(x)) == 9, np.inf, x))


def test_what_is_beyond_full_scale_is_clipped() -> None:
    x = 2.0 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
    assert dnsmos(x) == dnsmos(x.clip(-1, 1))


def test_the_fingerprint_names_models_and_windows() -> None:
    found = fingerprint()
    assert {"onnxruntime", "speechmos", "dnsmos_sig_bak_ovr.onnx", "dnsmos_model_v8.onnx"} <= set(found)
    assert "9.01 s" in found["dnsmos"]
