"""The figures of the documentation: one that is cheap drawn again and read, the others there and whole."""

from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from bench.calibration.var1 import VAR1
from tests import modules

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return modules.script("draw_figures")


def test_what_is_measured_lies_on_the_closed_forms(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    coefficients = (0.0, 0.5, 0.9)
    monkeypatch.setattr(script, "COEFFICIENTS", coefficients)
    axes = Figure().subplots()
    script.ar1_sweep(axes)
    for container, metric in zip(axes.containers, ("gain", "increment_gain"), strict=True):
        points = container.lines[0]
        assert list(points.get_xdata()) == list(coefficients)
        truths = [VAR1.isotropic(a, 1).truth(metric, k=1) for a in coefficients]
        assert list(points.get_ydata()) == pytest.approx(truths, abs=0.02)


def test_the_same_figure_has_the_same_bytes(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(script, "COEFFICIENTS", (0.5,))
    made = [tmp_path / name for name in ("one.svg", "two.svg")]
    for path in made:
        script.draw("ar1_sweep", path)
    assert made[0].read_bytes() == made[1].read_bytes()


def test_every_figure_is_committed_and_shown(script: ModuleType) -> None:
    pages = "".join(p.read_text(encoding="utf-8") for p in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    committed = {path.stem for path in (ROOT / "docs" / "figures").glob("*.svg")}
    # three more are drawn from what was measured: by `benchmarks.pressure`, `bench codecs` and `bench heard`
    assert committed == {*script.FIGURES, "rate_distortion", "codecs", "generation"}
    for name in committed:
        assert ElementTree.parse(ROOT / "docs" / "figures" / f"{name}.svg").getroot().tag.endswith("svg")
        assert f"figures/{name}.svg" in pages
