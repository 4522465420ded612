"""The embedded codec: causality to the bit, lengths, codes, size, and what it keeps of speech."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.codecs.minicodec import WEIGHTS, MiniCodec
from bench.codecs.minicodec_model import Config, Minicodec, mel_filterbank
from bench.contract import Codec, HasCodes
from bench.datasets.synthspeech import SynthSpeech
from bench.errors import DataError
from bench.metrics.distortion import log_mel_l1, stoi

HOP = 1280


@pytest.fixture(scope="module")
def codec() -> MiniCodec:
    return MiniCodec()


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    data = SynthSpeech("")
    return [data.audio(u, 16_000) for u in data.utterances("test")[::22]]


def audio(frames: int, seed: int = 0) -> Tensor:
    return torch.randn(1, 1, frames * HOP, generator=torch.Generator().manual_seed(seed)) * 0.1


@pytest.mark.parametrize("t", [0, 3, 11])
def test_audio_after_a_frame_leaves_its_latent_bit_identical(codec: MiniCodec, t: int) -> None:
    one, other = audio(16), audio(16)
    other[..., (t + 1) * HOP :] = audio(16, seed=1)[..., (t + 1) * HOP :] * 5
    a, b = codec.encode(one), codec.encode(other)
    assert torch.equal(a[:, : t + 1], b[:, : t + 1])
    assert not torch.equal(a[:, t + 1], b[:, t + 1])


def test_the_last_sample_of_a_frame_reaches_its_latent(codec: MiniCodec) -> None:
    one = audio(6)
    other = one.clone()
    other[..., 4 * HOP - 40 : 4 * HOP] += 0.5
    assert not torch.equal(codec.encode(one)[:, 3], codec.encode(other)[:, 3])


def test_decoding_looks_less_than_a_frame_ahead(codec: MiniCodec) -> None:
    one = codec.encode(audio(12))
    other = one.clone()
    other[:, 7:] += 1.0
    a, b = codec.decode(one)[0, 0], codec.decode(other)[0, 0]
    first = int((a != b).nonzero()[0])
    assert 7 * HOP - 240 <= first < 7 * HOP


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, HOP + 1, 5 * HOP + 7])
def test_lengths(codec: MiniCodec, samples: int) -> None:
    x = codec.encode(torch.zeros(2, 1, samples))
    frames = -(-samples // HOP)
    assert x.shape == (2, frames, 32) and codec.decode(x).shape == (2, 1, frames * HOP)


def test_a_batch_equals_its_members(codec: MiniCodec) -> None:
    both = torch.cat([audio(9, 0), audio(9, 1)])
    torch.testing.assert_close(codec.encode(both)[1:], codec.encode(both[1:]), atol=1e-5, rtol=1e-4)


def test_codes_are_nearest_entries_and_more_stages_come_closer(codec: MiniCodec, speech: list[np.ndarray]) -> None:
    x = torch.cat([codec.encode(torch.from_numpy(a)[None, None]) for a in speech], dim=1)
    codes = codec.codes(x)
    assert codes.shape == (1, x.shape[1], 8) and int(codes.min()) >= 0 and int(codes.max()) < 1024
    first = codec.model.codebooks[0]
    nearest = (x[0, :, None] - first[None]).square().sum(-1).argmin(-1)
    assert torch.equal(codes[0, :, 0], nearest)
    errors = [float((codec.from_codes(codes[..., :q]) - x).square().mean()) for q in range(1, 9)]
    assert all(b < a for a, b in itertools.pairwise(errors))
    assert errors[-1] < 0.3 * float(x.var())


def test_every_dimension_is_alive(codec: MiniCodec, speech: list[np.ndarray]) -> None:
    """No dimension is a combination of the others: the covariance is well conditioned."""
    x = torch.cat([codec.encode(torch.from_numpy(a)[None, None])[0] for a in speech])
    eigenvalues = torch.linalg.eigvalsh(torch.cov(x.T))
    assert float(eigenvalues[0] / eigenvalues[-1]) > 1e-3


def test_size_and_contract(codec: MiniCodec) -> None:
    count = sum(p.numel() for p in codec.model.parameters()) + codec.model.codebooks.numel()
    assert count <= 5_500_000 and WEIGHTS.stat().st_size <= 11_000_000
    assert isinstance(codec, Codec) and isinstance(codec, HasCodes)
    info = codec.info
    assert info.frame_rate == 12.5 and info.lookahead == 0 and info.codebooks == (1024,) * 8
    assert len(info.weights_digest) == 64


def test_it_keeps_speech_and_loses_it_with_its_latents(codec: MiniCodec, speech: list[np.ndarray]) -> None:
    kept, lost = [], []
    for a in speech:
        x = codec.encode(torch.from_numpy(a)[None, None])
        decoded = codec.decode(x)[0, 0, : len(a)].numpy()
        wrong = codec.decode(x.flip(1))[0, 0, : len(a)].numpy()
        kept.append((stoi(a, decoded), log_mel_l1(a, decoded)))
        lost.append((stoi(a, wrong), log_mel_l1(a, wrong)))
    kept_stoi, kept_mel = np.mean(kept, 0)
    lost_stoi, lost_mel = np.mean(lost, 0)
    assert kept_stoi > 0.75 and kept_mel < 0.2
    assert lost_stoi < 0.4 and lost_mel > 2 * kept_mel


def test_mel_filters_cover_the_band_without_gaps() -> None:
    filters = mel_filterbank(513, 40, 16_000, 8000.0)
    assert filters.shape == (513, 40) and float(filters.max()) <= 1.0
    assert (filters.sum(1)[8:440] > 0.5).all()


def test_an_argument_and_a_damaged_file_are_refused(tmp_path) -> None:
    with pytest.raises(DataError, match="takes no argument, got 'x'"):
        MiniCodec("x")
    broken = tmp_path / "weights.safetensors"
    broken.write_bytes(WEIGHTS.read_bytes()[:1000])
    with pytest.raises(DataError, match="weights.safetensors"):
        MiniCodec(weights=broken)


def test_untrained_and_trained_differ() -> None:
    torch.manual_seed(0)
    fresh = Minicodec(Config()).eval()
    assert not torch.allclose(fresh.encoder(audio(4)[:, 0])[0], MiniCodec().encode(audio(4)))


def test_a_tap_after_n_stages_is_what_the_codes_of_n_stages_give(codec: MiniCodec) -> None:
    sound = audio(6)
    x = codec.encode(sound)
    tapped = MiniCodec(tap="rvq3")
    assert tapped.info.name == "minicodec@rvq3" and len(tapped.info.codebooks) == 3
    assert torch.equal(tapped.encode(sound), codec.from_codes(codec.codes(x)[..., :3]))
    assert tapped.codes(tapped.encode(sound)).shape == (1, 6, 3)
    assert MiniCodec(tap="continuous").info == codec.info and tapped.info.weights_digest == codec.info.weights_digest
    with pytest.raises(DataError, match="no tap 'rvq9'; there are: continuous, rvq1 to rvq8"):
        MiniCodec(tap="rvq9")
