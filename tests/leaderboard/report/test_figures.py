"""What is drawn is what was measured: places are affine in the numbers, and the numbers are the records' aggregates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from bench.config import ColumnCard
from leaderboard.report.drawn.lines import spread
from tests.leaderboard.report.drawings import BITS, SVG, Affine, constant, drawn, number, path_through, points, tree

NATS = {"unit": "nats/frame", "shown": "bit/s", "headline": False, "better": "none", "ranked": False}
RATIO = {"unit": "1", "headline": False, "better": "none", "ranked": False, "decimals": 3}
HORIZONS = (80, 160, 320, 640)


def ar1_gain(a: float, k: int, dim: int = 32) -> float:
    """Of an AR(1) process, nats per frame."""
    return -0.5 * dim * math.log(1 - a ** (2 * k))


def ar1_rows(made: Any, stems: tuple[str, ...], task: str, nulls: bool = False) -> list[Any]:
    """Rows whose gains are those of AR(1) processes, and whose first horizon on permuted frames is half of it."""
    rows = []
    for a in (0.5, 0.8, 0.9):
        columns = {}
        for j, stem in enumerate(stems):
            for k, ms in zip((1, 2, 4, 8), HORIZONS, strict=True):
                card = made.column(f"{stem}_{ms}ms", f"{stem} {ms}", **NATS)
                columns[card] = constant(ar1_gain(a, k) / (j + 1))
            if nulls:
                columns[made.column(f"{stem}_null", f"{stem} null", **NATS)] = constant(ar1_gain(a, 1) / (j + 1) / 2)
        rows.append(made.make(f"ar{round(10 * a)}", {task: made.entry(columns)}))
    return rows


def test_gains_stand_at_their_height_over_their_horizon(made: Any) -> None:
    figure = drawn(ar1_rows(made, ("gain",), "delta_nll"))["gain-by-horizon"]
    found = points(figure)
    assert set(found) == {"ar5", "ar8", "ar9"} and all(len(places) == 4 for places in found.values())
    true = {f"ar{round(10 * a)}": [BITS * ar1_gain(a, k) for k in (1, 2, 4, 8)] for a in (0.5, 0.8, 0.9)}
    height = Affine((true["ar5"][0], true["ar9"][0]), (found["ar5"][0][1], found["ar9"][0][1]))
    width = Affine((math.log(80), math.log(640)), (found["ar5"][0][0], found["ar5"][-1][0]))
    assert height.slope < 0 < width.slope
    for name, places in found.items():
        for (x, y), ms, value in zip(places, HORIZONS, true[name], strict=True):
            assert (x, y) == pytest.approx((width(math.log(ms)), height(value)), abs=0.02)


def test_the_table_behind_has_the_records_aggregates(made: Any) -> None:
    rows = [made.make(name, made.planned_tasks(level)) for name, level in (("a", 1.0), ("b", 2.0))]
    figure = drawn(rows)["gain-by-horizon"]
    assert list(figure.headers) == ["row", *(f"ΔNLL, {ms} ms bit/s" for ms in HORIZONS)]
    records = {r.submission.name: r for r in rows}
    for name, *cells in figure.rows:
        for ms, cell in zip(HORIZONS, cells, strict=True):
            values = records[name].tasks["delta_nll"].columns[f"gain_{ms}ms"].values
            assert number(cell) == pytest.approx(BITS * np.mean(list(values.values())), abs=0.006)
    best = max(figure.rows, key=lambda row: number(row[1]))[0]
    assert f"({best})" in figure.alt and "2 rows" in figure.alt and "at 80 ms" in figure.alt


def test_direction_and_magnitude_stand_in_panels_of_their_own_with_their_nulls(made: Any) -> None:
    stems = ("direction_gain", "magnitude_gain")
    figure = drawn(ar1_rows(made, stems, "direction", nulls=True))["direction-and-magnitude"]
    for name, places in points(figure).items():
        a = int(name[2:]) / 10
        assert len(places) == 8, "four horizons in each panel"
        for j, panel in enumerate((places[:4], places[4:])):
            true = [BITS * ar1_gain(a, k) / (j + 1) for k in (1, 2, 4, 8)]
            height = Affine((true[0], true[3]), (panel[0][1], panel[3][1]))
            assert [y for _, y in panel] == pytest.approx([height(v) for v in true], abs=0.02)
    by_name = {row[0]: dict(zip(figure.headers, row, strict=True)) for row in figure.rows}
    assert number(by_name["ar9"]["direction, permuted frames bit/s"]) == pytest.approx(
        BITS * ar1_gain(0.9, 1) / 2, abs=0.006
    )


def test_cluster_ratios_stand_beside_the_reference_of_a_gaussian(made: Any) -> None:
    # a Gaussian of d equal variances, told in ln K nats, leaves K^(-2/d) of them
    d, cells = 8, (16, 64, 256)
    rows = []
    for name, power in (("a", 1.0), ("b", 0.5)):
        columns = {}
        for k in cells:
            for key in ("pooled", "learned"):
                columns[made.column(f"{key}_{k}", key, **RATIO)] = constant(k ** (-2 * power / d))
                columns[made.column(f"{key}_next_{k}", key, **RATIO)] = constant(0.5)
            columns[made.column(f"reference_{k}", "reference", **RATIO)] = constant(k ** (-2 / d))
        rows.append(made.make(name, {"clusters": made.entry(columns)}))
    figure = drawn(rows)["cluster-ratio"]
    places = points(figure)
    assert {name: len(found) for name, found in places.items()} == {"a": 6, "b": 6}, "without the next frame's"
    first, second = places["a"][:3], places["b"][:3]
    height = Affine((16 ** (-2 / d), 16 ** (-1 / d)), (first[0][1], second[0][1]))
    reference = [(x, height(k ** (-2 / d))) for (x, _), k in zip(first, cells, strict=True)]
    assert path_through(figure, reference), "the reference is drawn, once"
    assert figure.svg.count(">Gaussian reference<") == 1
    assert number(dict(zip(figure.headers, figure.rows[0], strict=True))["Gaussian reference, 64 cells"]) == (
        pytest.approx(64 ** (-2 / d), abs=5e-4)
    )


def rollout(made: Any, name: str, rate: float, **more: Any) -> Any:
    """A row whose gap tends to 10 nats as an AR(1) forgets."""
    curve = [{"ms": 80.0 * k, "value": 10 * (1 - rate**k), "low": 9 * (1 - rate**k), "high": 11 * (1 - rate**k)}
             for k in range(1, 17)]  # fmt: skip
    skill = [{"ms": 80.0 * k, "value": rate**k, "low": rate**k, "high": rate**k} for k in range(1, 17)]
    card = made.column("gap_sampled_160ms", "gap 160 ms", **(NATS | {"better": "lower"}))
    notes = {"curves": {"gap_sampled": curve, "es_skill": skill}}
    return made.make(name, {"rollout_gap": made.entry({card: constant(10 * (1 - rate**2))}, notes=notes)}, **more)


def test_rollout_error_is_the_noted_curve_in_the_tables_unit(made: Any) -> None:
    found = drawn([rollout(made, "a", 0.5), rollout(made, "b", 0.9)])
    places = points(found["rollout-gap"])
    height = Affine((5.0, 10 * (1 - 0.9**16)), (places["a"][0][1], places["b"][-1][1]))
    width = Affine((80, 1280), (places["a"][0][0], places["a"][-1][0]))
    for name, rate in (("a", 0.5), ("b", 0.9)):
        for k, (x, y) in enumerate(places[name], 1):
            assert (x, y) == pytest.approx((width(80 * k), height(10 * (1 - rate**k))), abs=0.02)
    table = {row[0]: row for row in found["rollout-gap"].rows}
    assert table["a"][1] == f"{5 * BITS:.1f} [{4.5 * BITS:.1f}, {5.5 * BITS:.1f}]"
    assert found["rollout-gap"].headers[2] == "160 ms bit/s"
    # a skill has no unit
    assert found["rollout-skill"].headers[1] == "80 ms" and found["rollout-skill"].rows[0][1] == "0.500 [0.500, 0.500]"


def test_rates_are_bits_a_second_and_distances_as_they_are(made: Any) -> None:
    budgets = [{"rate": 2.0 * q, "mel": 0.8 * 0.5**q, "mse": 0.1, "code_length": 1.9 * q} for q in range(5)]
    cards = [made.column(n, n, **NATS) for n in ("codec_rate", "point_rate")]
    cards.append(made.column("point_mel", "distance", **RATIO))
    rows = []
    for name, rate, mel in (("a", 3.0, 0.3), ("b", 5.0, 0.2)):
        columns = dict(zip(cards, map(constant, (4.0, rate, mel)), strict=True))
        notes = {"codec_curve": budgets, "own_curve": [{"rate": rate, "mel": mel, "mse": 0.1}]}
        rows.append(made.make(name, {"matched_rate": made.entry(columns, notes=notes)}))
    figure = drawn(rows)["rate-distortion"]
    places = points(figure)
    assert len(places["codes, as sent"]) == 5
    (x0, y0), (x1, y1) = places["codes, as sent"][0], places["codes, as sent"][-1]
    width, height = Affine((0, 8), (x0, x1)), Affine((0.8, 0.05), (y0, y1))
    for name, true in (
        ("a", [(3.0, 0.3)]),
        ("b", [(5.0, 0.2)]),
        ("codes, coded", [(1.9 * q, 0.8 * 0.5**q) for q in range(5)]),
    ):
        wanted = [coordinate for rate, mel in true for coordinate in (width(rate), height(mel))]
        assert [coordinate for place in places[name] for coordinate in place] == pytest.approx(wanted, abs=0.02)
    assert ["a", f"{3 * BITS:.1f}", "0.300"] in [list(row) for row in figure.rows]
    assert ["codes, as sent", f"{8 * BITS:.1f}", "0.050"] in [list(row) for row in figure.rows]


def swept(made: Any, name: str, points: list[tuple[float, float]], **more: Any) -> Any:
    notes = {
        "points": [{"settings": f"s = {i}", "gflops": c, "quality": q} for i, (c, q) in enumerate(points)],
        "target": {"quality": "kad", "floor": 400.0, "ceiling": 5.0, "value": 44.5},
    }
    card = made.column("gflops", "cost", unit="GFLOP/s", better="lower", headline=False)
    entry = made.entry({card: constant(points[0][0])}, notes=notes)
    return made.make(name, {"cost_at_quality": entry}, suite="generation", **more)


def test_the_frontier_joins_what_no_cheaper_setting_reaches(made: Any) -> None:
    rows = [swept(made, "a", [(0.01, 100), (0.02, 200), (0.04, 50)]), swept(made, "b", [(0.03, 20)])]
    figure = drawn([*rows, swept(made, "c", [(0.001, 1)], control="floor")])["quality-cost"]
    on = {(row[0], row[2]): row[4] for row in figure.rows}
    assert on == {("a", "0.0100"): "yes", ("a", "0.0200"): "", ("a", "0.0400"): "yes", ("b", "0.0300"): "yes"}
    places = points(figure)
    assert {name: len(found) for name, found in places.items()} == {"a": 2, "b": 1}, "controls are no models"
    width = Affine((math.log(0.01), math.log(0.04)), [x for x, _ in places["a"]])
    height = Affine((math.log(100), math.log(50)), [y for _, y in places["a"]])
    assert places["b"][0] == pytest.approx((width(math.log(0.03)), height(math.log(20))), abs=0.02)
    assert "The best kad is 20, of b" in figure.alt


def test_controls_are_dashed_and_hollow(made: Any) -> None:
    rows = [rollout(made, "a", 0.5), rollout(made, "c", 0.4, control="floor")]
    figure = drawn(rows)["rollout-gap"]
    dashes = {
        group.get("data-series"): any("stroke-dasharray" in path.attrib for path in group.iter(f"{SVG}path"))
        for group in tree(figure).iter(f"{SVG}g")
        if group.get("data-series")
    }
    assert dashes == {"a": False, "c": True}
    assert "Controls are dashed." in figure.caption


def test_a_control_far_off_does_not_press_the_models_flat(made: Any) -> None:
    rows = [rollout(made, "a", 0.5), rollout(made, "b", 0.9)]
    # a skill of (−1.5)^k swings to hundreds, a gap of 1 − 0.4^k lies among the models'
    wild, tame = (rollout(made, n, rate, control="floor") for n, rate in (("wild", -1.5), ("tame", 0.4)))
    figure = drawn([*rows, wild, tame])["rollout-skill"]
    assert set(points(figure)) == {"a", "b", "tame"} and {row[0] for row in figure.rows} == {"a", "b", "tame", "wild"}
    assert figure.caption.endswith("Too far off to be drawn: wild.")


def test_what_does_not_fit_into_a_figure_is_in_its_table(made: Any) -> None:
    rows = [rollout(made, f"m{i:02d}", 0.3 + i / 100) for i in range(30)]
    figure = drawn([*rows, rollout(made, "floor", 0.1, control="floor")])["rollout-gap"]
    assert len(points(figure)) == 20 and "floor" in points(figure)
    assert len(figure.rows) == 31 and "11 further rows are in the table below alone." in figure.caption


def test_names_never_lie_on_each_other_and_move_as_little_as_can_be() -> None:
    from sklearn.isotonic import IsotonicRegression

    rng = np.random.default_rng(0)
    for _ in range(50):
        wanted = np.sort(rng.uniform(0.3, 0.7, 12))
        found = np.array(spread(wanted.tolist(), 0.03))
        assert (np.diff(found) >= 0.03 - 1e-5).all() and found.min() >= 0 and found.max() <= 1
        steps = 0.03 * np.arange(12)
        other = IsotonicRegression().fit_transform(np.arange(12), wanted - steps) + steps
        assert found == pytest.approx(other, abs=1e-5)
    assert spread([0.1, 0.5, 0.9], 0.1) == [0.1, 0.5, 0.9]
    assert spread([0.99, 0.99], 0.1) == [0.9, 1.0], "inside the axes"


def test_codecs_are_drawn_where_their_board_measured_both(made: Any) -> None:
    rows = []
    for codec, gain, mel in (("near", 9.0, 0.1), ("far", 5.0, 0.4)):
        cards = [ColumnCard(name=n, title=n, **NATS) for n in ("gain_80ms", "order_80ms")]  # type: ignore[arg-type]
        mel_card = ColumnCard(name="mel", title="log-mel", **RATIO)  # type: ignore[arg-type]
        columns = dict(zip([*cards, mel_card], map(constant, (gain, gain / 2, mel)), strict=True))
        rows.append(
            made.make("codec_itself", {"codec_predictability": made.entry(columns)}, codec=codec, suite="codecs")
        )
    found = drawn(rows)
    assert list(found) == ["predictability-fidelity"], "one horizon is no line"
    by_name = {row[0]: row for row in found["predictability-fidelity"].rows}
    assert number(by_name["near"][1]) == pytest.approx(9 * BITS, abs=0.006)
    assert f"near with {9 * BITS:.4g} bit/s" in found["predictability-fidelity"].alt
