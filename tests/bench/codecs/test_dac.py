"""DAC: what its taps are of each other, how far it looks ahead, its file format, and transformers' DAC."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from bench import registry
from bench.codecs.dac import DAC16, DAC24, DAC44
from bench.codecs.weights_of import undisturbed
from bench.contract import HasCodes
from tests.bench.codecs import packaged

if importlib.util.find_spec("dac") is None:
    pytest.skip("descript-audio-codec is in requirements-nodeps.txt", allow_module_level=True)


class Small44(DAC44):
    """The published strides, kernels, dilations and codebooks, with few channels."""

    DIMS: ClassVar = {"continuous": 64, "projected72": 72}
    CONFIG: ClassVar = {**DAC44.CONFIG, "encoder_dim": 4, "decoder_dim": 32}


class Small24(DAC24):
    """The same at 24 kHz."""

    DIMS: ClassVar = {"continuous": 64, "projected256": 256}
    CONFIG: ClassVar = {**DAC24.CONFIG, "encoder_dim": 4, "decoder_dim": 32}


class Small16(DAC16):
    """The same at 16 kHz."""

    DIMS: ClassVar = {"continuous": 64, "projected96": 96}
    CONFIG: ClassVar = {**DAC16.CONFIG, "encoder_dim": 4, "decoder_dim": 32}


ALL = (Small16, Small24, Small44)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[type[DAC44], Path]:
    """The published format, as the package saves it: weights beside the arguments of the model."""
    folder = tmp_path_factory.mktemp("dac")
    for codec in ALL:
        codec("random").model.save(str(folder / f"{codec.NAME}.pth"), package=False)
    return {codec: folder / f"{codec.NAME}.pth" for codec in ALL}


@pytest.mark.parametrize(
    ("codec", "tap"),
    [
        (Small16, ""),
        (Small24, ""),
        (Small44, ""),
        (Small16, "projected96"),
        (Small44, "projected72"),
        (Small44, "rvq3"),
    ],
)
def test_it_keeps_the_rules_at_every_tap(one_thread: None, codec: type[DAC44], tap: str) -> None:
    packaged.keeps_the_rules(codec, tap)


def test_the_published_architecture(one_thread: None) -> None:
    codec = registry.build("codecs", "dac44@projected72:random")
    x = codec.encode(torch.zeros(1, 1, 513))
    assert x.shape == (1, 2, 72) and codec.info.frame_rate == 86.1328125 and codec.info.name == "dac44@projected72"
    assert codec.info.codebooks == (1024,) * 9 and codec.codes(x).shape == (1, 2, 9)
    assert codec.decode(x).shape == (1, 1, 1024)
    assert sum(p.numel() for p in codec.model.parameters()) == 76_651_890


@pytest.mark.parametrize(("codec", "frame_rate", "stages"), [(DAC16, 50.0, 12), (DAC24, 75.0, 32)])
def test_the_other_architectures_have_the_stated_sizes(codec: type[DAC44], frame_rate: float, stages: int) -> None:
    with undisturbed(), torch.device("meta"):
        model = object.__new__(codec)._built()
    assert model.sample_rate / model.hop_length == frame_rate and model.n_codebooks == stages
    assert list(codec.DIMS.items()) == [("continuous", model.latent_dim), (f"projected{8 * stages}", 8 * stages)]


@pytest.mark.parametrize("codec", ALL)
def test_it_looks_eight_frames_ahead(codec: type[DAC44]) -> None:
    built = codec("random")
    assert packaged.frames_seen_ahead(built, 24, range(10, 18)) == 8 == built.info.lookahead


@pytest.mark.parametrize(("codec", "last"), [(Small44, 4244), (Small24, 2812)])
def test_how_far_ahead_to_the_sample(codec: type[DAC44], last: int) -> None:
    """In float64, where the product of many small weights is not lost beside the rest."""
    model, hop, frame = codec("random").model.double(), math.prod(codec.CONFIG["encoder_rates"]), 6
    audio = 0.1 * torch.randn(1, 1, 16 * hop, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    audio.requires_grad_(True)
    model.encoder(audio)[..., frame].sum().backward()
    assert int(audio.grad[0, 0].nonzero().max()) == frame * hop + last


@pytest.mark.parametrize("codec", [Small16, Small44])
def test_taps_are_what_the_package_says(codec: type[DAC44]) -> None:
    whole = codec("random")
    audio = packaged.sound(whole, 12)
    x = whole.encode(audio)
    with torch.no_grad():
        quantised, codes, projected, _, _ = whole.model.encode(audio)
    tap = codec("random", list(codec.DIMS)[1])
    assert torch.equal(tap.encode(audio), projected.mT) and torch.equal(whole.codes(x), codes.mT)
    assert torch.equal(tap.codes(projected.mT), codes.mT)
    torch.testing.assert_close(whole.from_codes(codes.mT), quantised.mT)
    for stages in (1, 5):
        rvq = codec("random", f"rvq{stages}")
        assert not isinstance(rvq, HasCodes)
        torch.testing.assert_close(rvq.encode(audio), whole.from_codes(codes.mT[..., :stages]))


@pytest.mark.parametrize("codec", [Small16, Small44])
def test_projections_are_decoded_as_the_codec_decodes(codec: type[DAC44]) -> None:
    whole, tap = codec("random"), codec("random", list(codec.DIMS)[1])
    audio = packaged.sound(whole, 12)
    projected, codes = tap.encode(audio), whole.codes(whole.encode(audio))
    expected = whole.decode(whole.from_codes(codes))
    torch.testing.assert_close(tap.decode(projected), expected, atol=1e-5, rtol=1e-4)
    for stages in (1, 4):
        first = tap.from_codes(codes[..., :stages])
        assert not first[..., 8 * stages :].any()
        expected = whole.decode(whole.from_codes(codes[..., :stages]))
        torch.testing.assert_close(tap.decode(first), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("codec", [Small24, Small44])
def test_decoding_agrees_with_the_package(codec: type[DAC44]) -> None:
    built = codec("random")
    x = built.encode(packaged.sound(built, 12))
    with torch.no_grad():
        theirs = built.model.decode(x.mT)
    ours = built.decode(x)
    short = ours.shape[-1] - theirs.shape[-1]
    assert short == (8 if codec is Small24 else 0)
    torch.testing.assert_close(ours[..., : theirs.shape[-1]], theirs)
    assert not ours[..., theirs.shape[-1] :].any()


@pytest.mark.parametrize("codec", ALL)
def test_a_checkpoint_of_the_published_format(codec: type[DAC44], checkpoints: dict[Any, Path]) -> None:
    read, made = codec(str(checkpoints[codec])), codec("random")
    audio = packaged.sound(read, 12)
    packaged.same_latents(read, made, audio)
    with undisturbed():
        theirs = type(read.model).load(str(checkpoints[codec])).eval()  # the package's own way
    with torch.no_grad():
        assert torch.equal(theirs.encoder(audio).mT, read.encode(audio))
    assert read.info.trained and not made.info.trained


@pytest.mark.parametrize("codec", ALL)
def test_bad_weights_and_taps_are_one_line(
    codec: type[DAC44], checkpoints: dict[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = checkpoints[ALL[ALL.index(codec) - 1]]
    packaged.refuses_damage(codec, checkpoints[codec], other, codec.NAME)
    packaged.refuses(codec, other, "expected sample_rate", f"got {ALL[ALL.index(codec) - 1].CONFIG['sample_rate']}")
    stored = torch.load(checkpoints[codec], weights_only=True)
    less = tmp_path / "less.pth"
    torch.save({**stored, "state_dict": dict(list(stored["state_dict"].items())[:-3])}, less)
    packaged.refuses(codec, less, "expected the weights of DAC at", "no decoder.model.6", "and 2 more are missing")
    torch.save(stored["state_dict"], less)
    packaged.refuses(codec, less, "expected the weights of DAC at", "in less.pth, got: 'metadata'")
    packaged.refuses_what_is_not_pinned(codec, checkpoints[codec], monkeypatch)
    packaged.refuses(codec, "random", "no tap 'rvq33'", ", ".join(codec.DIMS), tap="rvq33")


def test_random_weights_are_seeded() -> None:
    packaged.is_seeded(Small16)


@pytest.mark.parametrize("codec", [Small24, Small44])
def test_transformers_gives_the_same(codec: type[DAC44]) -> None:
    transformers: Any = packaged.transformers()
    ours = codec("random")
    config = transformers.DacConfig(
        encoder_hidden_size=4,
        decoder_hidden_size=32,
        downsampling_ratios=codec.CONFIG["encoder_rates"],
        n_codebooks=codec.CONFIG["n_codebooks"],
        sampling_rate=codec.CONFIG["sample_rate"],
    )
    theirs = transformers.DacModel(config).eval()
    theirs.load_state_dict(as_transformers(codec("random").model))
    audio = packaged.sound(ours, 12, batch=2)
    with torch.no_grad():
        latents = theirs.encoder(audio)
        quantised, codes, projected, _, _ = theirs.quantizer(latents)
        heard = theirs.decoder(quantised)
    x = ours.encode(audio)
    assert float((latents.mT - x).abs().max()) < 1e-5
    assert torch.equal(codes.mT, ours.codes(x))
    tap = codec("random", list(codec.DIMS)[1])
    assert float((projected.mT - tap.encode(audio)).abs().max()) < 1e-5
    decoded = ours.decode(ours.from_codes(ours.codes(x)))
    assert float((heard - decoded[..., : heard.shape[-1]]).abs().max()) < 1e-5


def as_transformers(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The package's tensors under transformers' names, weight normalisation folded in."""
    for module in model.modules():
        if hasattr(module, "weight_g"):
            torch.nn.utils.remove_weight_norm(module)
    unit = {"0": "snake1", "1": "conv1", "2": "snake2", "3": "conv2"}
    out = {}
    for name, tensor in model.state_dict().items():
        half, *rest = name.split(".")
        if half == "quantizer":
            out[name] = tensor
            continue
        layer, parts = int(rest[1]), rest[2:]
        ends = {0: "conv1", 5: "snake1", 6: "conv2"}
        if layer in ends:
            out[".".join([half, ends[layer], *parts])] = tensor
            continue
        inner = int(parts[1])
        units, others = (0, {3: "snake1", 4: "conv1"}) if half == "encoder" else (2, {0: "snake1", 1: "conv_t1"})
        if inner in others:
            named = [others[inner], *parts[2:]]
        else:
            named = [f"res_unit{inner - units + 1}", unit[parts[3]], *parts[4:]]
        out[".".join([half, "block", str(layer - 1), *named])] = tensor
    return out
