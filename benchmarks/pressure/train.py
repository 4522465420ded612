"""Train one variant: the codec of `minicodec`'s architecture, smaller, around one bottleneck.

Everything but the bottleneck is the same for all variants of a seed: initial weights, crops and their order, loss,
steps, schedule, and the draws that a noisy bottleneck scales.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from bench.cache import Cache
from bench.codecs.minicodec_model import HOP, Config, Minicodec
from bench.fingerprint import code_key, source_digest
from bench.fitting import FitConfig, fit, initialised
from bench.runner import FileCheckpoint
from benchmarks.pressure.bottlenecks import FSQ, KL, Bottleneck, Noise, Plain, rounding_sigma
from scripts.train_minicodec import SpectralLoss, batch

VARIANTS: Mapping[str, Bottleneck] = {
    "ae": Plain(),
    "kl_low": KL(5e-4),
    "kl_mid": KL(2e-3),
    "kl_high": KL(8e-3),
    "fsq9": FSQ(9),
    "fsq5": FSQ(5),
    "fsq3": FSQ(3),
    "noise9": Noise(rounding_sigma(9)),
    "noise5": Noise(rounding_sigma(5)),
    "noise3": Noise(rounding_sigma(3)),
}
SMALL = Config(
    latent_dim=16,
    encoder_widths=(48, 64, 96, 128),
    encoder_depths=(1, 1, 1, 2),
    decoder_widths=(128, 96, 96, 96),
    decoder_depths=(1, 1, 1, 2),
    expansion=2,
    # the shipped codec's own quantiser is not used
    codebooks=1,
    codebook_size=1,
)
RESOLUTIONS = ((512, 64), (2048, 128))
"""Two of the shipped codec's four: half the cost of its loss."""
VALID_BATCHES = 4


@dataclass(frozen=True)
class Budget:
    """What a variant is trained with; the same for all that are compared."""

    config: Config = SMALL
    fit: FitConfig = field(
        default_factory=lambda: FitConfig(
            steps=1000, batch=6, lr=2e-3, weight_decay=0.01, warmup=50, clip=2.0, evaluate_every=200, patience=0
        )
    )


def train(
    bottleneck: Bottleneck,
    seed: int,
    data: Mapping[str, dict[str, list[Tensor]]],
    budget: Budget,
    checkpoint: FileCheckpoint,
    progress: Callable[[str, int, int], None],
) -> dict[str, Tensor]:
    """Encoder and decoder, at the weights with the least validation loss.

    Args:
        data: "train" and "valid" → source → recordings, as `scripts/train_minicodec.load` gives them.

    Returns:
        Weights by name, and `curve` (n, 3): step, training loss, validation loss, penalties included.
    """
    model = cast(Minicodec, initialised(lambda: Minicodec(budget.config), seed))
    spectral = SpectralLoss(RESOLUTIONS)
    draw = np.random.default_rng((seed, 1))
    held_out = [batch(data["valid"], draw, budget.fit.batch) for _ in range(VALID_BATCHES)]

    def loss(audio: Tensor, generator: torch.Generator) -> Tensor:
        received, penalty = bottleneck.channel(*model.encoder(audio), generator)
        # the first frame has no past, so that its left edge is not worth the capacity
        return spectral(model.decoder(received)[:, HOP:], audio[:, HOP:]) + penalty

    def step_loss(step: int, generator: torch.Generator) -> Tensor:
        return loss(batch(data["train"], np.random.default_rng((seed, 0, step)), budget.fit.batch), generator)

    def validate() -> float:
        generator = torch.Generator().manual_seed(seed)
        return float(torch.stack([loss(audio, generator) for audio in held_out]).mean())

    parts = nn.ModuleList([model.encoder, model.decoder])
    # one name for all variants, since the draws of a step derive from it
    report = fit(parts, step_loss, validate, budget.fit, seed, checkpoint, progress, "train")
    return {**model.state_dict(), "curve": torch.tensor(report.curve, dtype=torch.float64)}


def trained(
    name: str,
    seed: int,
    data: Callable[[], Mapping[str, dict[str, list[Tensor]]]],
    data_digest: str,
    budget: Budget,
    cache: Cache,
    progress: Callable[[str, int, int], None],
) -> tuple[Path, dict[str, Tensor]]:
    """The file of a variant's weights in `cache` and what it holds; trained where it is not there.

    Args:
        data: gives the recordings, `data_digest` what decides them; called only where something is to be trained.
    """
    key = {
        "data": data_digest,
        "code": [code_key(__name__), source_digest("scripts.train_minicodec")],
        "bottleneck": repr(VARIANTS[name]),
        "seed": seed,
        "budget": repr(budget),
    }
    path = cache.path("pressure", key, ".safetensors")
    checkpoint = FileCheckpoint(path.with_suffix(".checkpoint"))
    named = lambda what, done, total: progress(f"{what} {name}, seed {seed}", done, total)  # noqa: E731
    weights = cache.tensors("pressure", key, lambda: train(VARIANTS[name], seed, data(), budget, checkpoint, named))
    checkpoint.path.unlink(missing_ok=True)
    return path, weights
