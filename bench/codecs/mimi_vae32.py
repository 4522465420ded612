"""`mimi_vae32`: the continuous Mimi of Pocket TTS, 24 kHz, 12.5 Hz, 32 dimensions without a quantiser.

A Mimi whose quantiser gave way to the mean of a KL-regularised posterior, the latents that continuous audio
language models (CALM) are trained on. One tap, `continuous`: what the encoder gives, before the language model's
own normalisation. It has no codes. Causal: no latent looks ahead.

The published weights are those of the English model, language model included; their repository is gated, so that
the hub asks to accept its terms first.

References:
    Rouard et al. (2025), Continuous audio language models, arXiv:2509.06926.
    Défossez et al. (2024), Moshi: a speech-text foundation model for real-time dialogue, arXiv:2410.00037.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from bench.codecs.packaged import PackagedCodec
from bench.codecs.weights_of import Source, imported, reading
from bench.errors import DataError

REQUIREMENT = "pocket-tts==4.0.1"
PUBLISHED = "english.yaml"
"""The package's own configuration whose `mimi` the weights belong to."""


class MimiVAE32(PackagedCodec):
    """Codec plug-in `mimi_vae32`.

    Attributes:
        CONFIG: the package's configuration of its Mimi, or None for the published one.
    """

    NAME = "mimi_vae32"
    SOURCE = Source(
        file="languages/english/model.safetensors",
        sha256="473f47d99560bd50eb8b4509d3cacfe7f316ab20bdca86505403a2e6a936a6e9",
        repository="kyutai/pocket-tts",
        revision="39592ff23c9ef80098bb74895d104c26275fe2c9",
    )
    DIMS: ClassVar[Mapping[str, int]] = {"continuous": 32}
    CONFIG: ClassVar[Mapping[str, Any] | None] = None

    def _package(self) -> Any:
        with imported(self.NAME, "pocket-tts", REQUIREMENT):
            from pocket_tts.models import mimi
        return mimi

    def _built(self) -> Any:
        build = self._package().build_mimi
        from pocket_tts.modules.stateful_module import StatefulModule
        from pocket_tts.utils.config import CONFIGS_DIR, MimiConfig, load_config

        config = load_config(CONFIGS_DIR / PUBLISHED).mimi if self.CONFIG is None else MimiConfig(**self.CONFIG)
        model = build(config)
        for name, module in model.named_modules():
            if isinstance(module, StatefulModule):
                module._module_absolute_name = name  # under which a layer finds its state when it decodes
        return model

    def _loaded(self, path: Path) -> Any:
        if path.suffix != ".safetensors":
            raise DataError(f"codec {self.NAME}: expected a .safetensors file, got {path.name}")
        model = self._built()
        from pocket_tts.utils.weights_loading import get_mimi_state_dict

        with reading(self.NAME, path, "the weights of the continuous Mimi"):
            model.load_state_dict(get_mimi_state_dict(path))
        return model

    def _recipe(self) -> dict[str, Any]:
        config = None if self.CONFIG is None else dict(self.CONFIG)
        return {"package": "pocket-tts", "version": version("pocket-tts"), "config": config}

    def _rates(self) -> tuple[int, int]:
        return self.model.sample_rate, self.model.frame_size

    def _latents(self, audio: Tensor) -> Tensor:
        return self.model.encode_to_latent(audio).mT

    def _audio(self, latents: Tensor) -> Tensor:
        from pocket_tts.modules.stateful_module import init_states

        inner = latents.shape[-1] * round(self.model.encoder_frame_rate / self.model.frame_rate)
        return self.model.decode_from_latent(latents.mT, init_states(self.model, len(latents), inner))
