"""LibriSpeech, LJ Speech, VCTK and FMA: the folders they are published in, and what is asked of the hub."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from bench.conformance import report
from bench.contract import Split, Utterance
from bench.datasets import hub
from bench.datasets.corpora import FMA, VCTK, Corpus, LibriSpeech, LJSpeech
from bench.datasets.folder import Folder
from bench.errors import DataError
from tests import needs
from tests.recordings import rows, streams, tone, write_files, write_parquet

NAMES = {"fma": FMA, "librispeech": LibriSpeech, "ljspeech": LJSpeech, "vctk": VCTK}


def everyone(data: Any) -> dict[str, Utterance]:
    return {u.id: u for split in get_args(Split) for u in data.utterances(split)}


def librispeech(root: Path, subsets: tuple[str, ...] = ("train-clean-100", "dev-clean", "test-clean")) -> Path:
    files: dict[str, bytes | str] = {}
    for number, subset in enumerate(subsets):
        for speaker in (10 * number + 1, 10 * number + 2):
            where = f"LibriSpeech/{subset}/{speaker}/7"
            names = [f"{speaker}-7-{i:04d}" for i in range(2)]
            files |= {f"{where}/{name}.flac": tone(speaker + 50 * i) for i, name in enumerate(names)}
            files[f"{where}/{speaker}-7.trans.txt"] = "".join(f"{name} SAID {name}\n" for name in names)
    return write_files(root, files)


def ljspeech(root: Path) -> Path:
    files: dict[str, bytes | str] = {f"wavs/LJ001-{i:04d}.wav": tone(i, rate=22_050, form="WAV") for i in range(12)}
    lines = "".join(f"LJ001-{i:04d}|No. {i}|Number {i}\n" for i in range(11))
    return write_files(root, {**files, "metadata.csv": lines})


def vctk(root: Path) -> Path:
    files: dict[str, bytes | str] = {}
    for i, speaker in enumerate(("p225", "p226", "p227", "s5")):
        for sentence in range(2):
            for mic in (1, 2):
                place = f"wav48_silence_trimmed/{speaker}/{speaker}_{sentence:03d}_mic{mic}.flac"
                files[place] = tone(10 * i + 100 * sentence + mic, rate=48_000)
            files[f"txt/{speaker}/{speaker}_{sentence:03d}.txt"] = f"Sentence {sentence} of {speaker}.\n"
    return write_files(root, files)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Any]:
    return lambda name, argument="": NAMES[name](str(argument), cache=tmp_path / "cache")


def test_librispeech_has_splits_of_its_own(tmp_path: Path, opened: Callable[..., Any]) -> None:
    data = opened("librispeech", librispeech(tmp_path / "corpus"))
    assert data.name == "librispeech:corpus"
    assert {s: sorted({u.speaker for u in data.utterances(s)}) for s in get_args(Split)} == {
        "train": ["1", "2"],
        "valid": ["11", "12"],
        "test": ["21", "22"],
    }
    assert everyone(data)["11-7-0001"].text == "SAID 11-7-0001"
    assert data.notes == {"splits": "its own: train-clean-100, dev-clean, test-clean"}


def test_librispeech_in_part_is_split_by_speaker(tmp_path: Path, opened: Callable[..., Any]) -> None:
    root = librispeech(tmp_path / "corpus", ("dev-clean", "dev-other", "x"))
    data = opened("librispeech", root)
    assert data.notes["splits"] == "made over 6 speakers: dev-clean, dev-other, x"
    inside = opened("librispeech", root / "LibriSpeech" / "dev-clean")
    assert len(everyone(inside)) == 4 and inside.speakers_known
    only = opened("librispeech", f"{root},split=dev-clean+x")
    assert {u.speaker for u in everyone(only).values()} == {"1", "2", "21", "22"}


def test_librispeech_of_another_form(tmp_path: Path, opened: Callable[..., Any]) -> None:
    with pytest.raises(DataError, match=r"librispeech: expected \[SUBSET/\]SPEAKER/CHAPTER/FILE, got a.flac"):
        opened("librispeech", write_files(tmp_path / "flat", {"a.flac": tone(1)}))
    with pytest.raises(DataError, match="librispeech: expected audio files below empty, got none"):
        opened("librispeech", write_files(tmp_path / "empty", {"x.txt": ""}))


def test_ljspeech_is_one_voice_over_utterances(
    tmp_path: Path, opened: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    data = opened("ljspeech", ljspeech(tmp_path / "corpus"))
    assert {u.speaker for u in everyone(data).values()} == {"LJ"}
    assert data.speakers_known
    assert everyone(data)["LJ001-0003"].text == "Number 3"
    assert everyone(data)["LJ001-0011"].text is None  # not in metadata.csv
    assert data.notes["splits"] == "made over 12 utterances: all"
    assert data.converted == {"resampled from 22050 Hz": 12}
    assert "its splits share speakers; speakers of train and valid: 1 in both, such as 'LJ'" in caplog.text
    assert [len(data.utterances(s)) for s in ("train", "valid", "test")] == [9, 1, 2]


def test_ljspeech_without_or_with_an_odd_list(tmp_path: Path, opened: Callable[..., Any]) -> None:
    root = ljspeech(tmp_path / "corpus")
    (root / "wavs" / "LJ001-0002.wav").unlink()
    assert opened("ljspeech", root).refused == {"LJ001-0002": "LJ001-0002.wav: No such file or directory"}
    (root / "metadata.csv").write_text("one\n")
    with pytest.raises(DataError, match=r"metadata.csv line 1: expected id\|text\|normalised, got 'one'"):
        opened("ljspeech", root)
    (root / "metadata.csv").unlink()
    with pytest.raises(DataError, match="metadata.csv: expected UTF-8 text, got FileNotFoundError"):
        opened("ljspeech", root)


def test_vctk_takes_one_of_its_microphones(tmp_path: Path, opened: Callable[..., Any]) -> None:
    root = vctk(tmp_path / "corpus")
    data = opened("vctk", root)
    assert set(everyone(data)) == {f"{s}_{i:03d}_mic1" for s in ("p225", "p226", "p227", "s5") for i in (0, 1)}
    assert everyone(data)["s5_001_mic1"].text == "Sentence 1 of s5."
    assert data.notes["splits"] == "made over 4 speakers: all"
    assert len(everyone(opened("vctk", f"{root},keep=_mic"))) == 16
    (root / "wav48_silence_trimmed").rename(root / "other")
    with pytest.raises(DataError, match="vctk: expected a folder wav48_silence_trimmed or wav48, got neither"):
        opened("vctk", root)


def test_fma_reads_copies_of_its_parquet_files(tmp_path: Path, opened: Callable[..., Any]) -> None:
    pytest.importorskip("datasets", reason=needs.DATASETS)
    listed = [
        {"audio": row["audio"], "title": f"t{i}", "artist": f"band {i % 5}", "text": "x"}
        for i, row in enumerate(rows(15))
    ]
    write_parquet(tmp_path / "copy" / "train-00000-of-00001.parquet", listed)
    data = opened("fma", tmp_path / "copy")
    assert {u.speaker for u in everyone(data).values()} == {f"band {i}" for i in range(5)}
    assert all(u.text is None for u in everyone(data).values())
    assert data.notes["splits"] == "made over 5 speakers: train"


@pytest.mark.parametrize("name", ["librispeech", "ljspeech", "vctk"])
def test_published_folders_keep_the_rules(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    monkeypatch.setenv("LATENTBENCH_CACHE", str(tmp_path / "cache"))
    root = {"librispeech": librispeech, "ljspeech": ljspeech, "vctk": vctk}[name](tmp_path / "corpus")
    results = report.check(f"{name}:{root}", "datasets")
    assert report.passed(results), report.terminal(name, results)


@pytest.mark.parametrize("name", ["librispeech", "ljspeech", "vctk"])
def test_listed_again_the_digest_is_the_same_and_a_byte_changes_it(
    name: str, tmp_path: Path, opened: Callable[..., Any]
) -> None:
    root = {"librispeech": librispeech, "ljspeech": ljspeech, "vctk": vctk}[name](tmp_path / "corpus")
    first = opened(name, root).digest
    assert opened(name, root).digest == first
    path = next(p for p in sorted(root.rglob("*")) if p.suffix in (".flac", ".wav"))
    data = bytearray(path.read_bytes())
    data[-40] ^= 1
    path.write_bytes(bytes(data))
    assert opened(name, root).digest != first


@pytest.mark.parametrize("name", NAMES)
def test_what_is_asked_of_the_hub(
    name: str, opened: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets", reason=needs.DATASETS)
    place, usual = NAMES[name].PLACE, NAMES[name].USUAL
    assert re.fullmatch(r"[0-9a-f]{40}", place.revision)
    listed = [
        {
            "audio": row["audio"],
            "speaker_id": f"p{i % 4}",
            "artist": f"p{i % 4}",
            "text": f"text {i}",
            "normalized_text": f"text {i}",
            "id": f"u{i}",
            "file": f"/far/away/p{i % 4}/u{i}_mic{1 + i % 2}.flac",
        }
        for i, row in enumerate(rows(24))
    ]
    splits = usual.split or (*usual.train, *usual.valid, *usual.test)
    files = [str(write_parquet(tmp_path / f"{i}.parquet", listed[8 * i : 8 * i + 8])) for i in range(len(splits))]
    load, asked = datasets.load_dataset, []

    def load_dataset(path: str, **how: Any) -> Any:
        asked.append((path, how["name"], how["revision"]))
        found = dict(zip(splits, files, strict=True))
        return streams(load, found)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "_reachable", lambda: None)
    data = opened(name)
    assert asked == [(place.repository, place.config or None, place.revision)]
    assert data.name == f"{name}@{place.revision[:12]}"
    assert data.speakers_known
    expected = {"librispeech": ["u0"], "ljspeech": ["u0"], "vctk": ["u0_mic1"], "fma": ["u0"]}
    assert set(expected[name]) <= set(everyone(data))
    assert (data.utterances("train")[0].text is None) == (name == "fma")
    other = opened(name, f"@{'a' * 40},minutes=1")
    assert asked[-1][2] == "a" * 40
    assert other.name == f"{name}@{'a' * 12},minutes=1"


def test_the_classes_agree_with_their_names() -> None:
    from bench import registry

    for name, factory in NAMES.items():
        assert issubclass(factory, Corpus) and name == factory.NAME
        assert registry.load("datasets", name) is factory


def test_real_librispeech_is_the_same_as_from_a_folder(tmp_path: Path, opened: Callable[..., Any]) -> None:
    source = needs.speech("librispeech_train_clean100_251spk")
    files = sorted(source.glob("*.flac"))[:12]
    layout: dict[str, bytes | str] = {}
    for path in files:
        speaker, chapter, _ = path.stem.split("-")
        layout[f"{speaker}/{chapter}/{path.name}"] = path.read_bytes()
    reference = Folder(str(write_files(tmp_path / "folder", {path.name: path.read_bytes() for path in files})))
    data = opened("librispeech", write_files(tmp_path / "corpus", layout))
    assert everyone(data) == everyone(reference)
    for one, u in everyone(data).items():
        np.testing.assert_array_equal(data.audio(u, 24_000), reference.audio(everyone(reference)[one], 24_000))
