"""Embeddings of whole clips that need no download, for Fréchet and kernel distances.

Conventions: audio (N,) at 16 kHz → a vector (D,); sets are stacked to (n, D). By name:

* `mfcc41`: statistics of mel cepstra. With c_{t,d} the cepstra of `bench.metrics.cepstral` (64 ms every 16 ms): the
  mean over t of c_1 to c_13, the standard deviation of c_0 to c_13, and that of c_{t+1} − c_t, which says how fast
  the spectrum moves. The mean of c_0 is left out, so that a gain changes nothing where no band is at the floor.
  Colour, pace and dynamics; neither words nor grammar.
* `speaker256`: the speaker's (`bench.metrics.speaker`), of unit length. Needs the extra `quality`.

These are not the embeddings of published distances (VGGish, CLAP, PANNs): values compare only with each other. The
features inside DNSMOS are not among the outputs of its models, and so there is no embedding of them.

References:
    Davis and Mermelstein 1980, "Comparison of parametric representations", IEEE TASSP 28.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from bench.errors import UnknownName
from bench.metrics.cepstral import ORDER, cepstra
from bench.metrics.distortion import Array, log_mel
from bench.metrics.needed import checked

MIN_S = 0.5
"""About 28 frames for a standard deviation."""
VERSION = "1: mean c1–c13, deviation c0–c13, deviation of their steps"


def mfcc(audio: npt.ArrayLike) -> Array:
    """Audio (N,) → (41,).

    Raises:
        Unscorable: shorter than 0.5 s, silent, or not finite.
    """
    c = cepstra(log_mel(checked("mfcc41", audio, MIN_S)))[:, : ORDER + 1]
    return np.concatenate([c[:, 1:].mean(0), c.std(0), np.diff(c, axis=0).std(0)])


def _speaker(audio: npt.ArrayLike) -> Array:
    # torch stays out of the processes that need the cepstra alone
    from bench.metrics import speaker

    return speaker.embed(audio)


EMBEDDINGS: dict[str, Callable[[npt.ArrayLike], Array]] = {"mfcc41": mfcc, "speaker256": _speaker}


def embed(clips: Iterable[npt.ArrayLike], name: str = "mfcc41") -> Array:
    """Clips (N,) each → (n, D).

    Raises:
        UnknownName: no such embedding.
        Unscorable: a clip that has none.
    """
    if name not in EMBEDDINGS:
        raise UnknownName("embedding", name, list(EMBEDDINGS))
    return np.stack([EMBEDDINGS[name](clip) for clip in clips])


def fingerprint(name: str = "mfcc41") -> dict[str, str]:
    """What decides an embedding beside the audio."""
    if name not in EMBEDDINGS:
        raise UnknownName("embedding", name, list(EMBEDDINGS))
    if name == "mfcc41":
        return {"embedding": name, "mfcc41": VERSION}
    from bench.metrics import speaker

    return {"embedding": name, **speaker.fingerprint()}
