"""Finding weights, missing packages, taps, and torchaudio without its extension."""

from __future__ import annotations

import hashlib
import importlib.util
import math
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench import registry
from bench.codecs import taps
from bench.codecs.weights_of import Source, entries, locate, undisturbed
from bench.errors import BenchError, DataError
from tests.bench.codecs.packaged import generators_untouched

ROOT = Path(__file__).parents[3]
PACKAGES = {
    "dac16": ("descript-audio-codec", "dac.model"),
    "dac24": ("descript-audio-codec", "dac.model"),
    "dac44": ("descript-audio-codec", "dac.model"),
    "encodec24": ("encodec", "encodec"),
    "encodec48": ("encodec", "encodec"),
    "mimi": ("moshi", "moshi.models"),
    "mimi_vae32": ("pocket-tts", "pocket_tts.models"),
}
DAC = ("descript-audio-codec", "descript-audiotools")
ALONE = {"dac16": DAC, "dac24": DAC, "dac44": DAC, "mimi": ("moshi",), "mimi_vae32": ("pocket-tts",)}


@pytest.mark.parametrize("name", PACKAGES)
def test_a_missing_package_names_the_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package, module = PACKAGES[name]
    monkeypatch.setitem(sys.modules, module, None)
    pins = (ROOT / "requirements-nodeps.txt").read_text("utf-8").splitlines()
    alone = [pin for pin in pins if pin.partition("==")[0] in ALONE.get(name, ())]
    for argument in ("", ":random"):
        with pytest.raises(BenchError) as raised:
            registry.build("codecs", name + argument)
        then = f" and pip install --no-deps {' '.join(alone)}" if alone else ""
        assert str(raised.value) == f"codec {name} needs {package}: pip install 'latentbench[codecs]'{then}"


def test_to_load_the_plugins_imports_no_package() -> None:
    code = f"""
import sys
from bench import registry
for name in {sorted(PACKAGES)}:
    registry.load("codecs", name)
sys.exit(", ".join({{"dac", "encodec", "moshi", "pocket_tts", "torchaudio"}} & set(sys.modules)) or 0)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=120).returncode == 0


def test_the_published_file_is_found_fetched_and_held_against_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    served = tmp_path / "served.bin"
    served.write_bytes(b"weights")
    source = Source(file="kept.bin", sha256=None, url=served.as_uri(), folder=".cache/there")
    path, digest = locate("it", "", source)
    assert path == tmp_path / "home/.cache/there/kept.bin" and path.read_bytes() == b"weights"
    assert digest == hashlib.sha256(b"weights").hexdigest()
    served.unlink()
    assert locate("it", "", Source("kept.bin", digest[:8], url=source.url, folder=source.folder)) == (path, digest)
    with pytest.raises(DataError, match=r"^codec it: .*kept\.bin has sha256 .*, expected ffff…; delete it, or say it:"):
        locate("it", "", Source("kept.bin", "ffff", url=source.url, folder=source.folder))
    path.unlink()
    with pytest.raises(DataError, match=r"is not here and cannot be fetched \(URLError\); say it:PATH"):
        locate("it", "", source)
    assert not path.exists()


def test_the_hub_is_asked_for_the_pinned_revision_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    asked = []

    def download(repository: str, file: str, revision: str, local_files_only: bool = False) -> str:
        asked.append((repository, file, revision, local_files_only))
        if local_files_only:
            raise hub.errors.LocalEntryNotFoundError("not cached")
        (tmp_path / "f").write_bytes(b"")
        return str(tmp_path / "f")

    def unknown(*args: object) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(hub, "hf_hub_download", download)
    monkeypatch.setattr("bench.codecs.weights_of.getproxies", dict)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(
        DataError, match=r"^codec it: f of who/what@r1 is not here and cannot be fetched \(gaierror\); say"
    ):
        locate("it", "", Source("f", None, "who/what", "r1"))
    assert asked == [("who/what", "f", "r1", True)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args: [])
    assert locate("it", "", Source("f", None, "who/what", "r1"))[0] == tmp_path / "f"
    assert asked[1:] == [("who/what", "f", "r1", True), ("who/what", "f", "r1", False)]


def test_taps_by_name() -> None:
    assert taps.read("it", "", ["continuous"], 0).of("it") == "it"
    assert taps.read("it", "rvq12", ["continuous"], 12).of("it") == "it@rvq12"
    with pytest.raises(DataError, match=r"^codec it: no tap 'rvq1'; there are: continuous$"):
        taps.read("it", "rvq1", ["continuous"], 0)


def test_building_leaves_the_process_alone() -> None:
    with generators_untouched():
        with undisturbed():
            one = torch.rand(3)
            torch.set_num_threads(torch.get_num_threads() + 1)
        with undisturbed():
            assert torch.equal(one, torch.rand(3))


def test_untrained_codebooks_take_off_what_the_formula_says_and_are_found_again() -> None:
    x = 3.0 + torch.randn(4000, 128, generator=torch.Generator().manual_seed(1))
    books = list(entries(x, 8, 1024, torch.Generator().manual_seed(2)))

    def coded(residual: Tensor) -> tuple[Tensor, list[Tensor]]:
        codes = []
        for book in books:
            codes.append(torch.cdist(residual, book).argmin(-1))
            residual = residual - book[codes[-1]]
        return residual, codes

    first = x - books[0][torch.cdist(x, books[0]).argmin(-1)]
    assert float(first.square().mean() / x.var()) == pytest.approx(1.0 - 2.0 * math.log(1024) / 128, abs=0.05)
    left, codes = coded(x)
    assert float(left.square().mean() / x.var()) < 0.7
    assert all(torch.equal(a, b) for a, b in zip(codes, coded(x - left)[1], strict=True))


def test_torchaudio_imports_where_its_extension_does_not_load() -> None:
    if importlib.util.find_spec("torchaudio") is None:
        pytest.skip("torchaudio is in the extra codecs")
    code = """
import sys
import torch
def load(path):
    raise OSError("libc10_cuda.so")
torch.ops.load_library = load
from bench.codecs.torchaudio_import import import_torchaudio
import_torchaudio()
import torchaudio
assert torchaudio.functional.resample(torch.zeros(1, 480), 48000, 24000).shape == (1, 240)
try:
    torchaudio.functional.forced_align(torch.zeros(1, 3, 2), torch.ones(1, 1, dtype=torch.int32))
except RuntimeError as error:
    assert "compiled extension" in str(error), error
    sys.exit(0)
sys.exit(1)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
