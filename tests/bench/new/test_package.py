"""What `bench new` writes: good Python under our own rules, whole or not at all, under a name that can be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.config import SubmissionCard, TaskCard, read_card
from bench.errors import BenchError
from bench.new import names, package

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[3]
NAME = "some_thing"


@pytest.fixture(params=package.KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def written(kind: str, tmp_path: Path) -> Path:
    package.write(kind, NAME, tmp_path)
    return tmp_path / NAME


def ruff(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "ruff", *arguments, "."]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr if done.returncode else ""


def test_it_passes_our_lint_and_its_own_and_is_typed_throughout(written: Path) -> None:
    ours = ("--config", str(ROOT / "pyproject.toml"))
    assert not ruff(written, "check", "--no-cache", *ours)
    assert not ruff(written, "format", "--check", "--no-cache", *ours)
    assert not ruff(written, "check", "--no-cache")
    assert not ruff(written, "check", "--no-cache", "--isolated", "--select", "ANN", "--ignore", "ANN401")


def test_nothing_of_a_template_is_left_in_it(written: Path) -> None:
    for path in (p for p in written.rglob("*") if p.is_file()):
        text = path.read_text("utf-8")
        assert "{{" not in text and "{%" not in text and "NAME" not in str(path.relative_to(written)), path


def test_its_entry_points_name_what_is_in_it(written: Path, kind: str) -> None:
    points = tomllib.loads((written / "pyproject.toml").read_text("utf-8"))["project"]["entry-points"]
    module, _, name = points[f"latentbench.{kind}s"][NAME].partition(":")
    source = (written / "src" / Path(*module.split("."))).with_suffix(".py").read_text("utf-8")
    assert f"\nclass {name}:" in source
    assert ("latentbench.cards" in points) == (kind == "submission")


def test_its_card_reads(tmp_path: Path) -> None:
    package.write("submission", "one", tmp_path)
    package.write("task", "other", tmp_path)
    assert read_card(tmp_path / "one/src/one/one.toml", SubmissionCard).plugin == "one"
    assert read_card(tmp_path / "other/src/other/task.toml", TaskCard).name == "other"


def test_the_same_name_gives_the_same_bytes(kind: str, written: Path, tmp_path: Path) -> None:
    again = package.write(kind, NAME, tmp_path / "again")
    for path in again:
        assert path.read_bytes() == (written / path.relative_to(tmp_path / "again" / NAME)).read_bytes()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("kind", "name", "why"),
    [
        ("submission", "Upper", "lower-case"),
        ("submission", "a-b", "lower-case"),
        ("submission", "a/../b", "lower-case"),
        ("submission", "1st", "lower-case"),
        ("submission", "", "lower-case"),
        ("submission", "ünï", "lower-case"),
        ("submission", "x" * 10_000, "lower-case"),
        ("submission", "lambda", "word of Python"),
        ("submission", "match", "word of Python"),
        ("submission", "rssm_v1", "a submission 'rssm_v1' is installed"),
        ("codec", "minicodec", "a codec 'minicodec' is installed"),
        ("dataset", "folder", "a dataset 'folder' is installed"),
        ("task", "delta_nll", "a task 'delta_nll' is installed"),
        ("task", "json", "Python package 'json' is installed"),
        ("task", "bench", "Python package 'bench' is installed"),
        ("task", "tests", "Python package 'tests' is installed"),
    ],
)
def test_a_name_that_cannot_be_is_refused_in_one_line(kind: str, name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=why) as refused:
        package.write(kind, name, tmp_path)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300
    assert list(tmp_path.iterdir()) == []


def test_a_plug_in_of_another_kind_does_not_take_the_name() -> None:
    names.check("codec", "rssm_v1")


def test_what_is_there_is_left_alone(tmp_path: Path, bench: Callable[..., tuple[int, str, str]]) -> None:
    (tmp_path / NAME).write_text("mine")
    code, _, err = bench("new", "task", NAME, "--into", tmp_path)
    assert code == 2 and "exists already" in err and err.count("\n") == 1
    assert (tmp_path / NAME).read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="cannot be written"):
        package.write("task", NAME, tmp_path / "file" / "below")


def test_it_loads_no_torch(tmp_path: Path) -> None:
    code = f"""
import sys
from bench.cli import main
sys.argv = ["bench", "new", "submission", "{NAME}", "--into", {str(tmp_path)!r}]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
sys.exit("torch was loaded" if "torch" in sys.modules else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "pip install" in done.stdout
