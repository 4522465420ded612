"""Audiofolder, Parquet and WebDataset: the same audio as the files hold, in whatever form they come."""

import gc
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from bench.conformance import report
from bench.contract import Split, Utterance
from bench.datasets.audio import decode
from bench.datasets.folder import Folder
from bench.datasets.loaded import Loaded
from bench.datasets.local import AudioFolder, Parquet, WebDataset
from bench.datasets.options import Options
from bench.datasets.streamed import Streamed
from bench.errors import BenchError, DataError
from tests import needs
from tests.recordings import members, rows, tone, write_files, write_parquet, write_tar

pytest.importorskip("datasets", reason=needs.DATASETS)


# the package leaves metadata.csv open
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True, scope="module")
def collected() -> Iterator[None]:
    """What these tests leave open is found among them."""
    yield
    gc.collect()


def audiofolder(root: Path, count: int = 12) -> Path:
    lines = "".join(f"{i}.flac,s{i % 4},text {i}\n" for i in range(count))
    files: dict[str, bytes | str] = {f"{i}.flac": tone(i) for i in range(count)}
    return write_files(root, {**files, "metadata.csv": f"file_name,speaker_id,text\n{lines}"})


def parquet(root: Path, count: int = 12) -> Path:
    return write_parquet(root / "train-00000-of-00001.parquet", rows(count)).parent


def webdataset(root: Path, count: int = 12) -> Path:
    return write_tar(root / "train-0000.tar", members(count)).parent


FORMS: dict[str, tuple[Callable[..., Path], type[Loaded]]] = {
    "audiofolder": (audiofolder, AudioFolder),
    "parquet": (parquet, Parquet),
    "webdataset": (webdataset, WebDataset),
}
every_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Any]:
    """A dataset of a form, in a cache of its own."""

    def build(form: str, place: Path | str, options: str = "") -> Any:
        return FORMS[form][1](f"{place}{options}", cache=tmp_path / "cache")  # type: ignore[call-arg, arg-type]

    return build


def everyone(data: Any) -> dict[str, Utterance]:
    return {u.id: u for split in get_args(Split) for u in data.utterances(split)}


def heard(data: Any, rate: int = 16_000) -> dict[str, np.ndarray]:
    return {one: data.audio(u, rate) for one, u in everyone(data).items()}


@every_form
def test_every_form_gives_the_same_recordings(form: str, tmp_path: Path, opened: Callable[..., Any]) -> None:
    data = opened(form, FORMS[form][0](tmp_path / "corpus"))
    assert data.name == f"{form}:corpus"
    assert data.speakers_known
    texts = {f"text {i}" for i in range(12)}
    found = everyone(data)
    assert {u.text for u in found.values()} == texts
    for one, samples in heard(data).items():
        number = int(one.lstrip("u"))
        assert found[one].text == f"text {number}"
        assert found[one].speaker.lstrip("s") == str(number % 4)
        np.testing.assert_array_equal(samples, decode(tone(number)).samples)
    speakers = [{u.speaker for u in data.utterances(split)} for split in get_args(Split)]
    assert all(speakers) and sum(map(len, speakers)) == 4
    assert data.notes["splits"] == "made over 4 speakers: train"


