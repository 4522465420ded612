"""Waveforms come back from a folder as they were, and a folder that is not whole says so."""

import json

import numpy as np
import pytest

from bench.errors import DataError, PluginError, RecordError
from bench.outputs import MANIFEST, as_float, keep, load, quantised, waveform_digest


@pytest.fixture
def outputs():
    rng = np.random.default_rng(0)
    return {mode: {i: quantised(rng.uniform(-1, 1, 700), mode) for i in ("a", "b/../c")} for mode in ("one", "two")}


def test_what_is_kept_comes_back(outputs, tmp_path) -> None:
    keep(tmp_path, outputs, 16_000, {"row": "x"})
    kept = load(tmp_path)
    assert kept.rate == 16_000 and kept.about == {"row": "x"} and set(kept.outputs) == {"one", "two"}
    for mode, waveforms in outputs.items():
        for name, waveform in waveforms.items():
            assert np.array_equal(kept.outputs[mode][name], waveform)
    # a hostile id stays inside the folder
    assert all(path.is_relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.flac"))
    assert len(list(tmp_path.rglob("*.flac"))) == 4


def test_sixteen_bits_hold_a_waveform_to_half_a_step_and_clip_what_is_beyond() -> None:
    audio = np.array([0.0, 0.123456, -1.0, 1.0, 3.0, -2.0])
    back = as_float(quantised(audio, "x"))
    assert np.abs(back[:4] - audio[:4]).max() <= 0.5 / 32767 + 1e-12
    assert back[4:].tolist() == [1.0, -1.0]
    with pytest.raises(PluginError, match="x: expected finite audio, got 2 samples that are not"):
        quantised([0.0, np.nan, np.inf], "x")


def test_the_digest_is_of_samples(outputs) -> None:
    waveform = outputs["one"]["a"]
    assert waveform_digest(waveform) == waveform_digest(waveform.copy())
    other = waveform.copy()
    other[3] += 1
    assert waveform_digest(waveform) != waveform_digest(other)


def test_a_folder_that_is_not_whole_says_what_is_wrong(outputs, tmp_path) -> None:
    with pytest.raises(RecordError, match="No such file"):
        load(tmp_path)
    keep(tmp_path, outputs, 16_000, {})
    victim = tmp_path / "one" / "a.flac"
    victim.unlink()
    with pytest.raises(DataError, match=r"a\.flac"):
        load(tmp_path)
    keep(tmp_path, {"one": {"a": outputs["two"]["a"]}}, 16_000, {})
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    manifest["files"]["one/a.flac"]["sha256"] = "0" * 64
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="not the samples that the manifest tells of"):
        load(tmp_path)
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(RecordError, match="not a manifest"):
        load(tmp_path)
