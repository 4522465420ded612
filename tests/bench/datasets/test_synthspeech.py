"""The embedded corpus as a plug-in: what it promises, and that a damaged copy is noticed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.contract import Utterance
from bench.datasets.synthspeech import ROOT, SynthSpeech
from bench.errors import DataError


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The corpus with the audio of its first test utterance only."""
    (tmp_path / "audio").mkdir()
    for name in ("manifest.tsv", "grammar.jsgf", f"audio/{SynthSpeech().utterances('test')[0].id}.ogg"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def test_splits_and_their_speakers() -> None:
    data = SynthSpeech("")
    train, valid, test = ({u.speaker for u in data.utterances(s)} for s in ("train", "valid", "test"))
    assert train == valid
    assert train < test
    assert test - train == {"rms-bright", "slt-deep"}
    assert data.speakers_known
    assert not data.refused
    assert data.grammar is not None
    assert all(u.text for u in data.utterances("test"))


def test_audio() -> None:
    data = SynthSpeech()
    utterance = data.utterances("test")[0]
    native, up = data.audio(utterance, 16_000), data.audio(utterance, 24_000)
    samples = next(
        row.split("\t")[4] for row in (ROOT / "manifest.tsv").read_text().splitlines() if row.startswith(utterance.id)
    )
    assert native.dtype == np.float32
    assert len(native) == int(samples)
    assert abs(len(up) - 1.5 * len(native)) <= 1
    assert np.abs(native).max() <= 1.0


def test_the_digest_covers_manifest_and_grammar(copy: Path) -> None:
    first = SynthSpeech(root=copy).digest
    assert first == SynthSpeech().digest
    (copy / "grammar.jsgf").write_text("#JSGF V1.0;\n")
    assert SynthSpeech(root=copy).digest != first


def test_a_cut_or_missing_file_is_an_error(copy: Path) -> None:
    data = SynthSpeech(root=copy)
    first, second = data.utterances("test")[:2]
    assert len(data.audio(first, 16_000))
    path = copy / "audio" / f"{first.id}.ogg"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match="was changed or cut"):
        data.audio(first, 16_000)
    with pytest.raises(DataError, match="No such file"):
        data.audio(second, 16_000)
    with pytest.raises(DataError, match="no utterance 'x'"):
        data.audio(Utterance("x", "x", "test"), 16_000)


def test_bad_arguments_and_manifests(copy: Path) -> None:
    with pytest.raises(DataError, match="synthspeech: expected no argument, got 'x'"):
        SynthSpeech("x")
    manifest = copy / "manifest.tsv"
    text = manifest.read_text()
    manifest.write_text(text.replace("\tvalid\t", "\tdev\t"))
    with pytest.raises(DataError, match="line 592: expected 6 columns and a split"):
        SynthSpeech(root=copy)
    manifest.write_text("")
    with pytest.raises(DataError, match="expected the header"):
        SynthSpeech(root=copy)
    manifest.unlink()
    with pytest.raises(DataError, match="reinstall"):
        SynthSpeech(root=copy)
