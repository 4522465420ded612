"""Mimi: taps, causality, its file format, and transformers' Mimi with the same weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from bench import registry
from bench.codecs.mimi import Mimi
from bench.contract import HasCodes
from tests.bench.codecs import packaged

loaders = pytest.importorskip("moshi.models.loaders", reason="moshi is in requirements-nodeps.txt")

TAPS = ("", "semantic256", "acoustic256", "rvq1", "rvq3")


class SmallMimi(Mimi):
    """The published strides, kernels and layers, with few channels."""

    DIMS: ClassVar = {"continuous": 32, "semantic256": 16, "acoustic256": 16}
    STAGES, ENTRIES = 6, 64
    CONFIG: ClassVar = {
        "sample_rate": 24_000,
        "channels": 1,
        "frame_rate": 12.5,
        "seanet": {**loaders._seanet_kwargs, "dimension": 32, "n_filters": 4},
        "quantizer": {"dimension": 16, "n_q": 6, "bins": 64, "input_dimension": 32, "output_dimension": 32},
        "transformer": {
            **loaders._transformer_kwargs,
            "d_model": 32,
            "num_heads": 2,
            "num_layers": 2,
            "layer_scale": 0.5,  # the published 0.01 would hide an error in attention
            "dim_feedforward": 64,
            "input_dimension": 32,
            "output_dimensions": [32],
        },
    }


@pytest.fixture(scope="module")
def small() -> SmallMimi:
    return SmallMimi("random")


@pytest.fixture(scope="module")
def checkpoint(small: SmallMimi, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published format: a safetensors file of the model's state."""
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("mimi") / "mimi.safetensors"
    save_file(small.model.state_dict(), path)
    return path


@pytest.mark.parametrize("tap", TAPS)
def test_it_keeps_the_rules_at_every_tap(one_thread: None, tap: str) -> None:
    packaged.keeps_the_rules(SmallMimi, tap)


def test_the_published_architecture(one_thread: None) -> None:
    codec = registry.build("codecs", "mimi@acoustic256:random")
    x = codec.encode(torch.zeros(1, 1, 1921))
    info = codec.info
    assert (info.name, info.frame_rate, info.hop, info.dim) == ("mimi@acoustic256", 12.5, 1920, 256)
    assert x.shape == (1, 2, 256) and codec.decode(x).shape == (1, 1, 3840)
    assert info.codebooks == (2048,) * 31 and codec.codes(x).shape == (1, 2, 31)
    assert sum(p.numel() for p in codec.model.parameters()) == 79_308_609


def test_no_latent_looks_ahead(small: SmallMimi) -> None:
    assert packaged.frames_seen_ahead(small, 12, range(1, 12)) == 0 == small.info.lookahead


def test_projected_taps_are_projections_of_the_continuous_one(small: SmallMimi) -> None:
    audio = packaged.sound(small, 6, batch=2)
    x = small.encode(audio)
    for tap, half in (
        ("semantic256", small.model.quantizer.rvq_first),
        ("acoustic256", small.model.quantizer.rvq_rest),
    ):
        projected = SmallMimi("random", tap).encode(audio)
        torch.testing.assert_close(projected, x @ half.input_proj.weight[..., 0].T)


def test_rvq_taps_are_dequantised_codes_of_the_continuous_one(small: SmallMimi) -> None:
    audio = packaged.sound(small, 9)
    codes = small.codes(small.encode(audio))
    assert len(torch.unique(codes[0, :, 0])) > 3
    for stages in (1, 2, 6):
        tap = SmallMimi("random", f"rvq{stages}")
        assert tap.info.name == f"mimi@rvq{stages}" and not isinstance(tap, HasCodes)
        assert torch.equal(tap.encode(audio), small.from_codes(codes[..., :stages]))


def test_halves_code_what_the_whole_codes(small: SmallMimi) -> None:
    audio = packaged.sound(small, 9)
    codes = small.codes(small.encode(audio))
    semantic, acoustic = SmallMimi("random", "semantic256"), SmallMimi("random", "acoustic256")
    first, rest = semantic.codes(semantic.encode(audio)), acoustic.codes(acoustic.encode(audio))
    assert torch.equal(torch.cat([first, rest], -1), codes)
    halves = [half.model.quantizer for half in (semantic, acoustic)]
    added = halves[0].rvq_first.output_proj(semantic.from_codes(first).mT)
    added = added + halves[1].rvq_rest.output_proj(acoustic.from_codes(rest).mT)
    torch.testing.assert_close(added.mT, small.from_codes(codes))


def test_decoding_agrees_with_the_package(small: SmallMimi) -> None:
    codes = small.codes(small.encode(packaged.sound(small, 7)))
    with torch.no_grad():
        theirs = small.model.decode(codes.mT)
    torch.testing.assert_close(small.decode(small.from_codes(codes)), theirs.clamp(-1, 1))


