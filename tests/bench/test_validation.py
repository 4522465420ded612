"""Published figures made again: what passes, what does not, and what cannot be reached."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench import registry, validation
from bench.cache import Cache
from bench.codecs import weights_of
from bench.metrics import distortion, intelligibility
from bench.progress import Bar
from bench.protocol import Case, Protocol, Target
from bench.validation import Compared, Measured, Outcome, Overrides, substituted, validate
from tests import needs
from tests.conftest import Done
from tests.plugins import Lab

Bench = Callable[..., Done]
CPU = torch.device("cpu")

REFERENCES = """
[metrics.pesq]
title = "PESQ-WB"
unit = "MOS-LQO"
better = "higher"
measured = "pesq"

[metrics.stoi]
title = "STOI"
unit = "1"
better = "higher"
measured = "stoi"

[metrics.wer]
title = "WER"
unit = "%"
better = "lower"
measured = "wer_open"

[[references]]
name = "known"
title = "A known codec"
authors = "A. Author"
source = "a test"
tasks = ["reconstruction"]
dataset = "speech"
protocol = "Decoded speech against the recording."
differs = "Nothing."

[[references.rows]]
model = "The codec"
codec = "{codec}"
values = {{ pesq = {pesq}, stoi = {stoi}, wer = {wer} }}

[[references.validations]]
name = "known-again"
codecs = ["{codec}"]
dataset = "{dataset}"
splits = ["train", "valid", "test"]
data = "three recordings"
tolerances = {{ pesq = 0.001, stoi = 0.001, wer = 0.1 }}
"""


def protocol(*cases: Case, dataset: str = "tiny", splits: tuple[str, ...] = ("test",)) -> Protocol:
    return Protocol("p", "Title", "Source", dataset, splits, "the data, from somewhere", "Nothing.", cases)


def mel(value: float, tolerance: float = 100.0) -> Target:
    return Target("log-mel L1", "mel", "log10", value, tolerance)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """Three real utterances with their texts."""
    source = needs.speech("librispeech_dev_clean_30")
    lines = (source / "transcripts.tsv").read_text("utf-8").splitlines()
    folder = tmp_path / "speech"
    folder.mkdir()
    short = sorted((line.split("\t") for line in lines), key=lambda parts: (source / parts[1]).stat().st_size)
    kept = [(name, Path(path), text) for name, path, text in (parts[:3] for parts in short[2:5])]
    for _, path, _ in kept:
        shutil.copy(source / path, folder / path.name)
    table = "".join(f"{name}\t{path.name}\t{text}\n" for name, path, text in kept)
    (folder / "transcripts.tsv").write_text(table, encoding="utf-8")
    return folder


def by_hand(folder: Path) -> dict[str, float]:
    """PESQ, STOI and WER of minicodec, without the harness's loops."""
    codec, data = registry.build("codecs", "minicodec"), registry.build("datasets", f"folder:{folder}")
    pesq, stoi, errors, words = [], [], 0, 0
    for utterance in (u for split in ("train", "valid", "test") for u in data.utterances(split)):
        audio = data.audio(utterance, 16_000)
        with torch.no_grad():
            decoded = codec.decode(codec.encode(torch.from_numpy(audio)[None, None]))[0, 0].numpy()[: len(audio)]
        pesq.append(distortion.pesq(audio, decoded))
        stoi.append(distortion.stoi(audio, decoded))
        found = intelligibility.word_errors(utterance.text, intelligibility.Recogniser().transcribe(decoded))
        errors, words = errors + found.errors, words + found.words
    return {"pesq": float(np.mean(pesq)), "stoi": float(np.mean(stoi)), "wer": 100.0 * errors / words}


def test_minicodec_on_real_speech_end_to_end(one_thread: None, bench: Bench, speech: Path, tmp_path: Path) -> None:
    truth = by_hand(speech)
    assert registry.build("codecs", "minicodec").info.sample_rate == 16_000
    page = tmp_path / "references.toml"
    where = ("--cache", tmp_path / "cache")

    def against(dataset: str = f"folder:{speech}", *more: object, **figures: float) -> Done:
        values = {**truth, **figures}
        page.write_text(REFERENCES.format(codec="minicodec", dataset=dataset, **values), encoding="utf-8")
        return bench("validate", "--against", "known-again", "--references", page, *where, *more)

    done = against()
    assert done.code == 0, done.out + done.err
    assert "passed: 3 of 3 figures within their tolerance" in done.out
    assert "not the published protocol" not in done.out and "3 utterances" in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())
    assert "minicodec (from the cache)" not in done.err

    # a figure that is off by more than its tolerance: the same measurement, now from the cache
    done = against(pesq=truth["pesq"] + 0.01)
    assert done.code == 1
    assert "not passed: 2 of 3 figures" in done.out and "−0.010" in done.out
    assert "minicodec (from the cache)" in done.err

    # other data are told to be other data, and found good or bad all the same
    done = against("nonesuch", "--dataset", f"folder:{speech}")
    assert done.code == 0
    assert "not the published protocol: dataset folder:" in " ".join(done.out.split())


