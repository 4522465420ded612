"""DNSMOS: the mean opinion of speech that a network predicts without a reference, P.835 and P.808.

Conventions: audio is (N,) at 16 kHz; what is beyond [-1, 1] is clipped, as 16-bit samples must be. Four values in about
[1, 5], higher is better: `sig`, the speech; `bak`, how little the background disturbs; `ovrl`, both; `p808`, overall by
another network and another listening test. The models are those of the package speechmos, pinned by sha256, and the
analysis is its own: windows of 9.01 s every second, whose values are averaged; what is shorter is repeated until it is
long enough. So a value depends on the length: compare clips of the same lengths.

They were trained on noisy and denoised speech, and say how clean a recording sounds, not whether it is the recording
that it should be. On 9 s of ten speakers of LibriSpeech (standard errors below .1, of bak when clipped .2):

| | clean | white noise at 30, 20, 10, 0 dB | low-pass at 4, 2, 1 kHz | clipped at .5, .2, .1 of the peak |
|---|---|---|---|---|
| bak | 4.10 | 3.72, 3.08, 2.18, 1.47 | 4.11, 4.09, 4.04 | 4.02, 3.53, 3.00 |
| ovrl | 3.38 | 3.18, 2.82, 2.17, 1.53 | 3.39, 3.33, 3.18 | 3.34, 3.06, 2.71 |
| p808 | 3.99 | 3.52, 3.07, 2.65, 2.31 | 3.45, 3.18, 2.82 | 3.92, 3.51, 3.09 |

Lyra v2 at 9.2, 6.0 and 3.2 kbit/s: ovrl 3.30, 3.31, 3.12, sig 3.58, 3.60, 3.46, bak 4.07, 4.06, 3.92, p808 3.83, 3.79,
3.64. The lowest rate is the worst in ten of ten by each; none tells the other two apart (p808 in four of ten), where
PESQ (3.07, 2.83, 2.23), STOI and log-mel L1 do in ten of ten. P.835 is all but blind to a missing upper band.

References:
    Reddy, Gopal and Cutler 2021, "DNSMOS" (P.808, arXiv 2010.15258), and 2022, "DNSMOS P.835" (arXiv 2110.01763).
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import version
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from bench.metrics.distortion import RATE, Array
from bench.metrics.mel_power import mel_power
from bench.metrics.needed import checked, imported, model_file

SHA256 = {
    "sig_bak_ovr.onnx": "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
    "model_v8.onnx": "9246480c58567bc6affd4200938e77eef49468c8bc7ed3776d109c07456f6e91",
}
P835, P808 = SHA256
MIN_S = 1.0
"""Shorter clips would be repeated ten times and more."""
WINDOW_S = 9.01
WINDOW = int(WINDOW_S * RATE)
MEL_WINDOW, MEL_HOP, MELS = 321, 160, 120
POLYNOMIALS = {
    "sig": (-0.08397278, 1.22083953, 0.0052439),
    "bak": (-0.13166888, 1.60915514, -0.39604546),
    "ovrl": (-0.06766283, 1.11546468, 0.04602535),
}
"""From what the P.835 network gives, in its order, to opinions; those of the authors for speech of any speaker."""


class Opinion(TypedDict):
    """Mean opinion scores, in about [1, 5]."""

    sig: float
    bak: float
    ovrl: float
    p808: float


def dnsmos(audio: npt.ArrayLike) -> Opinion:
    """The four opinions of a clip.

    Args:
        audio: (N,), 16 kHz.

    Raises:
        Unscorable: shorter than 1 s, silent, or not finite.
        BenchError: onnxruntime or speechmos is not installed.
    """
    x = checked("DNSMOS", audio, MIN_S).clip(-1.0, 1.0)
    while len(x) < WINDOW:
        x = np.append(x, x)
    # of the whole seconds alone, as speechmos counts them: the last window may be left out
    windows = int(len(x) // RATE - WINDOW_S) + 1
    found = np.array([_window(x[second * RATE : second * RATE + WINDOW]) for second in range(windows)]).mean(0)
    sig, bak, ovrl, p808 = found.tolist()
    return Opinion(sig=sig, bak=bak, ovrl=ovrl, p808=p808)


def fingerprint() -> dict[str, str]:
    """What decides the opinions beside the audio."""
    with imported("DNSMOS", "onnxruntime and speechmos"):
        packages = {name: version(name) for name in ("onnxruntime", "speechmos")}
    return {
        **packages,
        **{f"dnsmos_{name}": sha for name, sha in SHA256.items()},
        "dnsmos": "1: windows of 9.01 s every 1 s, repeated to that length, clipped to ±1, one thread",
    }


def log_mels(x: Array) -> Array:
    """A window (N,) → (T, 120), (dB below the loudest + 40) / 40, at least −1."""
    mels = 10.0 * np.log10(np.maximum(mel_power(x, MEL_WINDOW, MEL_HOP, MELS), 1e-10))
    return (np.maximum(mels - mels.max(), -80.0) + 40.0) / 40.0


def _window(x: Array) -> list[float]:
    raw = _session(P835).run(None, {"input_1": x[None].astype(np.float32)})[0][0]
    # the last hop is left out, as the P.808 network's frames are counted
    mels = log_mels(x[:-MEL_HOP])[None].astype(np.float32)
    p808 = _session(P808).run(None, {"input_1": mels})[0][0, 0]
    opinions = [np.polyval(POLYNOMIALS[name], float(value)) for name, value in zip(POLYNOMIALS, raw, strict=True)]
    return [float(value) for value in (*opinions, p808)]


@cache
def _session(name: str) -> Any:
    with imported("DNSMOS", "onnxruntime"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    path = model_file("DNSMOS", "speechmos", f"dnsmos_models/{name}", SHA256[name])
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