def test_a_checkpoint_of_the_published_format(small: SmallMimi, checkpoint: Path) -> None:
    read = SmallMimi(str(checkpoint))
    packaged.same_latents(read, small, packaged.sound(small, 5))
    theirs = loaders.get_mimi(checkpoint, SmallMimi.CONFIG, num_codebooks=6)
    with torch.no_grad():
        x = theirs.encode_to_latent(packaged.sound(small, 5), quantize=False)
    assert torch.equal(x.mT, read.encode(packaged.sound(small, 5)))
    assert read.info.trained and read.info.weights_digest != small.info.weights_digest


def test_bad_weights_and_taps_are_one_line(
    small: SmallMimi, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    other = tmp_path / "other.safetensors"
    save_file({"encoder.weight": torch.zeros(3)}, other)
    packaged.refuses_damage(SmallMimi, checkpoint, other, "mimi")
    renamed = tmp_path / "mimi.pt"
    renamed.write_bytes(checkpoint.read_bytes())
    packaged.refuses(SmallMimi, renamed, "expected a .safetensors file, got mimi.pt")
    packaged.refuses_what_is_not_pinned(SmallMimi, checkpoint, monkeypatch)
    there = "there are: continuous, semantic256, acoustic256, rvq1 to rvq6"
    for tap in ("rvq0", "rvq7", "rvq", "projected72"):
        packaged.refuses(SmallMimi, "random", f"codec mimi: no tap '{tap}'", there, tap=tap)


def test_random_weights_are_seeded() -> None:
    packaged.is_seeded(SmallMimi)


def test_transformers_gives_the_same(small: SmallMimi) -> None:
    transformers: Any = packaged.transformers()
    config = transformers.MimiConfig(
        hidden_size=32,
        num_filters=4,
        codebook_size=64,
        codebook_dim=16,
        vector_quantization_hidden_dimension=16,
        num_quantizers=6,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        intermediate_size=64,
        upsample_groups=32,
    )
    theirs = transformers.MimiModel(config).eval()
    theirs.load_state_dict(as_transformers(small.model.state_dict(), heads=2))
    audio = packaged.sound(small, 12, batch=2)
    with torch.no_grad():
        latents = theirs.encoder(audio).latents
        codes = theirs.encode(audio).audio_codes
        heard = theirs.decode(codes).audio_values
    x = small.encode(audio)
    assert float((latents.mT - x).abs().max()) < 1e-5
    assert torch.equal(codes.mT, small.codes(x))
    assert float((heard.clamp(-1, 1) - small.decode(small.from_codes(codes.mT))).abs().max()) < 1e-5


def as_transformers(state: dict[str, torch.Tensor], heads: int) -> dict[str, torch.Tensor]:
    """The package's tensors under transformers' names; its rotary pairs lie in two halves, not side by side."""
    names = {
        ".conv.conv.conv.": ".conv.",
        ".convtr.convtr.convtr.": ".conv.",
        ".conv.conv.": ".conv.",
        ".convtr.convtr.": ".conv.",
        "encoder.model.": "encoder.encoder_seanet.layers.",
        "decoder.model.": "decoder.decoder_seanet.layers.",
        "encoder_transformer.": "encoder.encoder_transformer.",
        "decoder_transformer.": "decoder.decoder_transformer.",
        "downsample.": "encoder.downsample.",
        "upsample.": "decoder.upsample.",
        "_transformer.transformer.": "_transformer.",
        "self_attn.out_projs.0.": "self_attn.o_proj.",
        ".norm1.": ".input_layernorm.",
        ".norm2.": ".post_attention_layernorm.",
        ".linear1.": ".mlp.fc1.",
        ".linear2.": ".mlp.fc2.",
        ".layer_scale_1.": ".self_attn_layer_scale.",
        ".layer_scale_2.": ".mlp_layer_scale.",
        "rvq_first.": "semantic_residual_vector_quantizer.",
        "rvq_rest.": "acoustic_residual_vector_quantizer.",
        ".vq.layers.": ".layers.",
        "._codebook._initialized": ".codebook.initialized",
        "._codebook.embedding_sum": ".codebook.embed_sum",
        "._codebook.": ".codebook.",
    }
    out = {}
    for name, tensor in state.items():
        for old, new in names.items():
            name = name.replace(old, new)
        if "in_projs.0" not in name:
            out[name] = tensor
            continue
        for what, part in zip("qkv", tensor.chunk(3), strict=True):
            if what != "v":
                part = part.reshape(heads, -1, 2, part.shape[-1]).transpose(1, 2).reshape(part.shape)
            out[name.replace("in_projs.0", f"{what}_proj")] = part
    return out
