"""The door of the metrics that need more: what is missing, what was changed, what cannot be scored."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from bench.cache import file_digest
from bench.errors import BenchError, DataError
from bench.metrics.distortion import RATE, Unscorable
from bench.metrics.needed import checked, imported, model_file


def test_a_missing_package_says_how_to_install_it() -> None:
    with (
        pytest.raises(BenchError, match=r"pitch needs nowhere: pip install 'latentbench\[quality\]'$"),
        imported("pitch", "nowhere"),
    ):
        __import__("a_package_that_is_nowhere")
    with pytest.raises(BenchError, match="and pip install --no-deps nowhere==1"):
        model_file("voices", "a_package_that_is_nowhere", "model.pt", "", "nowhere==1")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a_package_of_models"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise RuntimeError('never imported')")
    (folder / "model.pt").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_a_model_is_the_pinned_one_and_its_package_is_not_imported(package: Path) -> None:
    sha256 = hashlib.sha256(b"weights").hexdigest()
    assert model_file("a metric", package.name, "model.pt", sha256) == package / "model.pt"
    assert file_digest(package / "model.pt") == sha256
    with pytest.raises(DataError, match=f"has sha256 {sha256[:16]}…, expected 0000"):
        model_file("a metric", package.name, "model.pt", "0" * 64)
    with pytest.raises(DataError, match=r"expected other\.pt in the package"):
        model_file("a metric", package.name, "other.pt", sha256)


def test_audio_that_cannot_be_scored() -> None:
    good = np.ones(RATE, np.float32)
    assert checked("a metric", good, 1.0).dtype == np.float64
    for bad, reason in (
        (good[:-1], "a metric: needs at least 1 s, got 1.000 s"),
        (np.zeros(RATE), "a metric: silent"),
        (np.where(np.arange(RATE) == 5, np.nan, good), "not finite"),
    ):
        with pytest.raises(Unscorable, match=reason):
            checked("a metric", bad, 1.0)
    with pytest.raises(ValueError, match=r"expected audio \(N,\), got \(1, 16000\)"):
        checked("a metric", good[None], 1.0)
