"""Principal components of log-mel: linear and invertible, causal to the bit, of the data they say, and decodable."""

from __future__ import annotations

import hashlib
import os
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import registry
from bench.codecs.melpca import HOP, LOUDEST, SIZE, WEIGHTS, MelPCA, stacked_log_mel
from bench.conformance import codec as rules
from bench.conformance.report import passed, terminal
from bench.datasets.synthspeech import SynthSpeech
from bench.errors import BenchError, DataError
from bench.metrics.distortion import log_mel, log_mel_l1, stoi
from tests import modules

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("LATENTBENCH_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="module")
def codec() -> MelPCA:
    return MelPCA()


@pytest.fixture(scope="module")
def speech() -> list[Tensor]:
    data = SynthSpeech()
    return [torch.from_numpy(data.audio(u, 16_000))[None, None] for u in data.utterances("test")[::47]]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return modules.script("fit_melpca")


def audio(frames: int, seed: int = 0) -> Tensor:
    return torch.randn(1, 1, frames * HOP, generator=torch.Generator().manual_seed(seed)) * 0.1


def test_frames_are_those_of_the_metric(speech: list[Tensor]) -> None:
    """The metric's windows start where the audio does, these end where a frame does: three later, they are the same."""
    x = stacked_log_mel(speech[0][:, 0])[0].unflatten(1, (5, 80)).flatten(0, 1)
    expected = log_mel(speech[0][0, 0].numpy())
    np.testing.assert_allclose(x[3 : 3 + len(expected)].numpy(), expected, atol=2e-3)


def test_the_basis_is_orthonormal_and_all_of_it_gives_log_mel_back(speech: list[Tensor]) -> None:
    full = MelPCA(tap=str(SIZE))
    torch.testing.assert_close(full.basis @ full.basis.T, torch.eye(SIZE), atol=1e-5, rtol=0)
    x = full.encode(speech[0])
    torch.testing.assert_close(x @ full.basis + full.mean, stacked_log_mel(speech[0][:, 0]), atol=1e-4, rtol=0)


def test_a_tap_is_the_first_components(codec: MelPCA, speech: list[Tensor]) -> None:
    x = MelPCA(tap=str(SIZE)).encode(speech[0])
    for tap in (1, 32, 64):
        torch.testing.assert_close(MelPCA(tap=str(tap)).encode(speech[0]), x[..., :tap], atol=1e-4, rtol=0)
    assert codec.info.name == MelPCA(tap="64").info.name == "melpca" and MelPCA(tap="32").info.name == "melpca@32"


def test_components_are_the_eigenvectors_of_a_known_covariance(script: ModuleType) -> None:
    rotation = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(0)).double()).Q
    variance = torch.tensor([9.0, 5.0, 3.0, 1.0, 0.5, 0.1]).double()
    found = script.components(torch.zeros(6), rotation * variance @ rotation.T)
    torch.testing.assert_close(found["variance"], variance)
    torch.testing.assert_close((found["basis"] @ rotation).abs(), torch.eye(6).double(), atol=1e-9, rtol=0)
    assert bool((found["basis"].gather(1, found["basis"].abs().argmax(1, keepdim=True)) > 0).all())


def test_the_basis_fits_the_data_it_names(script: ModuleType) -> None:
    """An eighth of the files, 96 whose levels spread by about 0.5: the mean within four standard errors, and as much
    variance in 64 components as the card says of all."""
    folder = DATA / "librispeech_train_clean100_251spk"
    if not folder.is_dir():
        pytest.skip("no librispeech_train_clean100_251spk in LATENTBENCH_DATA or ../shared/data")
    lines = [line.split("\t") for line in script.LISTING.read_text("utf-8").splitlines()[1:]]
    held = []
    for name, sha256 in lines[::8]:
        path = (script.SYNTHSPEECH if name.endswith(".ogg") else folder) / name
        held.append(stacked_log_mel(script.read(path, sha256))[0])
    x, full = torch.cat(held), MelPCA(tap=str(SIZE))
    assert float((x.mean(0) - full.mean).abs().max()) < 0.2
    centred = x - full.mean
    kept = (centred @ full.basis[:64].T).square().sum() / centred.square().sum()
    assert float(kept) == pytest.approx(0.973, abs=0.005) and "97.3 % in 64" in WEIGHTS.with_suffix(".md").read_text()


