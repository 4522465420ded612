"""What a wheel holds, and that it works from a directory that is not the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bench", "tasks", "baselines", "leaderboard", "submissions")
SYNTHSPEECH = "bench/datasets/data/synthspeech"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs. Built from a copy, so that the checkout stays as it is."""
    source, wheels, target = (tmp_path_factory.mktemp(name) for name in ("source", "wheels", "installed"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--wheel-dir", str(wheels), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = wheels.glob("latentbench-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def run_python(code: str, installed: Path, elsewhere: Path) -> str:
    """What `code` prints when only the wheel's files are importable as ours."""
    environment = {**os.environ, "PYTHONPATH": str(installed), "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=elsewhere, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def names(folder: Path, pattern: str) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.glob(pattern)}


def test_holds_our_packages_and_nothing_else(installed: Path) -> None:
    tops = {p.name for p in installed.iterdir()}
    assert {t for t in tops if not t.endswith(".dist-info")} == set(PACKAGES)


@pytest.mark.parametrize(
    "pattern",
    [
        "*/**/*.py",
        "bench/codecs/weights/*",
        "bench/datasets/data/**/*.*",
        "bench/new/templates/**/*.jinja",
        "leaderboard/*.toml",
        "leaderboard/records/*.json",
        "leaderboard/records/curves/*.json",
        "leaderboard/report/static/*",
        "leaderboard/report/templates/*",
        "submissions/*.toml",
        "tasks/*.toml",
        "tasks/suites/*.toml",
        "tasks/suites/noise/*.toml",
        "*/py.typed",
    ],
)
def test_holds_every_file_of_a_kind(installed: Path, pattern: str) -> None:
    ours = {n for n in names(ROOT, pattern) if n.startswith(tuple(f"{p}/" for p in PACKAGES))}
    assert ours
    assert ours <= names(installed, pattern)


def test_holds_the_audio_of_every_line_of_the_manifest(installed: Path) -> None:
    lines = (installed / SYNTHSPEECH / "manifest.tsv").read_text("utf-8").splitlines()[1:]
    listed = {line.split("\t")[0] for line in lines}
    assert len(listed) == len(lines) > 0
    assert {p.stem for p in (installed / SYNTHSPEECH / "audio").glob("*.ogg")} == listed


def test_holds_the_licence(installed: Path) -> None:
    (licence,) = installed.glob("*.dist-info/licenses/LICENSE")
    assert licence.read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_every_entry_point_loads(installed: Path, tmp_path: Path) -> None:
    code = """
from importlib.metadata import distribution
points = [p for p in distribution("latentbench").entry_points]
for point in points:
    point.load()
print(len(points))
"""
    assert int(run_python(code, installed, tmp_path)) >= len(PACKAGES)


def test_works_from_another_directory(installed: Path, tmp_path: Path) -> None:
    code = """
import sys
import bench
from bench.cli import main
print(bench.__file__)
sys.argv = ["bench", "list"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    out = run_python(code, installed, tmp_path)
    assert out.splitlines()[0] == str(installed / "bench" / "__init__.py")
    for name in ("rssm_v1", "raw_ar_v1", "minicodec", "synthspeech", "delta_nll", "mini", "quick"):
        assert name in out
