"""Figures inside a page: no clash, no style that leaks, no name that does something, none of nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.errors import BenchError, RecordError
from leaderboard.board import boards
from leaderboard.report.curves import Curve, of_board, read
from leaderboard.report.drawn.ink import DARK, LIGHT
from leaderboard.report.figure import Figure
from leaderboard.report.figures import figures
from leaderboard.store import committed_folder, read_rows
from leaderboard.view import task_views
from tests.browser import chromium
from tests.leaderboard.report.drawings import Affine, board_of, curve, drawn, points, tree

HOSTILE = (
    "<script>alert(1)</script>",
    r"$\frac{",
    '"&\'><svg onload="alert(1)">]]>',
    "\u202eabc \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u65e5\u672c",
    "x" * 10_000,
    "a\x00\x1b[31mb\nc",
)


@pytest.fixture(scope="module")
def committed() -> list[list[Figure]]:
    """All figures of every committed board, with the curves beside the records."""
    rows = read_rows(committed_folder())
    return [
        figures(board, task_views(board, wide=True), of_board(board, committed_folder())[0]) for board in boards(rows)
    ]


def test_the_committed_records_allow_every_kind_that_they_measured(committed: list[list[Figure]]) -> None:
    names = {figure.name for board in committed for figure in board}
    kinds = {"gain-by-horizon", "rollout-gap", "rollout-skill", "rate-distortion", "quality-cost"}
    assert names >= kinds | {"predictability-fidelity", "direction-and-magnitude", "fits"}
    for board in committed:
        assert len({figure.name for figure in board}) == len(board)
        for figure in board:
            assert all(len(row) == len(figure.headers) for row in figure.rows) and figure.rows
            assert figure.title and figure.caption.endswith(".") and len(figure.alt) > 30


def test_committed_curves_are_of_the_committed_fits() -> None:
    found = [of_board(board, committed_folder()) for board in boards(read_rows(committed_folder()))]
    assert all(not faults for _, faults in found) and sum(len(curves) for curves, _ in found) >= 20


def test_ids_are_unique_over_figures_and_boards_and_all_references_hold(committed: list[list[Figure]]) -> None:
    every = [figure for board in committed for figure in board]
    ids = [element.get("id") for figure in every for element in tree(figure).iter() if element.get("id")]
    assert len(ids) == len(set(ids)) > 20
    for figure in every:
        own = {element.get("id") for element in tree(figure).iter()}
        used = set(re.findall(r"url\(#([^)]+)\)", figure.svg)) | set(re.findall(r'href="#([^"]+)"', figure.svg))
        assert used == own - {None}, "what is named is there, and what is there is needed"


def test_nothing_of_a_figure_reaches_its_page(committed: list[list[Figure]]) -> None:
    paint = re.compile(r"none|var\(--(fg|grid|c\d), #[0-9a-f]{6}\)")
    for figure in (figure for board in committed for figure in board):
        root = tree(figure)
        assert root.get("width") == "100%" and "height" not in root.attrib and root.get("viewBox")
        assert root.get("role") == "img" and root.get("aria-label") == figure.alt
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags <= {"svg", "g", "defs", "clipPath", "path", "use", "rect", "text"}
        for element in root.iter():
            assert not {"style", "class"} & element.attrib.keys()
            assert not any(name.startswith("on") for name in element.attrib)
            for name in ("fill", "stroke"):
                assert paint.fullmatch(element.get(name, "none")), (figure.name, element.attrib)
        assert not figure.svg.startswith("<?xml") and "DOCTYPE" not in figure.svg


def test_the_same_records_give_the_same_bytes(made: Any) -> None:
    rows = [made.make(name, made.planned_tasks(level)) for name, level in (("a", 1.0), ("b", 2.0))]
    first, again = drawn(rows), drawn(rows[::-1])
    assert first and {n: f.svg for n, f in first.items()} == {n: f.svg for n, f in again.items()}


def test_hostile_names_are_text_and_nothing_else(made: Any) -> None:
    rows = [made.make(name, made.planned_tasks(i + 1.0, seed=i)) for i, name in enumerate(HOSTILE)]
    board = board_of(rows)
    curves = {row.name: Curve.model_validate(curve([3.0, 2.0, 1.0])) for row in board.rows}
    found = drawn(rows, curves)
    assert {"gain-by-horizon", "fits"} <= set(found)
    for figure in found.values():
        root = tree(figure)
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert not tags & {"script", "style", "foreignObject", "a", "image"}
        texts = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("text")]
        assert any("<script>" in text for text in texts), "shown as it is"
        assert any(r"$\frac{" in text for text in texts)
        assert max(map(len, texts)) < 60 and "\x1b" not in figure.svg and len(figure.svg) < 200_000
        assert {row[0] for row in figure.rows} == set(HOSTILE), "the table has whole names, for the page to escape"


@pytest.mark.parametrize(
    "task",
    [
        {"rollout_gap": {"notes": {"curves": {"gap_sampled": [{"ms": "x"}], "es_skill": 3}}}},
        {"rollout_gap": {"notes": {"curves": [1, 2]}}},
        {"matched_rate": {"notes": {"codec_curve": "none", "own_curve": [{"rate": -1.0, "mel": 0.1}]}}},
        {"cost_at_quality": {"notes": {"points": [{"gflops": 0.0, "quality": 1.0}], "target": {}}}},
        {"cost_at_quality": {"notes": {"points": {"a": 1}}}},
        {"delta_nll": {"status": "failed", "reason": "it broke"}},
        {"clusters": {"status": "skipped", "reason": "needs represent"}},
    ],
)
def test_nothing_is_drawn_where_nothing_was_measured(made: Any, task: dict[str, Any]) -> None:
    assert drawn([made.make("a", {name: made.entry(**more) for name, more in task.items()})]) == {}


def test_without_matplotlib_it_says_what_to_install(made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BenchError, match=r"pip install 'latentbench\[figures\]'"):
        drawn([made.make()])


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize(("colors", "ground"), [(LIGHT, "#ffffff"), (DARK, "#1b1f24")])
def test_lines_stand_out_from_the_page(colors: dict[str, str], ground: str) -> None:
    for name, color in colors.items():
        lighter, darker = sorted((luminance(color), luminance(ground)), reverse=True)
        least = 1.2 if name == "grid" else 7 if name == "fg" else 3
        assert (lighter + 0.05) / (darker + 0.05) >= least, name


# --- curves of fits ----------------------------------------------------------------------------------------


def test_a_fits_losses_stand_where_its_file_has_them(made: Any, tmp_path: Path) -> None:
    rows = [made.make(name, made.planned_tasks()) for name in ("a", "b", "c", "d")]
    folder = tmp_path / "curves"
    folder.mkdir()
    valid = [(4, 7.0), (8, 5.0), (12, 6.0)]
    given = {"a": curve([20.0 - i for i in range(12)], valid=valid), "b": curve([1.0, 2.0], weights="w9")}
    for record in rows[:2]:
        (folder / record.filename).write_text(json.dumps(given[record.submission.name]))
    (folder / rows[2].filename).write_text('{"schema_version": 1, "series": [{"name": "loss", "steps": [1]}]}')
    found, faults = of_board(board_of(rows), tmp_path)
    assert set(found) == {"a"} and set(faults) == {"b", "c"}, "a missing file is no fault"
    assert "of other weights" in faults["b"] and "not a curve" in faults["c"]
    figure = drawn(rows, found)["fits"]
    places = points(figure)["a"]
    height, width = Affine((7, 5), [y for _, y in places[:2]]), Affine((4, 8), [x for x, _ in places[:2]])
    assert places[2] == pytest.approx((width(12), height(6)), abs=0.02)
    # the training loss at the step of a validation
    assert [list(row) for row in figure.rows] == [
        ["a", "4", "17.000", "7.000"],
        ["a", "8", "13.000", "5.000"],
        ["a", "12", "9.000", "6.000"],
    ]
    assert "least validation loss 5 at step 8" in figure.alt
    assert "fits" not in drawn(rows)


def test_a_curve_of_a_newer_schema_or_without_numbers_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for text in ("", "[]", json.dumps(curve([1.0]) | {"schema_version": 2}), '{"series": NaN}'):
        path.write_text(text)
        with pytest.raises(RecordError, match=r"x\.json: not a curve"):
            read(path)
    with pytest.raises(RecordError, match="No such file"):
        read(tmp_path / "none.json")


# --- in a browser ------------------------------------------------------------------------------------------


def test_a_browser_takes_the_pages_colours_and_refuses_nothing(made: Any, committed: list[list[Figure]]) -> None:
    css = (
        ":root{--fg:#010203;--grid:#040506;" + "".join(f"--c{i}:#0a0b0{i};" for i in range(10)) + "} svg{display:block}"
    )
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'"
    hostile = drawn([made.make(name, made.planned_tasks(), suite="hostile") for name in HOSTILE]).values()
    body = "".join(figure.svg for board in (*committed, hostile) for figure in board)
    page = f'<!doctype html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">'
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 700, "height": 500})
        said: list[str] = []
        tab.on("console", lambda message: said.append(message.text))
        tab.set_content(f"{page}<style>{css}</style><body>{body}</body>")
        paints = tab.evaluate(
            "[...new Set([...document.querySelectorAll('svg path, svg use, svg text')]"
            ".flatMap(e => [getComputedStyle(e).stroke, getComputedStyle(e).fill]))]"
        )
        beside = tab.evaluate(
            "[...document.body.querySelectorAll('script, :not(svg):not(svg *)')].map(e => e.outerHTML)"
        )
        widths = tab.evaluate("[...document.querySelectorAll('svg')].map(e => e.getBoundingClientRect().width)")
    assert said == [], "nothing that the policy refuses"
    assert beside == [], "names make no elements"
    allowed = {"none", "rgb(1, 2, 3)", "rgb(4, 5, 6)", *(f"rgb(10, 11, {i})" for i in range(10))}
    assert set(paints) - {"rgb(0, 0, 0)"} <= allowed, "the page's colours, and none of the fallbacks"
    assert len(set(paints) & allowed) > 8
    assert max(widths) <= 700 and min(widths) > 600
