"""Reading audio files: what is changed, what is refused, and that a bad file never becomes samples."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from bench.datasets.audio import MIN_SECONDS, Recording, UnusableAudio, decode, load, resample
from bench.errors import DataError


def tone(rate: int = 16_000, seconds: float = 1.0, amplitude: float = 0.5, hz: float = 440.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)


def encoded(samples: np.ndarray, rate: int = 16_000, **kind: str) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, samples, rate, **{"format": "WAV", "subtype": "FLOAT", **kind})
    return buffer.getvalue()


def refusal(data: bytes) -> str:
    with pytest.raises(UnusableAudio) as caught:
        decode(data)
    assert "0x" not in str(caught.value), "an address differs from run to run"
    return str(caught.value)


def test_float_samples_come_back_as_they_are() -> None:
    x = tone().astype(np.float32)
    assert decode(encoded(x)) == Recording(pytest.approx(x, abs=0), 16_000, ())


@pytest.mark.parametrize("kind", [("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS")])
def test_other_formats(kind: tuple[str, str]) -> None:
    x = tone(amplitude=0.25)
    read = decode(encoded(x, format=kind[0], subtype=kind[1]))
    assert read.samples.dtype == np.float32
    assert read.conversions == ()
    # lossy coders smear the tone's abrupt ends
    assert np.corrcoef(read.samples[4000:12000], x[4000:12000])[0, 1] > 0.99


def test_stereo_is_the_mean_of_its_channels() -> None:
    left, right = tone(), tone(hz=1000.0)
    read = decode(encoded(np.stack([left, right], 1)))
    np.testing.assert_allclose(read.samples, (left + right) / 2, atol=1e-7)
    assert read.conversions == ("mixed down from 2 channels",)


@pytest.mark.parametrize("rate", [8_000, 22_050, 44_100, 48_000])
def test_resampling_keeps_a_tone(rate: int) -> None:
    read = decode(encoded(tone(rate), rate))
    assert read.conversions == (f"resampled from {rate} Hz",)
    got = resample(read.samples, read.rate, 16_000)
    assert got.dtype == np.float32
    assert len(got) == 16_000
    np.testing.assert_allclose(got[1000:-1000], tone()[1000:-1000], atol=2e-3)


def test_clipping_is_kept_and_counted_from_a_thousandth_up() -> None:
    clipped = np.clip(tone(amplitude=2.0), -1, 1)
    read = decode(encoded(clipped, subtype="PCM_16"))
    np.testing.assert_allclose(read.samples, clipped, atol=1e-4)
    assert len(read.conversions) == 1
    assert read.conversions[0].startswith("clipped")
    few = tone()
    few[:15] = 1.0
    assert decode(encoded(few, subtype="PCM_16")).conversions == ()
    few[:16] = 1.0
    assert decode(encoded(few, subtype="PCM_16")).conversions != ()


def test_beyond_full_scale_is_scaled_down_not_clipped() -> None:
    x = tone()
    for loud in (3 * x, 32768 * x):
        read = decode(encoded(loud))
        np.testing.assert_allclose(read.samples, x / np.abs(x).max(), atol=1e-6)
        assert read.conversions == ("scaled down from beyond full scale",)


def test_resampling_never_leaves_full_scale() -> None:
    square = np.sign(tone(hz=437.0)).astype(np.float32)
    assert np.abs(resample(square, 16_000, 24_000)).max() <= 1.0


def test_refusals() -> None:
    x = tone()
    assert refusal(b"") == "empty file"
    assert refusal(b"this is a text, not audio\n" * 40).startswith("unreadable")
    assert refusal(encoded(x, subtype="PCM_16")[:20]).startswith("unreadable")
    assert refusal(encoded(np.zeros(0))) == "no samples"
    assert refusal(encoded(tone(seconds=0.05))) == "shorter than 0.5 s: 0.050 s"
    assert refusal(encoded(np.zeros(16_000))) == "silent"
    assert refusal(encoded(np.stack([x, -x], 1))) == "silent"
    for bad in (np.nan, np.inf):
        broken = x.copy()
        broken[5] = bad
        assert refusal(encoded(broken)) == "NaN or infinite samples"


def test_the_shortest_that_is_taken() -> None:
    assert len(decode(encoded(tone(seconds=MIN_SECONDS))).samples) == 8000
    refusal(encoded(tone(seconds=MIN_SECONDS)[:-1]))


def test_a_cut_wav_is_counted_and_a_cut_flac_refused() -> None:
    x = tone(seconds=2.0)
    read = decode(encoded(x, subtype="PCM_16")[:40_044])
    assert len(read.samples) == 20_000
    assert read.conversions == ("truncated: shorter than its header says",)
    flac = encoded(x, format="FLAC", subtype="PCM_16")
    assert refusal(flac[: len(flac) // 2]).startswith("unreadable")


def test_a_header_that_lies_about_its_length_takes_no_memory() -> None:
    wav = bytearray(encoded(tone(), subtype="PCM_16"))
    at = wav.index(b"data") + 4
    wav[at : at + 4] = b"\xff\xff\xff\x7f"
    assert len(decode(bytes(wav)).samples) == 16_000


def test_load_compares_the_digest(tmp_path: Path) -> None:
    data = encoded(tone())
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    known = hashlib.sha256(data).hexdigest()
    assert len(load(path, 8_000, known)) == 8_000
    path.write_bytes(data[:-4])
    with pytest.raises(DataError, match=r"a\.wav: expected sha256"):
        load(path, 8_000, known)
    path.unlink()
    with pytest.raises(DataError, match=r"a\.wav: No such file"):
        load(path, 8_000, known)
