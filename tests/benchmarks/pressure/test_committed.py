"""The committed document says what the committed JSON says."""

from pathlib import Path

import pytest

from bench.markers import between
from benchmarks.pressure import document, figure
from benchmarks.pressure.__main__ import DOCS, main
from benchmarks.pressure.summary import Results
from benchmarks.pressure.train import VARIANTS


@pytest.fixture(scope="module")
def results() -> Results:
    return Results.read(DOCS / "rate_distortion.json")


def test_tables_are_those_of_the_json(results: Results) -> None:
    page = (DOCS / "rate_distortion.md").read_text(encoding="utf-8")
    for name, text in document.blocks(results).items():
        assert between(page, name, text) == page, f"python -m benchmarks.pressure --report ({name})"


def test_every_variant_was_run_on_both_corpora_and_reached_the_target(results: Results) -> None:
    assert results.variants == list(VARIANTS)
    assert results.corpora == ["synthspeech", "librispeech"]
    for run in results.content["runs"]:
        assert run["curve"][-1][0] == 1000
        for corpus in results.corpora:
            assert "matched_reason" not in run["corpora"][corpus]
            mel = results.mean(run["variant"], corpus, "matched_mel")
            assert mel is not None and mel.value == pytest.approx(results.target(corpus), rel=0.004)


def test_bottlenecks_of_the_json_are_those_of_the_code(results: Results) -> None:
    for name, bottleneck in VARIANTS.items():
        assert results.content["variants"][name]["bottleneck"] == repr(bottleneck)


def test_the_figure_can_be_drawn_again(results: Results, tmp_path: Path) -> None:
    figure.draw(results, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_misuse_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--report", "--json", str(tmp_path / "none.json")])
    assert stop.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
