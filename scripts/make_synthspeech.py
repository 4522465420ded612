"""Make the embedded corpus `synthspeech`: sentences of a small grammar, spoken by flite, kept as Opus.

Needs Debian's `flite` (2.2) and `opus-tools` on the PATH, and nothing else that the package does not
install. The same versions give the same bytes: sentences come from a seeded generator, flite is
deterministic, and the Ogg serial number is derived from the utterance id.

    python scripts/make_synthspeech.py --out bench/datasets/data/synthspeech
    python scripts/make_synthspeech.py --out /tmp/ten_hours --minutes 600 --seed 7

The second form makes a larger corpus of the same grammar for training. Its sentences are drawn without
those of the shipped valid and test splits (`--exclude`), so that what was held out stays held out.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr

SAMPLE_RATE = 16_000
TARGET_RMS = 0.06
PEAK = 0.89
OPUS_KBPS = 32


@dataclass(frozen=True)
class Voice:
    """A flite voice, or a variant of one.

    `tract` resamples the waveform: pitch and formants scale by it, as with a shorter vocal tract.
    `stretch` is flite's duration factor; `f0` its target mean in Hz (None: the voice's own).
    """

    name: str
    flite: str
    tract: float = 1.0
    stretch: float = 1.0
    f0: int | None = None


VOICES = (
    Voice("awb", "awb"),
    Voice("awb-deep", "awb", tract=0.95, stretch=0.98),
    Voice("awb-bright", "awb", tract=1.07, stretch=1.10),
    Voice("kal", "kal16"),
    Voice("kal-deep", "kal16", tract=0.92, stretch=0.98, f0=110),
    Voice("kal-bright", "kal16", tract=1.14, stretch=1.22, f0=120),
    Voice("rms", "rms"),
    Voice("rms-deep", "rms", tract=0.93, stretch=0.86),
    Voice("rms-bright", "rms", tract=1.13, stretch=1.02),
    Voice("slt", "slt"),
    Voice("slt-deep", "slt", tract=0.88, stretch=0.92, f0=185),
    Voice("slt-bright", "slt", tract=1.04, stretch=1.12, f0=205),
)
UNSEEN = ("rms-bright", "slt-deep")
"""Voices that speak in the test split only."""

SLOTS: dict[str, tuple[str, ...]] = {
    "name": (
        "anna",
        "peter",
        "maria",
        "david",
        "susan",
        "robert",
        "helen",
        "martin",
        "alice",
        "george",
    ),
    "animal": (
        "horse",
        "rabbit",
        "spider",
        "monkey",
        "tiger",
        "chicken",
        "dolphin",
        "eagle",
        "turtle",
        "lion",
    ),
    "adjective": (
        "quiet",
        "yellow",
        "gentle",
        "broken",
        "enormous",
        "ancient",
        "frozen",
        "silver",
        "hungry",
        "curious",
    ),
    "thing": (
        "bottles",
        "candles",
        "letters",
        "pictures",
        "baskets",
        "hammers",
        "blankets",
        "mirrors",
        "ladders",
        "wagons",
    ),
    "place": (
        "kitchen",
        "garden",
        "station",
        "library",
        "mountain",
        "river",
        "market",
        "village",
        "bridge",
        "harbor",
    ),
    "moved": (
        "wandered",
        "jumped",
        "listened",
        "waited",
        "danced",
        "stumbled",
        "vanished",
        "whispered",
    ),
    "did": (
        "carried",
        "counted",
        "painted",
        "collected",
        "followed",
        "repaired",
        "borrowed",
        "described",
    ),
    "do": ("carry", "count", "paint", "collect", "move", "repair", "borrow", "describe"),
    "where": ("behind", "beside", "under", "across", "near", "inside", "above", "beyond"),
    "number": (
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "eleven",
        "twelve",
        "thirteen",
        "twenty",
    ),
    "when": (
        "this morning",
        "after breakfast",
        "on sunday",
        "last winter",
        "before midnight",
        "in april",
        "every evening",
        "at sunrise",
    ),
}
TEMPLATES = (
    "the <adjective> <animal> <moved> <where> the <adjective> <place>",
    "<name> <did> <number> <adjective> <thing> <when>",
    "please <do> the <adjective> <thing> <where> the <place>",
    "there are <number> <adjective> <thing> <where> the <place>",
    "<when> the <animal> and the <animal> <moved> <where> the <place>",
    "did <name> <do> the <number> <thing> <where> the <place>",
    "<name> and <name> <did> the <adjective> <thing> <when>",
    "why should <name> <do> <number> <thing> <where> the <adjective> <place>",
)


def jsgf() -> str:
    """The grammar in Java Speech Grammar Format, for a closed-vocabulary recogniser."""
    lines = ["#JSGF V1.0;", "grammar synthspeech;", ""]
    lines += ["public <sentence> = " + "\n    | ".join(TEMPLATES) + ";", ""]
    lines += [f"<{slot}> = " + " | ".join(words) + ";" for slot, words in SLOTS.items()]
    return "\n".join(lines) + "\n"


def sentence(rng: random.Random) -> str:
    """One sentence of the grammar; a slot named twice never repeats its word."""
    used: set[str] = set()
    words = []
    for part in rng.choice(TEMPLATES).split():
        if part.startswith("<"):
            part = rng.choice([w for w in SLOTS[part[1:-1]] if w not in used])
            used.add(part)
        words.append(part)
    return " ".join(words)


def unique_sentences(n: int, rng: random.Random, taken: set[str]) -> list[str]:
    """`n` sentences, none of `taken` and no two alike."""
    out: list[str] = []
    while len(out) < n:
        text = sentence(rng)
        if text not in taken:
            taken.add(text)
            out.append(text)
    return out


def speak(text: str, voice: Voice, wav: Path) -> np.ndarray:
    """`text` in `voice` as float32 mono at 16 kHz, scaled to a common level."""
    command = ["flite", "-voice", voice.flite, "--setf", f"duration_stretch={voice.stretch}"]
    if voice.f0 is not None:
        command += ["--setf", f"int_f0_target_mean={voice.f0}"]
    subprocess.run([*command, "-t", text, "-o", str(wav)], check=True)
    audio, rate = sf.read(wav, dtype="float32")
    if rate != SAMPLE_RATE:
        raise RuntimeError(f"flite voice {voice.flite}: expected {SAMPLE_RATE} Hz, got {rate}")
    if voice.tract != 1.0:
        audio = soxr.resample(audio, rate * voice.tract, rate, quality="VHQ")
    audio *= TARGET_RMS / np.sqrt(np.mean(audio**2))
    return audio * min(1.0, PEAK / float(np.abs(audio).max()))


def encode(audio: np.ndarray, utterance: str, out: Path) -> None:
    """Write `audio` as Ogg Opus; same samples and id, same bytes."""
    serial = int(hashlib.sha256(utterance.encode()).hexdigest()[:7], 16)
    with tempfile.NamedTemporaryFile(suffix=".wav") as wav:
        sf.write(wav.name, audio, SAMPLE_RATE, subtype="PCM_16")
        # opusenc writes its options into the file, so that their order decides its bytes
        flags = ["--quiet", "--bitrate", str(OPUS_KBPS), "--vbr", "--comp", "10", "--serial", str(serial)]
        subprocess.run(["opusenc", *flags, "--discard-comments", wav.name, str(out)], check=True)


def plan(minutes: float, rng: random.Random, taken: set[str]) -> list[tuple[str, str, Voice, str]]:
    """(id, split, voice, text) of every utterance; about 3.26 s each."""
    seconds = 3.26
    seen = [v for v in VOICES if v.name not in UNSEEN]
    unseen = [v for v in VOICES if v.name in UNSEEN]
    shares = (("train", 0.68, seen), ("valid", 0.10, seen), ("test", 0.165, seen), ("test", 0.055, unseen))
    rows = []
    for split, share, voices in shares:
        per_voice = max(1, round(minutes * 60 * share / seconds / len(voices)))
        for voice in voices:
            for i, text in enumerate(unique_sentences(per_voice, rng, taken)):
                rows.append((f"{split}-{voice.name}-{i:04d}", split, voice, text))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=47.0)
    parser.add_argument("--seed", type=int, default=20261124)
    parser.add_argument("--exclude", type=Path, help="manifest.tsv whose valid and test sentences are not used")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    taken: set[str] = set()
    if args.exclude:
        rows = [line.split("\t") for line in args.exclude.read_text().splitlines()[1:]]
        taken = {row[3] for row in rows if row[1] != "train"}
    audio_dir = args.out / "audio"
    audio_dir.mkdir(parents=True, exist_ok=True)
    (args.out / "grammar.jsgf").write_text(jsgf())

    def make(row: tuple[str, str, Voice, str]) -> str:
        utterance, split, voice, text = row
        out = audio_dir / f"{utterance}.ogg"
        with tempfile.TemporaryDirectory() as tmp:
            encode(speak(text, voice, Path(tmp) / "speech.wav"), utterance, out)
        samples = len(sf.read(out)[0])
        digest = hashlib.sha256(out.read_bytes()).hexdigest()
        return "\t".join((utterance, split, voice.name, text, str(samples), digest))

    with ThreadPoolExecutor(args.jobs) as pool:
        lines = list(pool.map(make, plan(args.minutes, random.Random(args.seed), taken)))
    header = "id\tsplit\tspeaker\ttext\tsamples\tsha256"
    (args.out / "manifest.tsv").write_text("\n".join([header, *lines]) + "\n")
    total = sum(int(line.split("\t")[4]) for line in lines)
    size = sum(p.stat().st_size for p in audio_dir.glob("*.ogg"))
    print(f"{len(lines)} utterances, {total / SAMPLE_RATE / 60:.1f} min, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
