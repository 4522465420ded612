"""How alike two voices are: the cosine of speaker embeddings.

Conventions: audio is (N,) at 16 kHz. An embedding is (256,), of unit length and not negative, so that a cosine is in
[0, 1]; 1 for the same clip, higher is better. Cosines of other embeddings are on other scales.

The network is that of Resemblyzer 0.1.4, `pretrained.pt`, pinned by sha256: a three-layer LSTM over windows of 1.6 s
of 40 mels, whose embeddings are averaged. Its package is not imported. The analysis is its own, but for one step:
long silences are not cut out first (that needs webrtcvad), so that a clip of pauses is blurred by them.

Equal error rates: 3.2 % between the halves of one recording of 63 speakers of LibriSpeech (mean cosine .90, .56 of two
speakers), and 6.4 % between the 29 recordings of speaker 84 against those 63.

References:
    Wan, Wang, Papir and Moreno 2018, "Generalized end-to-end loss for speaker verification" (arXiv 1710.10467).
"""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from bench.errors import DataError
from bench.metrics.distortion import Array
from bench.metrics.mel_power import mel_power
from bench.metrics.needed import checked, imported, model_file

PACKAGE = "resemblyzer==0.1.4"
WEIGHTS = "pretrained.pt"
SHA256 = "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e"
MIN_S = 0.8
"""Half of a window; the rest of it is silence."""
WINDOW, HOP, MELS, DIM = 400, 160, 40, 256
FRAMES, STEP = 160, 77
"""Of a window of 1.6 s, and from one to the next: 1.3 a second."""
COVERED = 0.75
"""Of the last window, or it is left out."""
LOUDNESS_DB = -30.0
"""Root mean square re full scale that quieter clips are raised to."""
SPECIFICATION = "1: raised to −30 dB, windows of 1.6 s, 1.3 a second, silences kept"


class Network(nn.Module):
    """Mels (B, T, 40) → embeddings (B, 256)."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(MELS, DIM, 3, batch_first=True)
        self.linear = nn.Linear(DIM, DIM)

    def forward(self, mels: Tensor) -> Tensor:
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(self.linear(hidden[-1]).relu(), dim=1)


def similarity(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Cosine of the embeddings of two clips (N,), in [0, 1].

    Raises:
        Unscorable: a clip shorter than 0.8 s, silent, or not finite.
        BenchError: resemblyzer is not installed.
    """
    return min(float(embed(one) @ embed(other)), 1.0)


def embed(audio: npt.ArrayLike) -> Array:
    """A clip (N,) → (256,), of unit length."""
    x = checked("speaker similarity", audio, MIN_S)
    level = 10.0 * np.log10(np.square(x).mean())
    x = x * 10.0 ** (max(LOUDNESS_DB - level, 0.0) / 20.0)
    starts = _starts(len(x))
    padded = np.pad(x, (0, max((starts[-1] + FRAMES) * HOP - len(x), 0)))
    mels = mel_power(padded, WINDOW, HOP, MELS).astype(np.float32)
    with torch.inference_mode():
        windows = network()(torch.from_numpy(np.stack([mels[start : start + FRAMES] for start in starts])))
    found: Array = windows.double().mean(0).numpy()
    return found / np.linalg.norm(found)


def equal_error_rate(same: Sequence[float] | Array, different: Sequence[float] | Array) -> float:
    """The error rate of the threshold at which as many pairs of one speaker are refused as pairs of two are accepted.

    0 where the scores are apart, .5 where they say nothing. Between two thresholds, the mean of both rates where they
    are nearest.
    """
    one, two = np.sort(np.asarray(same, float)), np.sort(np.asarray(different, float))
    if not (len(one) and len(two)):
        raise ValueError("equal error rate: expected scores of both kinds")
    thresholds = np.concatenate([one, two, [np.inf]])
    refused = np.searchsorted(one, thresholds, side="left") / len(one)
    accepted = 1.0 - np.searchsorted(two, thresholds, side="left") / len(two)
    nearest = np.abs(refused - accepted).argmin()
    return float((refused[nearest] + accepted[nearest]) / 2)


def fingerprint() -> dict[str, str]:
    """What decides the similarity beside the audio."""
    with imported("speaker similarity", "resemblyzer", PACKAGE):
        return {"resemblyzer": version("resemblyzer"), "resemblyzer_weights": SHA256, "speaker256": SPECIFICATION}


@cache
def network() -> Network:
    """The process's network, on the CPU, in float32."""
    path = model_file("speaker similarity", "resemblyzer", WEIGHTS, SHA256, PACKAGE)
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    except (KeyError, pickle.UnpicklingError) as error:
        raise DataError(f"speaker similarity: {path} is no checkpoint of resemblyzer") from error
    with torch.device("meta"):
        # random weights would move the global generator
        made = Network()
    # beside the network it holds the scale of its training loss
    made.load_state_dict({name: tensor for name, tensor in held.items() if name in made.state_dict()}, assign=True)
    return made.eval().requires_grad_(False)


def _starts(samples: int) -> list[int]:
    """First frame of each window."""
    frames = -(-(samples + 1) // HOP)
    starts = list(range(0, max(1, frames - FRAMES + STEP + 1), STEP))
    covered = (samples - starts[-1] * HOP) / (FRAMES * HOP)
    return starts[:-1] if covered < COVERED and len(starts) > 1 else starts
