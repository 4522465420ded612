"""Train a family that speaks on a corpus of `make_synthspeech.py`, and write the weights that ship.

    python scripts/make_synthspeech.py --out /tmp/ten_hours --minutes 600 --seed 7 \\
        --exclude bench/datasets/data/synthspeech/manifest.tsv
    python scripts/train_text_to_speech.py --corpus /tmp/ten_hours --work /tmp/speech --set fit.steps=12000

`--set` lays values over the card's parameters. Latents of `minicodec` are kept in `--work`, one folder a corpus, and
so is the fit, which a second call takes up where it stood; `--export` writes the best weights of a fit that is still
going on, and trains nothing. `scripts/report_text_to_speech.py` measures what they say.

The training split's sentences are in no other split, here and in the shipped corpus, and its voices are the ten that
are heard in the shipped training split.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from baselines import packaged
from baselines.family import HISTORY
from baselines.speaking import Speaking
from bench import registry
from bench.codecs.minicodec import MiniCodec
from bench.config import merged
from bench.contract import FitContext, LatentUtterance, Split
from bench.datasets.synthspeech import SynthSpeech
from bench.latents import round_robin
from bench.runner import FileCheckpoint

SAID_EVERY = 20
"""Steps between lines of progress."""
KEPT_EVERY = 500
"""Utterances between two writes of latents."""


def encoded(corpus: SynthSpeech, codec: MiniCodec, split: Split, most: int, work: Path) -> list[LatentUtterance]:
    """The latents of at most `most` utterances of a split, as many of each voice; kept in `work`, and only added to."""
    utterances = round_robin(corpus.utterances(split))[:most]
    path = work / f"latents-{split}-{codec.info.weights_digest[:12]}.pt"
    found: dict[str, Tensor] = torch.load(path, weights_only=True) if path.is_file() else {}
    missing = [u for u in utterances if u.id not in found]
    for done, utterance in enumerate(missing, start=1):
        audio = torch.from_numpy(corpus.audio(utterance, codec.info.sample_rate))
        found[utterance.id] = codec.encode(audio.reshape(1, 1, -1))[0].clone()
        if done % KEPT_EVERY == 0 or done == len(missing):
            torch.save(found, path.with_suffix(".tmp"))
            path.with_suffix(".tmp").replace(path)
            print(f"encode {split}: {done} of {len(missing)}", flush=True)
    return [LatentUtterance(u.id, u.speaker, found[u.id]) for u in utterances]


def laid(settings: Sequence[str]) -> dict[str, Any]:
    """`a.b=1` as nested tables.

    >>> laid(["fit.steps=3", "noise=0.1"])
    {'fit': {'steps': 3}, 'noise': 0.1}
    """
    out: dict[str, Any] = {}
    for setting in settings:
        name, _, value = setting.partition("=")
        try:
            one: Any = json.loads(value)
        except json.JSONDecodeError:
            one = value
        for part in reversed(name.split(".")):
            one = {part: one}
        out = merged(out, one)
    return out


class Lines:
    """Progress as lines, and the curve as a table."""

    def __init__(self, work: Path, dim: int) -> None:
        self.curve, self.dim, self.start, self.first = work / "curve.tsv", dim, time.monotonic(), -1

    def progress(self, what: str, done: int, total: int) -> None:
        if self.first < 0:
            self.first, self.start = done, time.monotonic()
        if done % SAID_EVERY == 0 and done > self.first:
            each = (time.monotonic() - self.start) / (done - self.first)
            print(f"{what}: step {done} of {total}, {each:.2f} s a step", flush=True)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        if step % SAID_EVERY == 0 or "validation loss" in values:
            row = "\t".join(f"{name}={value:.4f}" for name, value in values.items())
            with self.curve.open("a") as file:
                file.write(f"{step}\t{row}\n")
        if "validation loss" in values:
            print(f"step {step}: held out {values['validation loss'] / self.dim:.4f} a dimension", flush=True)


def exported(model: Speaking, codec: MiniCodec, checkpoint: FileCheckpoint, out: Path) -> None:
    """Write the best weights of a fit that is going on."""
    saved = checkpoint.load()
    if saved is None:
        raise SystemExit(f"no checkpoint {checkpoint.path}")
    history = {HISTORY + name: tensor for name, tensor in saved["history"].items()}
    model.load_state({**saved["best_state"], **history}, codec.info, torch.device("cpu"))
    packaged.save(out, model.plugin, codec.info, model.network, model.state(), model.config)
    print(f"{out}: step {saved['best_step']} of {saved['step']}, held out {saved['best'] / codec.info.dim:.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--card", default="raw_ar_text_v1")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE")
    parser.add_argument("--valid", type=int, default=200, help="utterances of the validation split")
    parser.add_argument("--most", type=int, default=10**9, help="utterances of the training split")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--export", type=Path, help="write the best weights so far to this file, and train nothing")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    card, codec = registry.submission_card(args.card), MiniCodec()
    values = merged(merged(card.parameters, {"weights": "", "sha256": ""}), laid(args.set))
    model: Speaking = registry.load("submissions", card.plugin)(**values)
    checkpoint = FileCheckpoint(args.work / "fit.checkpoint")
    if args.export:
        exported(model, codec, checkpoint, args.export)
        return
    corpus = SynthSpeech(root=args.corpus)
    train = encoded(corpus, codec, "train", args.most, args.work)
    valid = encoded(corpus, codec, "valid", args.valid, args.work)
    texts = {u.id: u.text or "" for split in ("train", "valid") for u in corpus.utterances(split)}
    lines = Lines(args.work, codec.info.dim)
    device = torch.device(args.device)
    context = FitContext(
        codec.info, device, args.seed, checkpoint, lines.progress, lines.scalars, decoder=codec, texts=texts
    )
    print(f"{len(train)} utterances, {sum(len(u.x) for u in train)} frames; {json.dumps(values)}", flush=True)
    model.fit(train, valid, context)
    out = args.work / f"{args.card}.safetensors"
    packaged.save(out, model.plugin, codec.info, model.network, model.state(), model.config)
    print(f"{out}: {sum(p.numel() for p in model.network.parameters())} parameters", flush=True)


if __name__ == "__main__":
    main()
