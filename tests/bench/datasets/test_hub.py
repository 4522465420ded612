"""Datasets of the hub, whose calls are replaced: what is asked of it, and what its errors become."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from bench.contract import Split
from bench.datasets import hub
from bench.datasets.hub import Hub, Place, parsed
from bench.errors import DataError
from tests import needs
from tests.recordings import rows, streams, write_parquet

datasets = pytest.importorskip("datasets", reason=needs.DATASETS)

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f" * 40


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, Any]]:
    """The hub has one repository, with three splits of 6 rows; gives what was asked of it."""
    files = {
        name: str(write_parquet(tmp_path / f"{name}.parquet", rows(6, 3, start=10 * i)))
        for i, name in enumerate(("train.100", "validation", "test"))
    }
    asked: list[Mapping[str, Any]] = []
    load = datasets.load_dataset

    def load_dataset(path: str, **how: Any) -> Any:
        asked.append({"path": path, **how})
        return streams(load, files)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "_reachable", lambda: None)
    return asked


@pytest.fixture
def opened(tmp_path: Path) -> Callable[[str], Hub]:
    return lambda argument: Hub(argument, cache=tmp_path / "cache")


SPLITS = ",train=train.100,valid=validation,test=test"


def test_a_pinned_revision_is_what_is_asked_for(
    repository: list[Mapping[str, Any]], opened: Callable[[str], Hub], tmp_path: Path
) -> None:
    data = opened(f"some/speech/clean@{COMMIT}{SPLITS}")
    assert {k: v for k, v in repository[0].items() if k != "cache_dir"} == {
        "path": "some/speech",
        "name": "clean",
        "revision": COMMIT,
        "streaming": True,
    }
    assert data.name == f"hub:some/speech/clean@{COMMIT[:12]}{SPLITS}"
    assert {s: [u.id for u in data.utterances(s)] for s in get_args(Split)} == {
        split: [f"u{start + i:03d}" for i in range(6)] for split, start in (("train", 0), ("valid", 10), ("test", 20))
    }
    assert data.notes == {
        "from": f"some/speech, revision {COMMIT}",
        "splits": "its own: train.100, validation, test",
        "columns": "audio=audio, speaker=speaker_id, text=text, id=id",
    }


def test_the_digest_holds_revision_configuration_columns_and_splits(
    repository: list[Mapping[str, Any]], opened: Callable[[str], Hub]
) -> None:
    spec = f"some/speech/clean@{COMMIT}{SPLITS}"
    others = [
        spec.replace(COMMIT, OTHER),
        spec.replace("/clean", "/other"),
        spec.replace("some/", "any/"),
        f"{spec},text=-",
        f"{spec},speaker=text",
        spec.replace("valid=validation,test=test", "valid=test,test=validation"),
    ]
    assert len({opened(one).digest for one in [spec, *others]}) == 7
    assert opened(spec).digest == opened(spec).digest


def test_what_was_read_is_read_again_without_the_hub(
    repository: list[Mapping[str, Any]], opened: Callable[[str], Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = f"some/speech/clean@{COMMIT}{SPLITS}"
    first = opened(spec)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("asked the hub"))
    again = opened(spec)
    assert again.digest == first.digest
    (u, *_) = again.utterances("test")
    assert len(again.audio(u, 16_000)) == 9_600


def test_a_revision_that_is_no_commit_is_looked_up_and_said(
    repository: list[Mapping[str, Any]], opened: Callable[[str], Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    asked = []

    def dataset_info(self: Any, name: str, revision: str | None = None) -> Any:
        asked.append((name, revision))
        return SimpleNamespace(sha=COMMIT)

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    data = opened(f"some/speech@main{SPLITS}")
    newest = opened(f"some/speech{SPLITS}")
    assert asked == [("some/speech", "main"), ("some/speech", None)]
    assert [one["revision"] for one in repository] == [COMMIT]
    assert data.digest == newest.digest == opened(f"some/speech@{COMMIT}{SPLITS}").digest
    assert data.notes["from"] == f"some/speech, revision {COMMIT}, which main is now; name it to stay with it"


def test_places() -> None:
    assert parsed("a-1/b.c") == Place("a-1/b.c")
    assert parsed("a/b/c+d@refs/pr/1") == Place("a/b", "c+d", "refs/pr/1")
    for text in ("", "b", "a/b/c/d", "a/b@", "a b/c"):
        with pytest.raises(DataError, match="hub: expected hub:OWNER/REPO"):
            parsed(text)


def test_a_local_path_of_the_same_name_is_not_taken_for_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[[str], Hub]
) -> None:
    (tmp_path / "some" / "speech").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="hub:some/speech: some/speech is a local path here too"):
        opened(f"some/speech@{COMMIT}")


def gated() -> Exception:
    return datasets.exceptions.DatasetNotFoundError(
        "Dataset 'some/speech' is a gated dataset on the Hub. Visit the dataset page to ask for access."
    )


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            datasets.exceptions.DatasetNotFoundError("Dataset 'some/speech' doesn't exist on the Hub or cannot be"),
            "the hub has no such dataset, or it is private",
        ),
        (gated(), "it is gated: accept its terms on the hub, then log in with `hf auth login`"),
        (
            datasets.exceptions.DatasetNotFoundError("Revision 'x' doesn't exist for dataset 'a/b' on the Hub."),
            "the hub has no such revision of it",
        ),
        (ConnectionError("Couldn't reach 'some/speech' on the Hub"), "the hub cannot be reached"),
        (RuntimeError("Dataset scripts are no longer supported, but found speech.py"), "it is a loading script"),
        (
            ValueError("BuilderConfig 'x' not found. Available: ['clean', 'other']"),
            "expected NAME:OWNER/REPO/CONFIG with one of its configurations: BuilderConfig 'x' not found. Available: ",
        ),
        (datasets.data_files.EmptyDatasetError("The directory doesn't contain any data files"), "it holds no files"),
        (OSError(28, "No space left on device"), "no space left on the disk"),
        (KeyError("odd"), "cannot be read: KeyError: 'odd'"),
    ],
)
def test_every_error_is_one_line(
    error: Exception, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bench: Callable[..., Any]
) -> None:
    def load_dataset(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.setattr(hub, "_reachable", lambda: None)
    done = bench("encode", "--dataset", f"hub:some/speech@{COMMIT}", "--cache", tmp_path / "cache")
    assert done.code == 2
    assert done.err.startswith(f"bench: hub:some/speech@{COMMIT[:12]}: {message}")
    assert len(done.err.strip().splitlines()) == 1


@pytest.mark.parametrize("revision", ["", f"@{COMMIT}"])
def test_offline(revision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bench: Callable[..., Any]) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    done = bench("encode", "--dataset", f"hub:some/speech{revision}", "--cache", tmp_path / "cache")
    assert done.code == 2
    assert "the hub cannot be reached" in done.err and len(done.err.strip().splitlines()) == 1


def test_no_network_is_said_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: Callable[[str], Hub]
) -> None:
    import socket

    def nowhere(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    monkeypatch.setattr(hub, "getproxies", dict)
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: pytest.fail("tried"))
    with pytest.raises(DataError, match="hub:some/speech@0123456789ab: the hub cannot be reached"):
        opened(f"some/speech@{COMMIT}")


def test_a_stream_that_breaks_off_goes_on_from_there(
    repository: list[Mapping[str, Any]],
    opened: Callable[[str], Hub],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    from bench.datasets import imported, streamed

    monkeypatch.setattr(imported, "PART", 2)
    spec, read = f"some/speech@{COMMIT}{SPLITS}", []
    cell = streamed._at

    def breaking(values: Mapping[str, Any], name: str) -> Any:
        if name == "audio":
            read.append(values["id"])
            if values["id"] == "u003" and read.count("u003") == 1:
                raise DataError("reset by peer")
        return cell(values, name)

    monkeypatch.setattr(streamed, "_at", breaking)
    with pytest.raises(DataError, match="reset by peer"):
        opened(spec)
    whole = opened(spec)
    assert read[:4] == ["u000", "u001", "u002", "u003"]
    assert read[4:8] == ["u002", "u003", "u004", "u005"]
    assert whole.digest == Hub(spec, cache=tmp_path / "another").digest
