"""The noise of seeds against its closed form on simulated replicates, and which replicates count."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from bench.errors import RecordError
from bench.record import Record
from leaderboard.gate.noise import ColumnNoise
from leaderboard.gate.replicates import calibrate

UTTERANCES = 40


def row(made: Any, name: str, values: dict[str, Any], **more: Any) -> Record:
    """A row with columns of the task t."""
    cards = {made.column(c, c, unit="dB", margin=0.1): v for c, v in values.items()}
    return made.make(name, {"t": made.entry(cards)}, **more)  # type: ignore[no-any-return]


def moved(values: dict[str, float], by: float, rng: np.random.Generator, noise: float = 0.0) -> dict[str, float]:
    extra = noise * rng.normal(size=len(values))
    return {u: v + by + float(e) for (u, v), e in zip(values.items(), extra, strict=True)}


def one(found: Any) -> ColumnNoise:
    (column,) = found.columns
    assert isinstance(column, ColumnNoise)
    return column


def test_its_variance_is_chi_squared_about_the_truth(made: Any) -> None:
    """Five recipes under two seeds each, σ = .3: df · s² / σ² over 300 draws against χ²(5), by Kolmogorov-Smirnov."""
    rng, sigma, pairs = np.random.default_rng(0), 0.3, 5
    statistic = []
    for _ in range(300):
        rows = []
        for i in range(pairs):
            base = made.spread(float(i), seed=i)
            rows += [
                row(made, f"m{i}{suffix}", {"c": moved(base, rng.normal(0, sigma), rng)}) for suffix in ("", "@seed1")
            ]
        noise = one(calibrate(rows, "mini"))
        assert noise.df == pairs
        statistic.append(noise.df * noise.sd**2 / sigma**2)
    assert stats.kstest(statistic, stats.chi2(pairs).cdf).pvalue > 0.01
    assert np.mean(statistic) == pytest.approx(pairs, rel=0.1)


def test_what_differs_between_utterances_is_part_of_it(made: Any) -> None:
    """E s² = σ² + V / 2, with V the variance of the paired difference over utterances; nothing is subtracted."""
    rng, sigma, spread = np.random.default_rng(1), 0.2, 1.0
    found = []
    for _ in range(400):
        base = made.spread(0.0)
        rows = [row(made, n, {"c": moved(base, rng.normal(0, sigma), rng, spread)}) for n in ("m", "m@seed1")]
        noise = one(calibrate(rows, "mini"))
        found.append((noise.sd**2, noise.bootstrap**2))
    variance, bootstrap = np.mean(found, axis=0)
    assert bootstrap == pytest.approx(2 * spread**2 / UTTERANCES, rel=0.1)
    assert variance == pytest.approx(sigma**2 + spread**2 / UTTERANCES, rel=0.2)


def test_several_replicates_of_one_recipe_are_pooled_about_their_mean(made: Any) -> None:
    rng, base = np.random.default_rng(2), made.spread(0.0)
    shifts = [0.0, 0.3, -0.5]
    rows = [row(made, n, {"c": moved(base, s, rng)}) for n, s in zip(("m", "m@seed1", "m@seed2"), shifts, strict=True)]
    noise = one(calibrate(rows, "mini"))
    assert noise.df == 2
    assert noise.sd == pytest.approx(np.std(shifts, ddof=1), rel=1e-5)


def test_a_control_replicate_is_paired_with_its_recipe(made: Any) -> None:
    rng, base = np.random.default_rng(3), made.spread(0.0)
    recipe = {"steps": 9, "seed": 0}
    rows = [
        row(made, "m", {"c": base}, parameters=recipe),
        row(made, "other", {"c": moved(base, 5.0, rng)}, parameters={"steps": 1, "seed": 0}),
        row(made, "again", {"c": moved(base, 0.4, rng)}, parameters=recipe | {"seed": 1}, control="replicate"),
    ]
    found = calibrate(rows, "mini")
    assert one(found).sd == pytest.approx(0.4 / math.sqrt(2), rel=1e-5)
    assert set(found.records) == {rows[0].digest, rows[2].digest}


def test_rows_read_by_the_same_probe_count_once(made: Any) -> None:
    """Their differences are equal but for rounding: one draw of the probe's seed, not three."""
    rng, rows = np.random.default_rng(4), []
    target = moved(dict.fromkeys(made.spread(0.0), 0.0), 0.2, rng, 0.1)
    for i in range(3):
        base = made.spread(float(i), seed=i)
        again = {u: v + target[u] for u, v in moved(base, 0.0, rng, 1e-6).items()}
        rows += [row(made, f"m{i}", {"c": base}), row(made, f"m{i}@seed1", {"c": again})]
    noise = one(calibrate(rows, "mini"))
    assert (noise.df, noise.same) == (1, 2)


def test_a_seed_that_reaches_no_value_counts_only_where_none_does(made: Any) -> None:
    rng, rows = np.random.default_rng(5), []
    for i in range(3):
        base = made.spread(float(i), seed=i)
        again = {"c": base if i else moved(base, 0.4, rng), "still": base}
        rows += [row(made, f"m{i}", {"c": base, "still": base}), row(made, f"m{i}@seed1", again)]
    by_name = {c.column: c for c in calibrate(rows, "mini").columns}
    assert (by_name["c"].df, by_name["c"].untouched) == (1, 2)
    assert by_name["c"].sd == pytest.approx(0.4 / math.sqrt(2), rel=1e-5)
    assert (by_name["still"].sd, by_name["still"].df, by_name["still"].untouched) == (0.0, 3, 0)


def test_a_distance_from_one_is_measured_as_it_is_judged(made: Any) -> None:
    card = made.column("ratio", "ratio", better="one", margin=0.1)
    rows = [made.make(n, {"t": made.entry({card: made.spread(v, 0.0)})}) for n, v in (("m", 0.8), ("m@seed1", 1.3))]
    assert one(calibrate(rows, "mini")).sd == pytest.approx(0.1 / math.sqrt(2), rel=1e-5)


def test_a_suite_without_replicates_says_how_to_make_one(made: Any) -> None:
    with pytest.raises(RecordError, match=r"no row under a second seed.*--seed N"):
        calibrate([made.make("a"), made.make("b")], "mini")
    with pytest.raises(RecordError, match="suite quick has no row"):
        calibrate([made.make("a"), made.make("a@seed1")], "quick")


def test_mixed_versions_are_refused(made: Any) -> None:
    tasks = made.planned_tasks()
    tasks["delta_nll"]["version"] = 2
    with pytest.raises(RecordError, match="the records mix versions of delta_nll"):
        calibrate([made.make("a"), made.make("a@seed1", tasks)], "mini")