@pytest.mark.parametrize("t", [0, 3, 11])
def test_audio_after_a_frame_leaves_its_latent_bit_identical(codec: MelPCA, t: int) -> None:
    one, other = audio(16), audio(16)
    other[..., (t + 1) * HOP :] = audio(16, seed=1)[..., (t + 1) * HOP :] * 5
    a, b = codec.encode(one), codec.encode(other)
    assert torch.equal(a[:, : t + 1], b[:, : t + 1]) and not torch.equal(a[:, t + 1], b[:, t + 1])
    assert codec.info.lookahead == 0


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, HOP + 1, 3 * HOP + 7])
def test_lengths(codec: MelPCA, samples: int) -> None:
    x = codec.encode(torch.zeros(2, 1, samples))
    frames = -(-samples // HOP)
    assert x.shape == (2, frames, 64) and codec.decode(x).shape == (2, 1, frames * HOP)


def test_decoded_speech_is_near_and_the_nearer_the_more_components(speech: list[Tensor]) -> None:
    far = []
    for tap in ("16", "64", str(SIZE)):
        codec = MelPCA(tap=tap)
        pairs = [(a[0, 0].numpy(), codec.decode(codec.encode(a))[0, 0, : a.shape[-1]].numpy()) for a in speech]
        far.append(np.mean([log_mel_l1(*pair) for pair in pairs]))
    assert all(a > b for a, b in pairwise(far)) and far[1] < 0.16 and far[2] < 0.08, far
    assert np.mean([stoi(*pair) for pair in pairs]) > 0.9


def test_decoding_does_not_hang_on_rounding(codec: MelPCA) -> None:
    """Another machine, or a GPU, rounds otherwise; in float32 this moves the audio by a thousandth."""
    x = codec.encode(audio(24))
    y = codec.decode(x)
    assert float((codec.decode(x * (1 + 1e-7)) - y).abs().max()) < 1e-4 * float(y.abs().max())


def test_latents_that_a_model_made_up_are_decoded_to_audio(codec: MelPCA) -> None:
    y = codec.decode(1e3 * torch.randn(1, 6, 64, generator=torch.Generator().manual_seed(0)))
    assert bool(torch.isfinite(y).all()) and float(y.abs().max()) <= 1.0
    square = torch.where(torch.arange(8 * HOP) // 40 % 2 == 0, 1.0, -1.0)[None]
    tones = torch.sin(2 * torch.pi * torch.tensor([[125.0], [1000.0], [5000.0]]) * torch.arange(8 * HOP) / 16_000)
    assert float(stacked_log_mel(torch.cat([square, tones])).max()) < LOUDEST


def test_the_basis_is_small_and_another_file_is_refused(tmp_path: Path, codec: MelPCA) -> None:
    assert WEIGHTS.stat().st_size < 1_000_000
    assert codec.info.weights_digest == hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
    (tmp_path / "melpca.safetensors").write_bytes(WEIGHTS.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"codec melpca: cannot load melpca\.safetensors"):
        MelPCA(weights=tmp_path / "melpca.safetensors")
    with pytest.raises(DataError, match="'mean'"):
        MelPCA(weights=WEIGHTS.with_name("minicodec.safetensors"))


@pytest.mark.parametrize("tap", ["0", "401", "064", "x"])
def test_other_taps_and_arguments_are_refused(tap: str) -> None:
    with pytest.raises(DataError, match=f"codec melpca: no tap '{tap}'; there are: 1 to 400"):
        MelPCA(tap=tap)
    with pytest.raises(BenchError, match="codec melpca takes no argument, got 'x'"):
        registry.build("codecs", "melpca:x")


def test_it_keeps_the_rules_with_a_tap_too(one_thread: None) -> None:
    results = rules.check("melpca@32")
    assert passed(results), terminal("melpca@32", results)
