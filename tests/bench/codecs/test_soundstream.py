"""Lyra's SoundStream on its real files and on real speech: causal to the bit, and coded as its quantiser does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from torch import Tensor

from bench import registry
from bench.codecs.soundstream import HOP, SHA256, SoundStream
from bench.contract import Codec, HasCodes
from bench.errors import DataError, PluginError
from bench.metrics import sensitivity
from bench.metrics.distortion import log_mel_l1

DATA = Path(os.environ.get("LATENTBENCH_DATA", Path(__file__).parents[4] / "shared" / "data"))
GRID = 0.26349151
TAPS = ("unquantised", "46", "30", "16")


def data(name: str) -> Path:
    if not (DATA / name).is_dir():
        pytest.skip(f"no {name} in LATENTBENCH_DATA or ../shared/data")
    return DATA / name


@cache
def opened(tap: str = "") -> SoundStream:
    return SoundStream(str(data("lyra")), tap)


@pytest.fixture(scope="module")
def codec() -> SoundStream:
    return opened()


@pytest.fixture(scope="module")
def speech() -> list[Tensor]:
    """Three seconds of each of four utterances of LibriSpeech dev-clean, (1, 1, N)."""
    files = sorted(data("librispeech_dev_clean_30").rglob("*-*.*"))[::8]
    return [torch.from_numpy(sf.read(path, dtype="float32")[0][None, None, 8_000:56_000]) for path in files]


@pytest.fixture(scope="module")
def encoded(codec: SoundStream, speech: list[Tensor]) -> list[Tensor]:
    """Unquantised latents of the same, (1, T, 64)."""
    return [codec.encode(a) for a in speech]


def noise(frames: int, seed: int = 0) -> Tensor:
    return torch.randn(1, 1, frames * HOP, generator=torch.Generator().manual_seed(seed)) * 0.1


def test_contract(codec: SoundStream) -> None:
    info = codec.info
    assert isinstance(codec, Codec) and isinstance(codec, HasCodes)
    assert (info.name, info.sample_rate, info.frame_rate, info.dim, info.lookahead) == (
        "soundstream",
        16000,
        50.0,
        64,
        0,
    )
    assert info.codebooks == (16,) * 46 and info.trained and len(info.weights_digest) == 64
    at_30 = opened("30").info
    assert (at_30.name, at_30.codebooks) == ("soundstream@30", (16,) * 30)
    assert opened("unquantised").info == info


@pytest.mark.parametrize("t", [0, 5, 9])
def test_audio_after_a_frame_leaves_its_latent_bit_identical(codec: SoundStream, t: int) -> None:
    one, other = noise(12), noise(12)
    other[..., (t + 1) * HOP :] = noise(12, seed=1)[..., (t + 1) * HOP :] * 5
    a, b = codec.encode(one), codec.encode(other)
    assert torch.equal(a[:, : t + 1], b[:, : t + 1])
    assert not torch.equal(a[:, t + 1], b[:, t + 1])


def test_the_last_sample_of_a_frame_reaches_its_latent(codec: SoundStream) -> None:
    other = noise(6)
    other[..., 4 * HOP - 1] += 0.5
    assert not torch.equal(codec.encode(noise(6))[:, 3], codec.encode(other)[:, 3])


def test_decoding_looks_no_frame_ahead(codec: SoundStream) -> None:
    one = codec.encode(noise(12))
    other = one.clone()
    other[:, 7:] += 5.0
    a, b = codec.decode(one), codec.decode(other)
    assert torch.equal(a[..., : 7 * HOP], b[..., : 7 * HOP]) and not torch.equal(a, b)


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, HOP + 1, 3 * HOP + 7])
def test_lengths(codec: SoundStream, samples: int) -> None:
    x = codec.encode(torch.zeros(2, 1, samples))
    frames = -(-samples // HOP)
    assert x.shape == (2, frames, 64) and x.dtype == torch.float32
    assert codec.decode(x).shape == (2, 1, frames * HOP)


def test_an_utterance_starts_afresh_and_a_batch_equals_its_members(codec: SoundStream) -> None:
    both = torch.cat([noise(9, 0), noise(9, 1)])
    x = codec.encode(both)
    assert torch.equal(x, torch.cat([codec.encode(one[None]) for one in both]))
    assert torch.equal(codec.decode(x), torch.cat([codec.decode(one[None]) for one in x]))
    assert torch.equal(SoundStream(str(data("lyra"))).encode(both), x)


def test_the_codebooks_are_those_taken_out_of_the_quantiser_before(codec: SoundStream) -> None:
    assert np.array_equal(codec.codebooks, np.load(data("lyra") / "derived_codebooks_46x16x64.npy"))


def test_codes_are_those_of_the_models_own_quantiser(codec: SoundStream, encoded: list[Tensor]) -> None:
    """Ties of float32 sums apart; none was seen in the 409,308 codes of 178 s of dev-clean."""
    own, frames = codec._signature("quantizer.tflite", "encode"), torch.cat([x[0] for x in encoded])
    told = [own(input_frames=x.numpy()[None, None], num_quantizers=np.array(46, np.int32))["output_0"] for x in frames]
    expected = np.array(told)[:, :, 0, 0]
    assert np.mean(codec.codes(frames[None])[0].numpy() == expected) > 0.9999
    back = codec._signature("quantizer.tflite", "decode")
    codes = codec.codes(frames[None, :50])
    for stages in (1, 16, 46):
        given = codes[0, :, :, None, None].int().numpy().copy()
        given[:, stages:] = -1
        want = np.array([back(encoding_indices=one)["output_0"][0, 0] for one in given])
        np.testing.assert_allclose(codec.from_codes(codes[..., :stages])[0].numpy(), want, atol=1e-4)


def test_unquantised_latents_lie_on_the_grid_of_an_int8_layer(encoded: list[Tensor]) -> None:
    """A model without that layer would be another codec, and its latents would have a density as they are."""
    x = torch.cat([x[0] for x in encoded])
    steps = x.double() / GRID
    torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
    assert float(x.max() - x.min()) < 256 * GRID and max(len(x[:, d].unique()) for d in range(64)) < 200
    assert GRID / 12**0.5 / float(x.var(0).mean().sqrt()) == pytest.approx(0.018, abs=0.003)


def test_a_tap_is_what_its_stages_leave(codec: SoundStream, speech: list[Tensor], encoded: list[Tensor]) -> None:
    a, x = speech[0][..., : 25 * HOP], encoded[0][:, :25]
    for stages in (1, 16, 46):
        tap = opened(str(stages))
        assert torch.equal(tap.encode(a), codec.from_codes(codec.codes(x)[..., :stages]))
        assert tap.codes(x).shape[-1] == stages and torch.equal(tap.codes(x), codec.codes(x)[..., :stages])


def test_speech_is_kept_and_the_better_the_more_stages(
    codec: SoundStream, speech: list[Tensor], encoded: list[Tensor]
) -> None:
    """On all 30 utterances, decoded by the reference kernels: .155, .162, .170 and .190. White noise at 10 dB: .854."""
    far = dict.fromkeys(TAPS, 0.0)
    for a, x in zip(speech, encoded, strict=True):
        original, codes = a[0, 0].numpy(), codec.codes(x)
        for tap in TAPS:
            y = x if tap == "unquantised" else codec.from_codes(codes[..., : int(tap)])
            far[tap] += log_mel_l1(original, codec.decode(y)[0, 0].numpy()) / len(speech)
    assert all(a < b for a, b in pairwise(far[tap] for tap in TAPS)), far
    assert far["unquantised"] > 0.13 and far["16"] < 0.26, far


def test_no_derivative_passes_and_it_says_so(codec: SoundStream) -> None:
    x = codec.encode(noise(8))
    with pytest.raises(sensitivity.NotDifferentiable):
        sensitivity.metric(sensitivity.DecodedLogMel(codec), x, 4, torch.Generator().manual_seed(0))


# --- files, taps, arguments --------------------------------------------------------------------------------


@pytest.mark.parametrize("tap", ["0", "47", "-1", "016", "x", "3.0", "²"])
def test_an_unknown_tap_names_those_there_are(tap: str) -> None:
    with pytest.raises(DataError, match=f"no tap '{tap}'; there are: unquantised, and 1 to 46"):
        SoundStream("", tap)


def test_without_files_it_says_which_and_where_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LATENTBENCH_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    told = r"soundstream_encoder\.tflite, quantizer\.tflite, lyragan\.tflite.*Apache-2\.0.*--codec soundstream:FOLDER"
    with pytest.raises(DataError, match=f"needs {told}"):
        SoundStream()
    monkeypatch.setenv("LATENTBENCH_DATA", str(tmp_path))
    with pytest.raises(DataError, match=f"no {told}".replace("flite.*", f"flite in {tmp_path}/lyra .*", 1)) as e:
        registry.build("codecs", "soundstream@30+stack4")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("name", SHA256)
@pytest.mark.parametrize("how", ["missing", "truncated", "tampered", "a folder"])
def test_a_file_that_is_not_the_pinned_one_is_refused(tmp_path: Path, name: str, how: str) -> None:
    for file in SHA256:
        shutil.copyfile(data("lyra") / file, tmp_path / file)
    held = bytearray((tmp_path / name).read_bytes())
    (tmp_path / name).unlink()
    if how == "truncated":
        (tmp_path / name).write_bytes(held[:-1])
    elif how == "tampered":
        held[len(held) // 2] ^= 1
        (tmp_path / name).write_bytes(held)
    elif how == "a folder":
        (tmp_path / name).mkdir()
    told = "is not that of Lyra" if how in ("truncated", "tampered") else f"no {name} in"
    with pytest.raises(DataError, match=told) as e:
        SoundStream(str(tmp_path))
    assert "\n" not in str(e.value) and name in str(e.value)


def test_the_folder_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATENTBENCH_DATA", str(data("lyra").parent))
    assert registry.build("codecs", "soundstream@16+stack4").info.name == "soundstream@16+stack4"


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(data("lyra"))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(PluginError, match=r"needs ai-edge-litert: pip install 'latentbench\[lyra\]'"):
        SoundStream(folder)


def test_to_import_the_module_loads_no_interpreter() -> None:
    code = "import sys, bench.codecs.soundstream; sys.exit('ai_edge_litert' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