def test_random_weights_never_pass(one_thread: None, bench: Bench, speech: Path, tmp_path: Path) -> None:
    pytest.importorskip("moshi", reason=needs.MOSHI)
    more = ("--codec", "mimi@rvq8:random", "--dataset", f"folder:{speech}", "--minutes", "0.01")
    done = bench("validate", "--against", "llasa-mimi", "--cache", tmp_path / "cache", *more)
    assert done.code == 1
    assert "UNTRAINED: random weights never pass" in done.out
    assert "not the published protocol: codec mimi@rvq8:random" in done.out
    assert "not passed" in done.out and "2.25" in done.out and "1.99" not in done.out


def test_random_weights_do_not_pass_even_within_the_tolerance() -> None:
    target = mel(1.0)
    found = Compared(target, validation.interval({"a": 1.0}, {"a": "s"}), {})
    assert found.within
    for trained in (True, False):
        case = Measured("codec", "Codec", trained, (found,))
        outcome = Outcome(protocol(), Overrides(), "tiny", 1, 1.0, (case,), {})
        assert outcome.passed is trained


def test_weights_that_cannot_be_fetched_are_one_line(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("moshi", reason=needs.MOSHI)

    def unreachable(source: Any) -> Path:
        raise OSError("no network")

    monkeypatch.setattr(weights_of, "_from_hub", unreachable)
    done = bench("validate", "--against", "llasa-mimi", "--cache", tmp_path)
    (line,) = done.err.splitlines()
    assert done.code == 2
    for part in ("tokenizer-e351c8d8-checkpoint125.safetensors", "kyutai/moshiko-pytorch-bf16", "--codec mimi:PATH"):
        assert part in line


def test_data_that_cannot_be_reached_are_one_line(bench: Bench, lab: Lab, tmp_path: Path) -> None:
    for dataset, codec in (("", "levels"), ("nonesuch", "levels")):
        page = tmp_path / "references.toml"
        page.write_text(REFERENCES.format(codec=codec, dataset=dataset, pesq=1, stoi=1, wer=1), encoding="utf-8")
        done = bench("validate", "--against", "known-again", "--references", page, "--cache", tmp_path)
        (line,) = done.err.splitlines()
        assert done.code == 2
        assert "--dataset folder:PATH takes a copy of three recordings" in line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--against", "nonesuch"), "no validation 'nonesuch'; there are: .*llasa-mimi"),
        (("--against", "llasa-mimi", "--minutes", "0"), "--minutes must be above 0, got 0"),
        (("--against", "llasa-mimi", "--codec", "mimi@rvq2:random"), "expected a codec or tap of mimi@rvq8, .*rvq2"),
        (("--against", "x", "--references", "nonesuch.toml"), "nonesuch.toml: No such file"),
        (("--against", "llasa-mimi", "--codec", "nonesuch"), "no codec 'nonesuch'"),
    ],
)
def test_misuse_is_one_line(bench: Bench, tmp_path: Path, arguments: tuple[str, ...], expected: str) -> None:
    done = bench("validate", *arguments, "--cache", tmp_path)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert re.search(expected, done.err)


@pytest.mark.parametrize(
    ("published", "given", "measured"),
    [
        ("mimi@rvq8", "", "mimi@rvq8"),
        ("mimi@rvq8", "mimi:/w", "mimi@rvq8:/w"),
        ("dac16@rvq12+stack4", "dac16:/w", "dac16@rvq12+stack4:/w"),
        ("mimi@rvq8", "mimi@rvq8:/w", "mimi@rvq8:/w"),
        ("mimi@rvq8", "mimi@rvq6:/w", ""),
        ("mimi@rvq8", "mimi", "mimi@rvq8"),
        ("mimi@rvq8", "minicodec", "minicodec"),
        ("soundstream", "soundstream@46:/w", ""),
        ("soundstream", "soundstream:/w", "soundstream:/w"),
    ],
)
def test_other_weights_keep_the_tap(published: str, given: str, measured: str) -> None:
    assert substituted(published, given) == measured


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Bar:
    """No progress, and metrics in this process: to start others takes longer than tiny utterances do."""
    monkeypatch.setattr(validation, "pool", lambda: nullcontext())
    monkeypatch.setattr(validation, "ordered", lambda executor, function, jobs: map(function, jobs))
    return Bar(quiet=True)


