"""Measure what a family that speaks says: word error rates of the shipped corpus's held-out sentences.

    python scripts/report_text_to_speech.py --weights FILE --split valid --temperatures 0.3 0.5 0.7 0.9
    python scripts/report_text_to_speech.py --weights FILE --temperatures 0.5 --open --recordings

A temperature is chosen on the validation split, and what it gives is said of the test split. No training sentence is
among either's. Each is spoken in the voice of another recording of its speaker, decoded and
heard by PocketSphinx, with the corpus's closed grammar and, with `--open`, with the general language model. Speakers
whose voice training has not heard are counted apart. `--recordings` measures the recordings, decoded from their own
latents, in the same way.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor

from baselines import packaged
from baselines.speaking import Speaking
from bench import registry
from bench.codecs.minicodec import MiniCodec
from bench.config import merged
from bench.contract import FitContext, Utterance
from bench.datasets.synthspeech import SynthSpeech
from bench.fitting import NoCheckpoint
from bench.latents import round_robin
from bench.metrics.intelligibility import recogniser, word_errors
from bench.seeding import generator

MOST_FRAMES = 110
"""The longest recording of the corpus has about 70."""


def spoken(weights: Path, plugin: str, temperature: float, codec: MiniCodec) -> Speaking:
    """The plug-in with those weights, under the parameters that they were made with."""
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    over = {"weights": str(weights), "sha256": sha256, "speech_temperature": temperature}
    model: Speaking = registry.load("submissions", plugin)(**merged(packaged.parameters(weights), over))
    context = FitContext(codec.info, torch.device("cpu"), 0, NoCheckpoint(), lambda *_: None)
    model.fit([], [], context)
    return model


def references(utterances: Sequence[Utterance]) -> list[Utterance]:
    """For each utterance the next of its speaker."""
    out = []
    for utterance in utterances:
        own = [u for u in utterances if u.speaker == utterance.speaker]
        out.append(own[(own.index(utterance) + 1) % len(own)])
    return out


def rates(name: str, said: Sequence[Tensor], asked: Sequence[Utterance], data: SynthSpeech, codec: MiniCodec,
          hear_open: bool) -> list[object]:  # fmt: skip
    """Word error rates of latents, over words: closed, closed of unheard voices, open; and frames a recording."""
    known = {u.speaker for u in data.utterances("train")}
    totals = {key: [0, 0] for key in ("closed", "unheard", "open")}
    for x, utterance in zip(said, asked, strict=True):
        audio = codec.decode(x[None])[0, 0].numpy()
        heard = [("closed", recogniser(data.grammar))]
        heard += [("open", recogniser(None))] if hear_open else []
        for which, ear in heard:
            found = word_errors(utterance.text or "", ear.transcribe(audio))
            for key in (which, "unheard") if which == "closed" and utterance.speaker not in known else (which,):
                totals[key][0] += found.errors
                totals[key][1] += found.words
    frames = sum(len(x) for x in said) / len(said)
    return [name, len(said), frames, *(100 * errors / words if words else None for errors, words in totals.values())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--plugin", default="raw_ar_text")
    parser.add_argument("--temperatures", type=float, nargs="*", default=[0.7])
    parser.add_argument("--split", choices=("valid", "test"), default="test")
    parser.add_argument("--most", type=int, default=10**9, help="sentences, as many of each voice")
    parser.add_argument("--open", action="store_true", help="hear with the general language model beside")
    parser.add_argument("--recordings", action="store_true")
    args = parser.parse_args()
    data, codec = SynthSpeech(), MiniCodec()
    asked = round_robin(data.utterances(args.split))[: args.most]
    rate = codec.info.sample_rate
    latents = {u.id: codec.encode(torch.from_numpy(data.audio(u, rate)).reshape(1, 1, -1))[0] for u in asked}
    table = []
    if args.recordings:
        table.append(rates("recordings", [latents[u.id] for u in asked], asked, data, codec, args.open))
    voices = [latents[u.id] for u in references(asked)]
    for temperature in args.temperatures if args.weights else []:
        model = spoken(args.weights, args.plugin, temperature, codec)
        said = model.speak([u.text or "" for u in asked], voices, MOST_FRAMES, generator(0, "report"))
        table.append(rates(f"temperature {temperature:g}", said, asked, data, codec, args.open))
    headers = ["", "sentences", "frames", "WER % closed", "of unheard voices", "WER % open"]
    print(tabulate(table, headers, floatfmt=".1f", missingval="–"))


if __name__ == "__main__":
    main()
