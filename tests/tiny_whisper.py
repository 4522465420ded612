"""A checkpoint of Whisper's own format, small enough for a test, with random weights."""

from __future__ import annotations

from pathlib import Path

import torch


def tiny_whisper(path: Path) -> Path:
    """Write it to `path`; needs openai-whisper."""
    from whisper.model import ModelDimensions
    from whisper.model import Whisper as Network

    dims = {
        "n_mels": 80,
        "n_audio_ctx": 1500,
        "n_audio_state": 16,
        "n_audio_head": 2,
        "n_audio_layer": 1,
        "n_vocab": 51865,
        "n_text_ctx": 32,
        "n_text_state": 16,
        "n_text_head": 2,
        "n_text_layer": 1,
    }
    network = Network(ModelDimensions(**dims))
    generator = torch.Generator().manual_seed(0)
    state = {name: 0.3 * torch.randn(value.shape, generator=generator) for name, value in network.state_dict().items()}
    torch.save({"dims": dims, "model_state_dict": state}, path)
    return path
