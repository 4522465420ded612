"""A folder of audio as a dataset: speakers, splits, transcripts, refusals, and a digest of what decides it."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile as sf

from bench.contract import Split, Utterance
from bench.datasets.folder import Folder
from bench.errors import DataError

DATA = Path(os.environ.get("LATENTBENCH_DATA", Path(__file__).parents[4] / "shared" / "data"))
Make = Callable[..., Path]


def real(name: str) -> str:
    if not (DATA / name).is_dir():
        pytest.skip(f"no {name} in LATENTBENCH_DATA or ../shared/data")
    return str(DATA / name)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A folder of tones, each of its own pitch, and an optional transcripts.tsv."""
    root = tmp_path / "corpus"

    def build(names: list[str], transcripts: str = "", rate: int = 16_000) -> Path:
        for i, name in enumerate(names):
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            sf.write(path, 0.5 * np.sin(2 * np.pi * (200 + i) * np.arange(rate) / rate), rate)
        if transcripts:
            (root / "transcripts.tsv").write_text(transcripts, encoding="utf-8")
        return root

    return build


def everyone(data: Folder) -> dict[str, Utterance]:
    return {u.id: u for split in get_args(Split) for u in data.utterances(split)}


def speakers(data: Folder) -> dict[str, str]:
    return {name: u.speaker for name, u in everyone(data).items()}


def assert_speaker_disjoint(data: Folder) -> None:
    heard = [{u.speaker for u in data.utterances(split)} for split in get_args(Split)]
    assert all(heard)
    assert sum(map(len, heard)) == len(set.union(*heard))


def test_speakers_from_librispeech_and_libritts_names(make: Make) -> None:
    data = Folder(str(make([f"{s}-1-{i}.flac" for s in (1, 2, 3) for i in (1, 2)])))
    assert data.speakers_known
    assert speakers(data) == {f"{s}-1-{i}": str(s) for s in (1, 2, 3) for i in (1, 2)}
    assert_speaker_disjoint(data)


def test_libritts_names_beat_their_chapter_folders(make: Make) -> None:
    data = Folder(str(make([f"{s}/{c}/{s}_{c}_000_{c}.wav" for s in (1, 2, 3) for c in (10 * s, 10 * s + 1)])))
    assert set(speakers(data).values()) == {"1", "2", "3"}


def test_speakers_from_the_nearest_folder_that_differs(make: Make) -> None:
    data = Folder(str(make([f"{who}/wav/{i}.wav" for who in ("anna", "bert", "carl") for i in (1, 2)])))
    assert speakers(data)["anna/wav/1"] == "anna"
    assert_speaker_disjoint(data)


def test_the_speaker_column_comes_first(make: Make) -> None:
    names = [f"{i}-1-1.wav" for i in range(6)]
    lines = "".join(f"{i}-1-1\t{name}\ttext {i}\tvoice{i % 3}\n" for i, name in enumerate(names))
    data = Folder(str(make(names, lines)))
    assert speakers(data) == {f"{i}-1-1": f"voice{i % 3}" for i in range(6)}
    assert {u.text for u in everyone(data).values()} == {f"text {i}" for i in range(6)}


