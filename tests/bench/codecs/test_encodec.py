"""EnCodec: causality and its beginning, seconds and their level, its file format, and transformers' EnCodec."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from bench import registry
from bench.codecs.encodec import LEAD, LOWEST, EnCodec24, EnCodec48
from bench.contract import HasCodes
from tests.bench.codecs import packaged

pytest.importorskip("einops", reason="encodec and what it needs are in the extra codecs")

BOTH = (EnCodec24, EnCodec48)


@pytest.fixture(scope="module")
def causal() -> EnCodec24:
    return EnCodec24("random")


@pytest.fixture(scope="module")
def seconds() -> EnCodec48:
    return EnCodec48("random")


@pytest.fixture(scope="module")
def checkpoints(
    causal: EnCodec24, seconds: EnCodec48, tmp_path_factory: pytest.TempPathFactory
) -> dict[type[EnCodec24], Path]:
    """The published format: the model's state, its digest's beginning in the file's name."""
    folder = tmp_path_factory.mktemp("encodec")
    out: dict[type[EnCodec24], Path] = {}
    for codec in (causal, seconds):
        torch.save(codec.model.state_dict(), folder / "state.th")
        digest = hashlib.sha256((folder / "state.th").read_bytes()).hexdigest()
        out[type(codec)] = (folder / "state.th").rename(folder / f"{codec.NAME}-{digest[:8]}.th")
    return out


@pytest.mark.parametrize("codec", BOTH)
@pytest.mark.parametrize("tap", ["", "rvq3"])
def test_it_keeps_the_rules_at_every_tap(one_thread: None, codec: type[EnCodec24], tap: str) -> None:
    packaged.keeps_the_rules(codec, tap)


def test_what_is_stated() -> None:
    info = registry.build("codecs", "encodec24@rvq8:random").info
    assert (info.name, info.sample_rate, info.frame_rate, info.dim) == ("encodec24@rvq8", 24_000, 75.0, 128)
    assert info.lookahead == 0 and info.codebooks == ()
    codec = registry.build("codecs", "encodec48:random")
    assert (codec.info.name, codec.info.frame_rate, codec.info.dim) == ("encodec48", 150.0, 129)
    assert codec.info.codebooks == (1024,) * 17 and isinstance(codec, HasCodes)


def test_no_latent_of_the_causal_model_looks_ahead_not_even_the_first(causal: EnCodec24) -> None:
    assert packaged.frames_seen_ahead(causal, 12, range(1, 12)) == 0 == causal.info.lookahead


def test_the_package_itself_mirrors_the_beginning(causal: EnCodec24) -> None:
    """Why there is silence before: without it the first latent has seen six frames ahead, the fourth none."""

    class Plain(EnCodec24):
        def _continuous(self, audio: torch.Tensor) -> torch.Tensor:
            return self.model.encoder(audio)

    plain = Plain("random")
    assert packaged.frames_seen_ahead(plain, 12, range(1, 12)) == 6
    audio = packaged.sound(causal, 40)
    one, other = causal.encode(audio), plain.encode(F.pad(audio, (LEAD * 320, 0)))
    assert torch.equal(one, other[:, LEAD:])
    away = (one - plain.encode(audio)).abs().amax(-1)[0]
    assert float(away[30:].max()) < 0.01 * float(away[:3].max())


def test_a_latent_of_the_other_sees_its_second_and_no_more(seconds: EnCodec48) -> None:
    assert packaged.frames_seen_ahead(seconds, 160, range(149, 151)) == 149 == seconds.info.lookahead
    assert packaged.frames_seen_ahead(seconds, 160, range(150, 151)) == 0


@pytest.mark.parametrize("codec", BOTH)
def test_rvq_taps_are_dequantised_codes_of_the_continuous_one(codec: type[EnCodec24]) -> None:
    whole = codec("random")
    audio = packaged.sound(whole, 12)
    codes = whole.codes(whole.encode(audio))
    level = len(whole.info.codebooks) - whole.STAGES
    for stages in (1, 5, whole.STAGES):
        tap = codec("random", f"rvq{stages}")
        assert not isinstance(tap, HasCodes)
        got, expected = tap.encode(audio), whole.from_codes(codes[..., : level + stages])
        assert torch.equal(got[..., :128], expected[..., :128])
        torch.testing.assert_close(got, expected, atol=0.007, rtol=0.0)  # half a step of the level


def test_seconds_are_coded_as_the_package_codes_them_without_overlap(seconds: EnCodec48) -> None:
    audio = packaged.sound(seconds, 170) * torch.linspace(0.1, 3.0, 170 * 320)
    model: Any = seconds.model
    model.overlap = 0.0
    with torch.no_grad():
        frames = model.encode(audio.expand(-1, 2, -1))
        heard = model.decode(frames).mean(1, keepdim=True)
    x = seconds.encode(audio)
    codes = torch.cat([codes for codes, _ in frames], -1).mT
    assert torch.equal(codes, seconds.codes(x)[..., 1:])
    dequantised = torch.cat([seconds.from_codes(seconds.codes(x))[..., :128], x[..., 128:]], -1)
    torch.testing.assert_close(seconds.decode(dequantised), heard.clamp(-1, 1), atol=1e-5, rtol=1e-4)


