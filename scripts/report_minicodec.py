"""Measure `minicodec` on held-out speech and write its card, `bench/codecs/weights/minicodec.md`.

    python scripts/report_minicodec.py --work DIR --librispeech-dev DIR

`--work` is the folder that `train_minicodec.py` filled; `--librispeech-dev` a folder of LibriSpeech dev-clean
utterances with `transcripts.tsv`, which no training has seen. Every number of the card is measured here, but
for the published ones of another codec, which are named as such.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from tabulate import tabulate

from bench.codecs.minicodec import WEIGHTS, MiniCodec
from bench.datasets.synthspeech import SynthSpeech
from bench.metrics.fidelity import Fidelity, Pair, measure
from bench.workers import ordered, pool

RATE = 16_000
OPEN_EVERY = 6
"""The open recogniser hears every sixth synthspeech utterance, and all of the real ones."""

HEAD = """# minicodec

Weights of the embedded codec: 16 kHz, 12.5 Hz, 32 continuous dimensions, 8 × 1024 residual codes
(1000 bit/s), {parameters} parameters with the codebooks, fp16.

Made by `scripts/train_minicodec.py` (its constants are the recipe) on the training split of `synthspeech` and
on LibriSpeech train-clean-100 utterances (Panayotov et al. 2015, CC BY 4.0) of the training speakers; every
file and its sha256 is in `minicodec-data.tsv`, the loss curve in `minicodec-curve.tsv` (phase, step, loss,
summed KL in nats per frame with the free nats counted, learning rate, steps per second).

Licence: Apache-2.0; trained on audio under the licences named above.

## Held-out speech

Written by `scripts/report_minicodec.py`. PESQ is wide-band; log-mel is `bench.metrics.distortion.log_mel_l1`;
WER is by PocketSphinx with its general language model, and with the closed grammar of `synthspeech`; its rate
on the untouched recording is in the rows "recording". Intervals are in the leaderboard.

"""
TAIL = """
For comparison, published with the Lyra v2 test data, on 100 LibriSpeech test-other utterances and with another
mel definition: log10-mel L1 .164 unquantised, .171 at 9.2 kbit/s, .178 at 6.0 and .198 at 3.2.
"""


def synthspeech() -> Iterator[tuple[np.ndarray, str | None, Path | None, bool]]:
    data = SynthSpeech("")
    for i, utterance in enumerate(data.utterances("test")):
        yield data.audio(utterance, RATE), utterance.text, data.grammar, i % OPEN_EVERY == 0


def librispeech(folder: Path) -> Iterator[tuple[np.ndarray, str | None, Path | None, bool]]:
    for line in (folder / "transcripts.tsv").read_text(encoding="utf-8").splitlines():
        _, path, text = line.split("\t")
        audio, rate = sf.read(folder / path, dtype="float32")
        assert rate == RATE, path
        yield audio, text, None, True


def row(name: str, how: str, found: list[Fidelity]) -> list[object]:
    """Means over utterances; word error rates over words."""
    mean = lambda metric: np.mean([f["values"][metric] for f in found if metric in f["values"]])  # noqa: E731

    def rate(metric: str) -> float:
        pairs = [(f["values"][metric], f["words"][metric]) for f in found if metric in f["values"]]
        return 100 * sum(v * w for v, w in pairs) / sum(w for _, w in pairs) if pairs else float("nan")

    return [name, how, len(found), mean("pesq"), mean("stoi"), mean("mel"), rate("wer_open"), rate("wer_closed")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--librispeech-dev", type=Path, required=True)
    args = parser.parse_args()
    codec = MiniCodec()
    sets = {"synthspeech test": list(synthspeech()), "LibriSpeech dev-clean": list(librispeech(args.librispeech_dev))}
    rows = []
    with pool() as workers:
        for name, items in sets.items():
            for how, stages in (("recording", None), ("continuous", 0), ("8 codebooks", 8), ("4 codebooks", 4)):
                pairs = []
                for audio, text, grammar, heard in items:
                    x = codec.encode(torch.from_numpy(audio)[None, None])
                    if stages:
                        x = codec.from_codes(codec.codes(x)[..., :stages])
                    made = audio if stages is None else codec.decode(x)[0, 0, : len(audio)].numpy()
                    pairs.append(Pair(audio, made, RATE, text, grammar, heard))
                rows.append(row(name, how, list(ordered(workers, measure, pairs))))
    headers = ["set", "decoded from", "utterances", "PESQ", "STOI", "log-mel", "WER % open", "WER % closed"]
    formats = ("", "", "", ".2f", ".3f", ".3f", ".1f", ".1f")
    table = tabulate(rows, headers, tablefmt="github", floatfmt=formats).replace("nan", "–")
    count = sum(p.numel() for p in codec.model.parameters()) + codec.model.codebooks.numel()
    card = HEAD.format(parameters=f"{count:,}") + table + "\n" + TAIL
    WEIGHTS.with_suffix(".md").write_text(card, encoding="utf-8")
    for name in ("curve", "data"):
        text = (args.work / f"{name}.tsv").read_text(encoding="utf-8")
        WEIGHTS.with_name(f"minicodec-{name}.tsv").write_text(text, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    main()