def test_a_killed_run_goes_on_where_it_stopped(lab: Lab, tmp_path: Path, quiet: Bar) -> None:
    lab.change("codec.py", 'killed.at("encode")', "calls.append(1)\n        assert len(calls) != 20")
    lab.change("codec.py", "import torch\n", "import torch\n\ncalls = []\n")
    cache, asked = Cache(tmp_path / "cache"), protocol(Case("levels", "L", (mel(1.0),)))
    everything = Overrides(dataset="tiny:x")
    with pytest.raises(Exception, match="levels"):
        validate(asked, cache, CPU, quiet, everything)
    import tinylab.codec

    first = len(tinylab.codec.calls)
    outcome = validate(asked, cache, CPU, quiet, everything)
    assert outcome.utterances == 36
    # of two shards of 16, the one that was whole is not encoded again
    assert len(tinylab.codec.calls) - first == 36 - 16


def test_minutes_limit_what_is_heard(lab: Lab, tmp_path: Path, quiet: Bar) -> None:
    asked = protocol(Case("levels", "L", (mel(1.0),)))
    whole = validate(asked, Cache(tmp_path), CPU, quiet)
    assert whole.utterances == 8
    some = validate(asked, Cache(tmp_path), CPU, quiet, Overrides(minutes=whole.seconds / 120))
    assert 1 <= some.utterances < 8 and some.seconds <= whole.seconds / 2
    least = validate(asked, Cache(tmp_path), CPU, quiet, Overrides(minutes=1e-6))
    assert least.utterances == 1
    assert some.overrides.said == [f"at most {whole.seconds / 120:g} minutes"]


def test_a_partial_mean_never_passes(lab: Lab, tmp_path: Path, quiet: Bar) -> None:
    words = Target("WER", "wer_open", "%", 100.0, 1e9)
    lab.change("data.py", 'f"text {i}"', '"" if i == 0 else f"text {i}"')
    outcome = validate(protocol(Case("levels", "L", (words,))), Cache(tmp_path), CPU, quiet)
    (figure,) = outcome.cases[0].figures
    assert figure.measured is not None and sum(figure.unscored.values()) == 1
    assert not figure.within and not outcome.passed


def test_the_order_of_codecs_counts(lab: Lab, tmp_path: Path, quiet: Bar) -> None:
    lab.write(
        "codec2.py",
        lab.path("codec.py").read_text() + "\n\nclass Silent(Levels):\n    "
        "def decode(self, latents):\n        return 1e-3 * super().decode(latents)\n",
    )
    lab.install("codecs", silent="tinylab.codec2:Silent")
    near, far = Case("levels", "Near", (mel(1.0),)), Case("silent", "Far", (mel(2.0),))
    outcome = validate(protocol(near, far), Cache(tmp_path), CPU, quiet)
    measured = [case.figures[0].measured for case in outcome.cases]
    assert measured[0] is not None and measured[1] is not None and measured[0].value < measured[1].value
    assert outcome.orders == {"log-mel L1": True} and outcome.passed
    wrong = protocol(Case("levels", "Near", (mel(2.0),)), Case("silent", "Far", (mel(1.0),)))
    outcome = validate(wrong, Cache(tmp_path), CPU, quiet)
    assert outcome.orders == {"log-mel L1": False} and not outcome.passed
    # one codec in the place of both says nothing of an order
    assert validate(wrong, Cache(tmp_path), CPU, quiet, Overrides(codec="levels:x")).orders == {}


def test_a_codec_that_breaks_its_contract_is_named(lab: Lab, tmp_path: Path, quiet: Bar) -> None:
    lab.change("codec.py", ".clamp(-1, 1)", ".mul(math.nan)")
    lab.change("codec.py", "import torch\n", "import math\n\nimport torch\n")
    with pytest.raises(validation.PluginError, match="levels: decode must return finite audio"):
        validate(protocol(Case("levels", "L", (mel(1.0),))), Cache(tmp_path), CPU, quiet)