def test_the_level_is_that_of_the_audio_and_comes_back(seconds: EnCodec48) -> None:
    quiet = 0.1 * packaged.sound(seconds, 20)
    loud = 5.0 * quiet
    x, y = seconds.encode(quiet), seconds.encode(loud)
    assert float((y - x)[..., 128].mean()) == pytest.approx(1.6094, abs=1e-4)
    assert float((y - x)[..., :128].abs().max()) < 1e-3
    assert float(seconds.decode(y).std() / seconds.decode(x).std()) == pytest.approx(5.0, rel=1e-3)
    silence = seconds.encode(torch.zeros(1, 1, 640))
    assert float(silence[0, 0, 128]) == pytest.approx(LOWEST) and int(seconds.codes(silence)[0, 0, 0]) == 0
    assert float(seconds.decode(silence).abs().max()) < 1e-4


@pytest.mark.parametrize("codec", BOTH)
def test_a_checkpoint_of_the_published_format(codec: type[EnCodec24], checkpoints: dict[Any, Path]) -> None:
    path = checkpoints[codec]
    read, made = codec(str(path)), codec("random")
    audio = packaged.sound(read, 5)
    packaged.same_latents(read, made, audio)
    assert read.info.trained and read.info.weights_digest.startswith(path.stem.split("-")[1])
    state = type(made.model)._get_pretrained(path.name, path.parent)  # the package's own way, which checks the name
    made.model.load_state_dict({name: torch.zeros_like(value) for name, value in state.items()})
    made.model.load_state_dict(state)
    packaged.same_latents(read, made, audio)


@pytest.mark.parametrize(("codec", "other"), [BOTH, BOTH[::-1]])
def test_bad_weights_and_taps_are_one_line(
    codec: type[EnCodec24],
    other: type[EnCodec24],
    checkpoints: dict[Any, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packaged.refuses_damage(codec, checkpoints[codec], checkpoints[other], codec.NAME)
    harmful = tmp_path / "harmful.th"
    torch.save({"encoder": Path("/")}, harmful)  # an object, which weights_only refuses
    packaged.refuses(codec, harmful, f"codec {codec.NAME}: expected", "harmful.th")
    packaged.refuses_what_is_not_pinned(codec, checkpoints[codec], monkeypatch)
    packaged.refuses(codec, "random", "no tap 'rvq33'", f"rvq1 to rvq{codec.STAGES}", tap="rvq33")


@pytest.mark.parametrize("codec", BOTH)
def test_random_weights_are_seeded(codec: type[EnCodec24]) -> None:
    packaged.is_seeded(codec)


@pytest.mark.parametrize("codec", BOTH)
def test_transformers_gives_the_same(codec: type[EnCodec24]) -> None:
    transformers: Any = packaged.transformers()
    ours = codec("random")
    stereo: dict[str, Any] = {
        "target_bandwidths": [3.0, 6.0, 12.0, 24.0],
        "sampling_rate": 48_000,
        "audio_channels": 2,
        "normalize": True,
        "chunk_length_s": 1.0,
        "overlap": 0.01,
        "norm_type": "time_group_norm",
        "use_causal_conv": False,
    }
    config = transformers.EncodecConfig(**stereo if codec is EnCodec48 else {})
    theirs = transformers.EncodecModel(config).eval()
    theirs.load_state_dict(as_transformers(ours.model.state_dict()))
    audio = packaged.sound(ours, 30, batch=2)
    with torch.no_grad():
        if codec is EnCodec48:
            level = audio.square().mean(-1, keepdim=True).sqrt() + 1e-8
            latents = theirs.encoder((audio / level).expand(-1, 2, -1))
        else:
            latents = theirs.encoder(F.pad(audio, (LEAD * 320, 0)))[..., LEAD:]
        codes = theirs.quantizer.encode(latents, 24.0).permute(1, 2, 0)
        heard = theirs.decoder(latents)
    x = ours.encode(audio)
    assert float((latents.mT - x[..., :128]).abs().max()) < 1e-5
    assert torch.equal(codes, ours.codes(x)[..., -ours.STAGES :])
    heard = heard.mean(1, keepdim=True) * level if codec is EnCodec48 else heard
    assert float((heard.clamp(-1, 1) - ours.decode(x)).abs().max()) < 1e-5


def as_transformers(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The package's tensors under transformers' names."""
    names = {
        "coder.model.": "coder.layers.",
        ".conv.conv.": ".conv.",
        ".convtr.convtr.": ".conv.",
        ".conv.norm.": ".norm.",
        ".convtr.norm.": ".norm.",
        ".vq.layers.": ".layers.",
        "._codebook.": ".codebook.",
        ".weight_g": ".parametrizations.weight.original0",
        ".weight_v": ".parametrizations.weight.original1",
    }
    out = {}
    for name, tensor in state.items():
        for old, new in names.items():
            name = name.replace(old, new)
        out[name] = tensor
    return out
