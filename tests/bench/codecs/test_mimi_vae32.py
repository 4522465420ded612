"""The continuous Mimi: causality, its file formats, streaming, and moshi's encoder with the same weights."""

from __future__ import annotations

import importlib.util
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch.nn import functional as F

from bench import registry
from bench.codecs.mimi_vae32 import MimiVAE32
from bench.contract import HasCodes
from tests.bench.codecs import packaged

if importlib.util.find_spec("pocket_tts") is None:
    pytest.skip("pocket-tts is in requirements-nodeps.txt", allow_module_level=True)

SEANET = {
    "dimension": 32,
    "channels": 1,
    "n_filters": 4,
    "n_residual_layers": 1,
    "ratios": [6, 5, 4],
    "kernel_size": 7,
    "residual_kernel_size": 3,
    "last_kernel_size": 3,
    "dilation_base": 2,
    "pad_mode": "constant",
    "compress": 2,
}
TRANSFORMER = {
    "d_model": 32,
    "num_heads": 2,
    "num_layers": 2,
    "layer_scale": 0.5,  # the published 0.01 would hide an error in attention
    "context": 250,
    "dim_feedforward": 64,
    "input_dimension": 32,
    "output_dimensions": (32,),
}


class Small(MimiVAE32):
    """The published strides, kernels and 32 dimensions, with few channels."""

    CONFIG: ClassVar = {
        "dtype": "float32",
        "sample_rate": 24_000,
        "channels": 1,
        "frame_rate": 12.5,
        "inner_dim": 32,
        "outer_dim": 32,
        "seanet": SEANET,
        "transformer": TRANSFORMER,
        "quantizer": {"dimension": 32, "output_dimension": 32},
    }


@pytest.fixture(scope="module")
def small() -> Small:
    return Small("random")


@pytest.fixture(scope="module")
def checkpoint(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published format: one safetensors file, `mimi.` before the codec's names, the language model's beside."""
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("vae") / "model.safetensors"
    state = {f"mimi.{name}": tensor for name, tensor in small.model.state_dict().items()}
    save_file({**state, "flow_lm.bos_emb": torch.zeros(3)}, path)
    return path


def test_it_keeps_the_rules(one_thread: None) -> None:
    packaged.keeps_the_rules(Small)


def test_the_published_architecture(one_thread: None) -> None:
    codec = registry.build("codecs", "mimi_vae32:random")
    x = codec.encode(torch.zeros(1, 1, 1921))
    info = codec.info
    assert (info.name, info.frame_rate, info.hop, info.dim, info.codebooks) == ("mimi_vae32", 12.5, 1920, 32, ())
    assert x.shape == (1, 2, 32) and codec.decode(x).shape == (1, 1, 3840)
    assert not isinstance(codec, HasCodes)


def test_no_latent_looks_ahead(small: Small) -> None:
    assert packaged.frames_seen_ahead(small, 12, range(1, 12)) == 0 == small.info.lookahead


def test_decoding_at_once_is_decoding_frame_by_frame(small: Small) -> None:
    from pocket_tts.modules.stateful_module import increment_steps, init_states

    x = small.encode(packaged.sound(small, 9, batch=2))
    state, parts = init_states(small.model, 2, 9 * 16), []
    with torch.no_grad():
        for frame in x.split(1, 1):
            parts.append(small.model.decode_from_latent(frame, state))
            increment_steps(small.model, state, 16)
    torch.testing.assert_close(small.decode(x), torch.cat(parts, -1).clamp(-1, 1), atol=1e-6, rtol=1e-4)


def test_checkpoints_of_the_published_formats(small: Small, checkpoint: Path, tmp_path: Path) -> None:
    from pocket_tts.utils.weights_loading import get_mimi_state_dict
    from safetensors.torch import save_file

    audio = packaged.sound(small, 5)
    read = Small(str(checkpoint))
    packaged.same_latents(read, small, audio)
    alone = tmp_path / "codec.safetensors"  # the codec's own file, with the names it was trained under
    longer = {".conv.": ".conv.conv.", ".convtr.": ".convtr.convtr.", ".in_proj.weight": ".in_proj_weight"}
    state = dict(small.model.state_dict())
    for short, long in longer.items():
        state = {name.replace(short, long, 1): tensor for name, tensor in state.items()}
    save_file(state, alone)
    packaged.same_latents(Small(str(alone)), small, audio)
    assert get_mimi_state_dict(checkpoint).keys() == small.model.state_dict().keys()
    assert read.info.trained and read.info.weights_digest != small.info.weights_digest


def test_bad_weights_and_taps_are_one_line(
    small: Small, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    other = tmp_path / "other.safetensors"
    save_file({"encoder.weight": torch.zeros(3)}, other)
    packaged.refuses_damage(Small, checkpoint, other, "mimi_vae32")
    (tmp_path / "model.pt").write_bytes(b"")
    packaged.refuses(Small, tmp_path / "model.pt", "expected a .safetensors file, got model.pt")
    packaged.refuses_what_is_not_pinned(Small, checkpoint, monkeypatch)
    packaged.refuses(Small, "random", "codec mimi_vae32: no tap 'rvq1'; there are: continuous", tap="rvq1")


def test_random_weights_are_seeded() -> None:
    packaged.is_seeded(Small)


def test_moshi_gives_the_same(small: Small) -> None:
    """The encoder and its transformer are the other Mimi's; the last convolution is written out."""
    loaders: Any = pytest.importorskip("moshi.models.loaders", reason="moshi is in requirements-nodeps.txt")
    from moshi.modules import SEANetEncoder, transformer
    from moshi.utils.compile import no_compile

    encoder = SEANetEncoder(**{**loaders._seanet_kwargs, **SEANET}).eval()
    attention = transformer.ProjectedTransformer(**{**loaders._transformer_kwargs, **TRANSFORMER}).eval()
    for layer in attention.transformer.layers:
        layer.activation = partial(F.gelu, approximate="tanh")  # where this Mimi is not the other
    state = small.model.state_dict()
    encoder.load_state_dict(
        {k[8:].replace(".conv.", ".conv.conv."): v for k, v in state.items() if k.startswith("encoder.")}
    )
    attention.load_state_dict(
        {
            k[20:].replace("in_proj.", "in_projs.0.").replace("out_proj.", "out_projs.0."): v
            for k, v in state.items()
            if k.startswith("encoder_transformer.")
        }
    )
    audio = packaged.sound(small, 12, batch=2)
    with torch.no_grad(), no_compile():
        (hidden,) = attention(encoder(audio))
        latents = F.conv1d(F.pad(hidden, (16, 0), mode="replicate"), state["downsample.conv.conv.weight"], stride=16)
    assert float((latents.mT - small.encode(audio)).abs().max()) < 1e-5