@every_form
def test_every_form_keeps_the_rules(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    monkeypatch.setenv("LATENTBENCH_CACHE", str(tmp_path / "cache"))
    results = report.check(f"{form}:{FORMS[form][0](tmp_path / 'corpus')}", "datasets")
    assert report.passed(results), report.terminal(form, results)


@every_form
def test_the_digest_is_of_the_content_not_of_the_place(form: str, tmp_path: Path, opened: Callable[..., Any]) -> None:
    root = FORMS[form][0](tmp_path / "corpus")
    first = opened(form, root).digest
    root = root.rename(tmp_path / "elsewhere")
    assert opened(form, root).digest == first
    assert FORMS[form][1](str(root), cache=tmp_path / "another").digest == first  # type: ignore[call-arg, arg-type]
    assert opened(form, root, ",text=-").digest != first
    assert opened(form, root, ",per_speaker=2").digest != first


def test_one_changed_byte_is_another_digest(tmp_path: Path, opened: Callable[..., Any]) -> None:
    root = audiofolder(tmp_path / "corpus")
    before = opened("audiofolder", root)
    u = everyone(before)["3"]
    data = bytearray((root / "3.flac").read_bytes())
    vendor = data.index(b"libFLAC")
    data[vendor] ^= 1  # the encoder's name: the audio is the same, the file is not
    (root / "3.flac").write_bytes(bytes(data))
    after = opened("audiofolder", root)
    assert after.digest != before.digest
    np.testing.assert_array_equal(after.audio(u, 16_000), decode(tone(3)).samples)
    with pytest.raises(DataError, match=r"3\.flac: .*the file was changed or cut"):
        before.audio(u, 16_000)


@every_form
def test_read_once_and_never_again(
    form: str, tmp_path: Path, opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    root = FORMS[form][0](tmp_path / "corpus")
    first = heard(opened(form, root))
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("opened again"))
    again = heard(opened(form, root))
    assert list(first) == list(again)
    for one, samples in first.items():
        np.testing.assert_array_equal(samples, again[one])


def test_own_splits_are_kept_and_what_they_share_is_said(
    tmp_path: Path, opened: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    for number, split in enumerate(("train", "validation", "test")):
        write_parquet(tmp_path / "corpus" / f"{split}-00000-of-00001.parquet", rows(4, start=4 * number))
    data = opened("parquet", tmp_path / "corpus")
    assert data.notes["splits"] == "its own: train, validation, test"
    assert [u.id for u in data.utterances("valid")] == ["u004", "u005", "u006", "u007"]
    assert "parquet:corpus: its splits share speakers; speakers of train and valid: 4 in both" in caplog.text


def test_encode_prints_notes_and_overlaps(tmp_path: Path, bench: Callable[..., Any], one_thread: None) -> None:
    for split in ("train", "validation", "test"):
        listed = rows(6, speakers=2)
        write_parquet(
            tmp_path / "corpus" / f"{split}-00000-of-00001.parquet", [{**r, "id": split + r["id"]} for r in listed]
        )
    done = bench("encode", "--dataset", f"parquet:{tmp_path / 'corpus'}", "--cache", tmp_path / "cache", "--quiet")
    assert done.code == 0, done.err
    assert "note: columns: audio=audio, speaker=speaker_id, text=text, id=id" in done.out
    assert "! overlap: speakers of train and test: 2 in both, such as '0'" in done.out
    assert "! overlap: texts of valid and test: 6 in both, such as 'text 0'" in done.out
    assert (tmp_path / "cache" / "audio").is_dir()


def test_columns_by_name_classes_and_constants(tmp_path: Path, opened: Callable[..., Any]) -> None:
    files: dict[str, bytes | str] = {f"{who}/{i}.flac": tone(7 * i + ord(who)) for who in "abcd" for i in range(3)}
    root = write_files(tmp_path / "by_voice", files)
    data = opened("audiofolder", root, ",speaker=label")
    assert {one: u.speaker for one, u in everyone(data).items()} == {f"{w}/{i}": w for w in "abcd" for i in range(3)}
    assert not opened("audiofolder", root).speakers_known
    alone = opened("audiofolder", root, ",speaker==me")
    assert {u.speaker for u in everyone(alone).values()} == {"me"}
    with pytest.raises(DataError, match="no column 'who' for speaker; there are: audio, label"):
        opened("audiofolder", root, ",speaker=who")
    with pytest.raises(DataError, match="no column 'sound' for audio"):
        opened("audiofolder", root, ",audio=sound")


def test_a_table_without_audio(tmp_path: Path, opened: Callable[..., Any]) -> None:
    write_parquet(tmp_path / "t.parquet", [{"text": "a"}, {"text": "b"}])
    with pytest.raises(DataError, match="parquet:t.parquet: no column of audio, say audio=COLUMN; there are: text"):
        opened("parquet", tmp_path / "t.parquet")


def test_speakers_that_some_rows_leave_out(
    tmp_path: Path, opened: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    listed = [{**row, "speaker_id": "" if i == 5 else "a"} for i, row in enumerate(rows(8))]
    data = opened("parquet", write_parquet(tmp_path / "t.parquet", listed))
    assert not data.speakers_known
    assert "1 utterances name no speaker" in caplog.text


def test_bad_rows_are_refused_and_the_rest_used(tmp_path: Path, opened: Callable[..., Any]) -> None:
    listed = rows(8)
    listed[0]["audio"] = {"bytes": None, "path": None}
    listed[1]["audio"] = {"bytes": b"not audio", "path": "x.flac"}
    listed[2]["audio"] = {"bytes": tone(2, seconds=0.1), "path": "x.flac"}
    listed[3]["audio"] = {"bytes": tone(3, rate=24_000, form="WAV"), "path": "x.wav"}
    listed[4]["audio"] = {"bytes": None, "path": "/etc/hostname"}
    data = opened("parquet", write_parquet(tmp_path / "t.parquet", listed))
    assert data.refused == {
        "u000": "no audio",
        "u001": "unreadable: Format not recognised",
        "u002": "shorter than 0.5 s: 0.100 s",
        "u004": "no audio",
    }
    assert data.converted == {"resampled from 24000 Hz": 1}
    assert len(data.audio(everyone(data)["u003"], 24_000)) == round(0.6 * 24_000)


def test_no_usable_row(tmp_path: Path, opened: Callable[..., Any]) -> None:
    for split in ("train", "validation", "test"):
        listed = rows(3)
        if split == "test":
            listed = [{**row, "audio": {"bytes": b"", "path": "x"}} for row in listed]
        write_parquet(tmp_path / "corpus" / f"{split}-00000-of-00001.parquet", listed)
    with pytest.raises(DataError, match=r"the test split holds no usable audio \(u000: empty file\)"):
        opened("parquet", tmp_path / "corpus")


def test_limits_stop_the_stream(tmp_path: Path, opened: Callable[..., Any]) -> None:
    place = parquet(tmp_path / "corpus", 40)
    few = opened("parquet", place, ",minutes=0.099")
    assert len(everyone(few)) == 10  # 0.6 s each
    assert few.notes["limits"] == "minutes=0.099"
    fair = opened("parquet", place, ",per_speaker=3")
    assert sorted(u.speaker for u in everyone(fair).values()) == sorted("0123" * 3)
    kept = opened("parquet", place, ",keep=[05]$")
    assert set(everyone(kept)) == {f"u{i:03d}" for i in range(0, 40, 5)}


@pytest.mark.parametrize(
    ("form", "name", "cut", "message"),
    [
        ("parquet", "train-00000-of-00001.parquet", 0.5, "damaged or cut short: Parquet magic bytes not found"),
        ("webdataset", "train-0000.tar", 0.52, "damaged or cut short: unexpected end of data"),
    ],
)
def test_damaged_files_are_one_line(
    form: str, name: str, cut: float, message: str, tmp_path: Path, bench: Callable[..., Any]
) -> None:
    root = FORMS[form][0](tmp_path / "corpus")
    data = (root / name).read_bytes()
    (root / name).write_bytes(data[: int(cut * len(data))])
    done = bench("encode", "--dataset", f"{form}:{root}", "--cache", tmp_path / "cache")
    assert done.code == 2
    assert done.err.strip().splitlines()[-1].startswith(f"bench: {form}:corpus: {message}")
    assert "Traceback" not in done.err and len(done.err.strip().splitlines()) == 1
    (root / name).write_bytes(data)
    assert bench("encode", "--dataset", f"{form}:{root}", "--cache", tmp_path / "cache").code == 0


def test_row_groups_are_read_one_at_a_time(tmp_path: Path) -> None:
    import datasets

    place = write_parquet(tmp_path / "t.parquet", rows(24), group=8)
    source = Streamed("t", lambda: {"path": "parquet", "data_files": str(place)}, Options(), tmp_path / "locks")
    read = source.rows("train", None)
    states = [state()["examples_iterable"] for _, state in read]
    shards = [state["examples_iterable"]["shard_idx"] for state in states]
    assert shards[0] == 0 and shards[-1] == 2 and len(set(shards)) == 3, datasets.__version__


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("", "parquet: expected parquet:PATH, got no path"),
        ("/no/where", "parquet: no file or directory '/no/where'"),
        (".", "expected .parquet files, got none"),
    ],
)
def test_paths_that_cannot_be_used(
    argument: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[..., Any]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as error:
        opened("parquet", argument)
    assert message in str(error.value)


def test_a_missing_package_names_the_command(
    tmp_path: Path, opened: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = parquet(tmp_path / "corpus")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BenchError, match=r"parquet:corpus needs datasets: pip install 'latentbench\[data\]'"):
        opened("parquet", place)


@pytest.mark.parametrize("form", ["audiofolder", "parquet", "webdataset"])
def test_real_speech_is_the_same_as_from_a_folder(form: str, tmp_path: Path, opened: Callable[..., Any]) -> None:
    files = sorted((needs.speech("librispeech_dev_clean_30") / "84").glob("*.wav"))[:8]
    root = tmp_path / "corpus"
    audio = {path.name: path.read_bytes() for path in files}
    if form == "audiofolder":
        write_files(root, audio)
    elif form == "parquet":
        write_parquet(root / "a.parquet", [{"audio": {"bytes": data, "path": name}} for name, data in audio.items()])
    else:
        write_tar(root / "a.tar", audio.items())
    reference = Folder(str(write_files(tmp_path / "folder", audio)))
    expected, got = heard(reference, 24_000), heard(opened(form, root), 24_000)
    assert set(got) == set(expected)
    for one, samples in expected.items():
        np.testing.assert_array_equal(got[one], samples)