def test_a_partial_speaker_column_is_not_used(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    data = Folder(str(make(["a.wav", "b.wav", "c.wav"], "a\ta.wav\thello\tanna\n")))
    assert not data.speakers_known
    assert "leaves files out" in caplog.text


def test_unknown_speakers_are_the_utterances(make: Make) -> None:
    data = Folder(str(make([f"{i}.wav" for i in range(10)])))
    assert not data.speakers_known
    assert speakers(data) == {str(i): str(i) for i in range(10)}
    assert [len(data.utterances(s)) for s in ("train", "valid", "test")] == [7, 1, 2]


def test_two_speakers_share_the_splits_and_it_says_so(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    data = Folder(str(make([f"{s}-1-{i}.wav" for s in (1, 2) for i in range(5)])))
    assert data.speakers_known
    assert not data.speakers_disjoint
    assert "share speakers" in caplog.text
    assert len(everyone(data)) == 10


def test_ids_are_paths_where_stems_repeat(make: Make) -> None:
    assert set(everyone(Folder(str(make(["a/1.wav", "b/1.wav", "c/2.wav"]))))) == {"a/1", "b/1", "c/2"}
    assert set(everyone(Folder(str(make(["c/2.flac"]))))) == {"a/1.wav", "b/1.wav", "c/2.wav", "c/2.flac"}


def test_transcripts_by_path_by_id_with_header_and_with_missing_files(make: Make) -> None:
    lines = (
        "\ufeffpath\tid\ttext\r\nsub/a.wav\twhatever\tBy path.\r\nold/place/b.wav\tb\tby id\r\nd.wav\td\tgone\r\n\r\n"
    )
    data = Folder(str(make(["sub/a.wav", "sub/b.wav", "sub/c.wav"], lines)))
    assert {u.id: u.text for u in everyone(data).values()} == {"a": "By path.", "b": "by id", "c": None}
    assert data.refused == {"d": "in transcripts.tsv, but there is no such file"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a\ta.wav\n", "line 1: expected id, path, text, speaker, got 2 columns"),
        ("a\ta.wav\tx\ty\tz\n", "got 5 columns"),
        ("a\ta.wav\tx\na\ta.wav\ty\n", "a.wav is listed twice"),
    ],
)
def test_malformed_transcripts(make: Make, lines: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Folder(str(make(["a.wav", "b.wav", "c.wav"], lines)))


def test_transcripts_that_are_not_text(make: Make) -> None:
    root = make(["a.wav", "b.wav", "c.wav"])
    (root / "transcripts.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"transcripts\.tsv: expected UTF-8"):
        Folder(str(root))


def test_bad_files_are_refused_by_relative_path_and_the_rest_used(make: Make, tmp_path: Path) -> None:
    root = make(["a.wav", "b.wav", "c.wav", ".hidden/x.wav", "._a.wav"], rate=22_050)
    (root / "notes.wav").write_text("a text")
    (root / "empty.flac").touch()
    sf.write(root / "short.wav", np.ones(800) * 0.1, 16_000)
    sf.write(root / "stereo.wav", np.random.default_rng(0).uniform(-0.5, 0.5, (16_000, 2)), 16_000)
    (root / "readme.txt").write_text("not audio")
    data = Folder(str(root))
    assert set(everyone(data)) == {"a", "b", "c", "stereo"}
    assert data.refused == {
        "empty.flac": "empty file",
        "notes.wav": "unreadable: Format not recognised",
        "short.wav": "shorter than 0.5 s: 0.050 s",
    }
    assert data.converted == {"mixed down from 2 channels": 1, "resampled from 22050 Hz": 3}
    assert data.name == "folder:corpus"
    assert str(tmp_path) not in repr([data.name, data.refused, data.converted, everyone(data)])


def test_unicode_names(make: Make) -> None:
    composed, decomposed = "über.wav", "u\u0308ber zwei.wav"
    data = Folder(str(make([composed, decomposed, "日本.wav"], "日本\t日本.wav\tこんにちは\n")))
    assert set(everyone(data)) == {"über", "über zwei", "日本"}
    assert everyone(data)["日本"].text == "こんにちは"
    for utterance in everyone(data).values():
        assert len(data.audio(utterance, 16_000)) == 16_000


def test_names_that_are_not_utf8_are_refused(make: Make) -> None:
    root = make(["a.wav", "b.wav", "c.wav"])
    try:
        os.rename(os.fsencode(root / "c.wav"), os.fsencode(root) + b"/\xff.wav")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(DataError, match="its name is not UTF-8"):
        Folder(str(root))


def test_audio_at_any_rate_and_only_as_opened(make: Make) -> None:
    root = make(["a.wav", "b.wav", "c.wav"])
    data = Folder(str(root))
    a = everyone(data)["a"]
    assert [len(data.audio(a, rate)) for rate in (8_000, 16_000, 24_000)] == [8_000, 16_000, 24_000]
    (root / "a.wav").write_bytes((root / "b.wav").read_bytes())
    with pytest.raises(DataError, match="was changed or cut"):
        data.audio(a, 16_000)
    with pytest.raises(DataError, match="no utterance 'z'"):
        data.audio(Utterance("z", "z", "test"), 16_000)


def test_the_digest_follows_content_not_place(make: Make, tmp_path: Path) -> None:
    root = make(["a.wav", "b.wav", "c.wav", "d.wav"], "a\ta.wav\thello\n")
    first = Folder(str(root)).digest
    (root / "readme.txt").write_text("no audio")
    root = root.rename(tmp_path / "elsewhere")
    assert Folder(str(root)).digest == first
    (root / "transcripts.tsv").write_text("a\ta.wav\tgoodbye\n")
    other_text = Folder(str(root)).digest
    (root / "transcripts.tsv").write_text("a\ta.wav\thello\n")
    assert Folder(str(root)).digest == first
    (root / "d.wav").write_bytes((root / "c.wav").read_bytes())
    other_audio = Folder(str(root)).digest
    assert len({first, other_text, other_audio}) == 3


def test_folders_that_cannot_be_used(make: Make, tmp_path: Path) -> None:
    for argument, message in (
        ("", "expected folder:PATH"),
        (str(tmp_path / "missing"), "no directory"),
        (str(Path(__file__)), "expected a directory, got the file"),
    ):
        with pytest.raises(DataError, match=message):
            Folder(argument)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match=r"folder:nothing: expected \.wav, \.flac, \.ogg files, got none"):
        Folder(str(tmp_path / "nothing"))
    root = make(["a.wav", "b.wav"])
    (root / "c.wav").touch()
    with pytest.raises(DataError, match=r"at least 3 usable files, got 2 \(c\.wav: empty file\)"):
        Folder(str(root))


def test_real_librispeech_by_speaker() -> None:
    data = Folder(real("librispeech_train_clean100_251spk"))
    assert data.speakers_known
    assert not data.refused
    assert [len(data.utterances(s)) for s in ("train", "valid", "test")] == [176, 25, 50]
    assert_speaker_disjoint(data)


def test_real_transcripts(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    libri, lj = Folder(real("librispeech_dev_clean_30")), Folder(real("ljspeech_32"))
    assert sum(u.text is not None for u in everyone(libri).values()) == 29
    assert everyone(libri)["84-121123-0000"].text == "go do you hear"
    assert all(u.text for u in everyone(lj).values())
    assert lj.converted == {"resampled from 22050 Hz": 32}
    assert not lj.speakers_known


def test_says_how_many_files_it_has_checked(make: Make) -> None:
    seen: list[tuple[str, int, int]] = []
    Folder(str(make([f"{i}.wav" for i in range(3)])), progress=lambda *said: seen.append(said))
    assert seen == [("check files", 1, 3), ("check files", 2, 3), ("check files", 3, 3)]
