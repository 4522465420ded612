"""The embedded corpus as made: what is held out, what it weighs, and that it can be made again."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile as sf

from tests import modules

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "bench" / "datasets" / "data" / "synthspeech"
ROWS = [line.split("\t") for line in (CORPUS / "manifest.tsv").read_text(encoding="utf-8").splitlines()[1:]]
LICENSE = (CORPUS / "LICENSE.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return modules.script("make_synthspeech")


def pattern(jsgf: str) -> re.Pattern[str]:
    """A JSGF of plain rules, alternatives and words as one regular expression."""
    rules = dict(re.findall(r"<(\w+)> = (.*?);", jsgf, flags=re.DOTALL))

    def expand(name: str) -> str:
        alternatives = (" ".join(a.split()) for a in rules[name].split("|"))
        return "(?:" + "|".join(re.sub(r"<(\w+)>", lambda m: expand(m[1]), a) for a in alternatives) + ")"

    return re.compile(expand("sentence"))


def test_no_sentence_is_said_twice() -> None:
    texts = [row[3] for row in ROWS]
    assert len(set(texts)) == len(texts)


def test_unseen_voices_speak_in_the_test_split_only(script: ModuleType) -> None:
    voices = {split: {row[2] for row in ROWS if row[1] == split} for split in ("train", "valid", "test")}
    assert len(script.UNSEEN) == 2
    assert not voices["train"] & set(script.UNSEEN)
    assert not voices["valid"] & set(script.UNSEEN)
    assert voices["test"] == {voice.name for voice in script.VOICES}


def test_it_is_long_enough_and_light_enough() -> None:
    assert sum(int(row[4]) for row in ROWS) / 16_000 / 60 >= 45
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) <= 13_000_000


def test_every_file_is_the_manifests() -> None:
    assert {row[0] for row in ROWS} == {path.stem for path in (CORPUS / "audio").iterdir()}
    assert len({row[0] for row in ROWS}) == len(ROWS)
    for row in ROWS:
        assert hashlib.sha256((CORPUS / "audio" / f"{row[0]}.ogg").read_bytes()).hexdigest() == row[5], row[0]


def test_every_sentence_is_of_the_grammar(script: ModuleType) -> None:
    jsgf = (CORPUS / "grammar.jsgf").read_text(encoding="utf-8")
    assert jsgf == script.jsgf()
    grammar = pattern(jsgf)
    assert not [row[3] for row in ROWS if not grammar.fullmatch(row[3])]
    assert not grammar.fullmatch("anna carried two quiet candles")
    assert not grammar.fullmatch("anna carried two quiet candles in april in april")


def test_the_manifest_is_the_scripts_plan(script: ModuleType) -> None:
    planned = script.plan(47.0, script.random.Random(20261124), set())
    assert [(name, split, voice.name, text) for name, split, voice, text in planned] == [tuple(r[:4]) for r in ROWS]


def test_a_larger_corpus_leaves_the_held_out_sentences_out(script: ModuleType) -> None:
    held_out = {row[3] for row in ROWS if row[1] != "train"}
    larger = script.plan(200.0, script.random.Random(7), set(held_out))
    assert not held_out & {text for *_, text in larger}


def test_the_licence_note_has_every_voice_and_count(script: ModuleType) -> None:
    for voice in script.VOICES:
        line = next(line for line in LICENSE.splitlines() if line.startswith(f"| {voice.name} |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        counts = [str(sum(r[2] == voice.name and r[1] == s for r in ROWS) or "–") for s in ("train", "valid", "test")]
        assert cells[1:] == [
            f"cmu_us_{voice.flite}",
            f"{voice.tract:g}",
            f"{voice.stretch:g}",
            str(voice.f0 or "–"),
            *counts,
        ]


def test_an_utterance_made_again_is_the_same_to_the_sample(script: ModuleType, tmp_path: Path) -> None:
    for program in ("flite", "opusenc"):
        if not shutil.which(program):
            pytest.skip(f"no {program} on the PATH")
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        version = next((w for w in (said.stdout + said.stderr).split("\n") if "flite-" in w or "opus-tools" in w), "")
        wanted = re.search(rf"\| {program} \| ([^|(]+)", LICENSE)
        assert wanted is not None
        if wanted[1].strip() not in version:
            pytest.skip(f"{program}: the corpus was made with {wanted[1].strip()}, here is {version.strip()}")
    voices = {voice.name: voice for voice in script.VOICES}
    for row in (ROWS[0], next(r for r in ROWS if r[2] == "slt-deep")):
        out = tmp_path / f"{row[0]}.ogg"
        script.encode(script.speak(row[3], voices[row[2]], tmp_path / "speech.wav"), row[0], out)
        if hashlib.sha256(out.read_bytes()).hexdigest() != row[5]:
            # the Ogg file names the encoder's library, whose patch release may be another
            (shipped,) = (CORPUS / "audio").rglob(f"{row[0]}.*")
            assert np.array_equal(*(sf.read(path)[0] for path in (shipped, out))), row[0]
