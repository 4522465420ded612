"""Verdicts on a column: ranks, Holm, controls apart, floors that beat models, seed noise, utterances nobody scores."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import pytest

from bench.config import ColumnCard
from bench.record import Record
from leaderboard.board import Board, boards
from leaderboard.table import Format, tables
from leaderboard.view import Column, TaskView, task_views


def board(*records: Record) -> Board:
    (found,) = boards(records)
    return found


def view(*records: Record) -> TaskView:
    (found,) = task_views(board(*records))
    return found


def text(*records: Record, form: Format = "terminal") -> str:
    return tables(boards(records), form)


def row(made: Any, name: str, card: ColumnCard, values: Any, **more: Any) -> Record:
    record: Record = made.make(name, {"t": made.entry({card: values})}, **more)
    return record


def around(made: Any, mean: float, seed: int) -> dict[str, float]:
    """A common difficulty of scale 5, the row's mean and its own noise of .1."""
    noise = made.spread(0.0, 0.1, seed)
    return {u: v + mean + noise[u] for u, v in made.spread(0.0, 5.0, 99).items()}


# --- ranks and many comparisons --------------------------------------------------------------------------------


def test_ranks_and_detectable_difference(made: Any) -> None:
    card = made.column("gain", "gain", unit="nats/frame", shown="bit/s")
    records = [row(made, n, card, around(made, m, i)) for i, (n, m) in enumerate((("a", 2.0), ("b", 1.0), ("c", 0.99)))]
    found = view(*records).columns[0].judged
    assert found.ranks == {"a": (1, 1), "b": (2, 3), "c": (2, 3)}
    assert sorted(found.apart) == ["b", "c"]
    # the noise of a difference is .1 √2, its error over 40 utterances .022: 2.87 of them in bit/s
    assert found.detectable == pytest.approx(2.87 * 0.1 * 2**0.5 / 40**0.5 * 18.0337, rel=0.25)
    said = " ".join(text(*records).split())
    assert "gain: ranks a 1, b 2–3, c 2–3; 2 of 2 comparisons significant after Holm; detectable 1." in said
    assert "ranks: what a row's may be, joint 95 % over all pairs of rows of the column" in said


def test_holm_takes_back_what_one_of_many_comparisons_found(made: Any) -> None:
    """Nineteen rows as good as the best, and one that is behind by 2.3 standard errors: p = .027."""
    card = made.column("gain", "gain")
    best = made.spread(0.0)
    draws = np.array(list(made.spread(0.0, 1.0, 5).values()))
    away = (draws - draws.mean()) / draws.std(ddof=1) - 2.3 / len(draws) ** 0.5
    behind = {u: v + float(d) for (u, v), d in zip(best.items(), away, strict=True)}
    tie = {u: v - 0.001 * (1 if i % 2 else -0.8) for i, (u, v) in enumerate(best.items())}
    records = [row(made, "best", card, best), row(made, "behind", card, behind)]
    alone = view(*records).columns[0]
    crowd = view(*records, *(row(made, f"tie{i:02d}", card, tie) for i in range(19))).columns[0]
    assert alone.cells["behind"].rank == crowd.cells["behind"].rank == "behind"
    assert alone.judged.apart == ["behind"]
    assert crowd.judged.apart == []
    assert crowd.judged.p["behind"] == pytest.approx(0.027, abs=0.005)
    assert crowd.judged.adjusted["behind"] == pytest.approx(20 * crowd.judged.p["behind"])
    assert len(crowd.judged.differences) == 20


def test_programs_get_every_number(made: Any) -> None:
    card = made.column("gain", "gain")
    records = [row(made, n, card, around(made, m, i)) for i, (n, m) in enumerate((("a", 2.0), ("b", 1.0)))]
    ((document),) = json.loads(text(*records, form="json"))
    (column,) = document["tasks"][0]["columns"]
    assert column["ranks"] == {"a": [1, 1], "b": [2, 2]}
    assert column["significant_after_holm"] == ["b"]
    assert column["minus_best"]["b"]["p_holm"] < 1e-6
    assert column["minus_best"]["b"]["detectable"] == column["detectable"] > 0
    assert column["cells"]["a"]["error"] > 0
    lines = {line["submission"]: line for line in csv.DictReader(io.StringIO(text(*records, form="csv")))}
    assert (lines["a"]["best_rank"], lines["a"]["worst_rank"], lines["a"]["p_holm"]) == ("1", "1", "")
    assert float(lines["b"]["detectable"]) == column["detectable"]


def test_one_utterance_is_legal_json(made: Any) -> None:
    card = made.column("gain", "gain")
    records = [row(made, n, card, {"u000": v}) for n, v in (("a", 1.0), ("b", 2.0))]

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    ((document),) = json.loads(text(*records, form="json"), parse_constant=refuse)
    (column,) = document["tasks"][0]["columns"]
    assert column["cells"]["a"]["error"] is None
    assert column["detectable"] is None
    assert column["ranks"] == {"b": [1, 2], "a": [1, 2]}
    assert "detectable 0" not in text(*records)


# --- controls -----------------------------------------------------------------------------------------------


def controlled(made: Any) -> list[Record]:
    card = made.column("pesq", "PESQ")
    means = {"a": 2.0, "b": 1.0, "control_noise": 1.5, "control_silence": 0.0, "control_ceiling": 4.0}
    kinds = {"control_noise": "floor", "control_silence": "floor", "control_ceiling": "ceiling"}
    return [row(made, n, card, around(made, m, i), control=kinds.get(n, "")) for i, (n, m) in enumerate(means.items())]


def test_controls_are_apart_and_never_ranked(made: Any) -> None:
    found = view(*controlled(made))
    assert [r.name for r in found.rows] == ["a", "b", "control_ceiling", "control_noise", "control_silence"]
    column = found.columns[0]
    assert column.judged.best == "a"
    assert {n: c.rank for n, c in column.cells.items() if c.rank} == {"a": "best", "b": "behind"}
    assert column.judged.ranks.keys() == {"a", "b"}
    lines = text(*controlled(made)).splitlines()
    first = next(i for i, line in enumerate(lines) if line.strip() == "controls:")
    around_it = [line.split()[0] for line in lines[first - 1 : first + 4]]
    assert around_it == ["b", "controls:", "control_ceiling", "control_noise", "control_silence"]
    said = " ".join(line.strip() for line in lines)
    assert "controls, never ranked: control_ceiling (ceiling), control_noise (floor), control_silence (floor)" in said
    assert "| controls:" in text(*controlled(made), form="md")


def test_a_floor_that_beats_a_model_is_flagged_and_a_ceiling_is_not(made: Any) -> None:
    (pair,) = view(*controlled(made)).columns[0].judged.beaten
    assert (pair.first, pair.second) == ("control_noise", "b")
    assert pair.change.value == pytest.approx(-0.5, abs=0.1)
    said = text(*controlled(made))
    assert "! the floor control_noise beats b: PESQ" in said
    assert "ceiling beats" not in said
    ((document),) = json.loads(text(*controlled(made), form="json"))
    (flag,) = document["tasks"][0]["columns"][0]["floor_beats"]
    assert (flag["floor"], flag["row"]) == ("control_noise", "b")


@pytest.mark.parametrize(
    ("better", "floor", "flagged"), [("lower", 0.5, True), ("lower", 2.0, False), ("one", 1.1, True)]
)
def test_a_floor_beats_in_the_columns_direction(made: Any, better: str, floor: float, flagged: bool) -> None:
    card = made.column("x", "x", better=better)
    records = [
        row(made, "a", card, made.spread(1.5, 0.05)),
        row(made, "low", card, made.spread(floor, 0.05, 1), control="floor"),
    ]
    assert bool(view(*records).columns[0].judged.beaten) == flagged


def test_a_floor_within_noise_is_not_flagged(made: Any) -> None:
    card = made.column("x", "x")
    records = [
        row(made, "a", card, made.spread(1.0)),
        row(made, "low", card, made.spread(1.05, 1.0, 3), control="floor"),
    ]
    assert view(*records).columns[0].judged.beaten == []


def test_a_column_that_is_not_ranked_flags_nothing(made: Any) -> None:
    card = made.column("x", "x", ranked=False)
    records = [row(made, "a", card, made.spread(1.0)), row(made, "low", card, made.spread(9.0), control="floor")]
    assert view(*records).columns[0].judged.beaten == ()


def test_models_set_the_columns_order_and_the_version(made: Any) -> None:
    """A control made later does not decide what the table holds."""
    old = row(made, "a", made.column("x", "x"), made.spread(1.0))
    new = row(made, "low", made.column("x", "other"), made.spread(0.0), control="floor", created="2030-01-01")
    assert view(old, new).columns[0].card.title == "x"
    assert board(old, new).newest.submission.name == "a"


# --- replicates ----------------------------------------------------------------------------------------------


def noise_of(column: Column) -> list[tuple[str, str]]:
    return [(pair.first, pair.second) for pair in column.judged.noise]


def test_another_seed_is_seed_noise_and_no_rival(made: Any) -> None:
    card = made.column("gain", "gain", decimals=1)
    values = around(made, 1.0, 0)
    moved = {u: v + 0.2 for u, v in values.items()}
    records = [
        row(made, "a", card, values),
        row(made, "b", card, around(made, 0.0, 1)),
        row(made, "a@seed1", card, moved),
    ]
    found = view(*records)
    assert found.controls == {"a@seed1": "replicate"}
    assert found.columns[0].judged.best == "a"
    assert noise_of(found.columns[0]) == [("a", "a@seed1")]
    assert "seed noise: a@seed1 − a: gain +0.2 [0.2, 0.2]" in text(*records)


def test_a_replicate_without_its_original_is_a_row(made: Any) -> None:
    card = made.column("gain", "gain")
    found = view(row(made, "a@seed1", card, made.spread(2.0)), row(made, "b", card, made.spread(1.0)))
    assert found.columns[0].judged.best == "a@seed1"


def test_a_declared_replicate_is_of_the_row_with_its_parameters(made: Any) -> None:
    card = made.column("gain", "gain")
    fit = {"lr": 0.1, "steps": 9}
    records = [
        row(made, "a", card, made.spread(1.0), parameters={"fit": {**fit, "seed": 0}}),
        row(made, "b", card, made.spread(2.0), parameters={"fit": {**fit, "lr": 0.2}}),
        row(made, "again", card, made.spread(1.1), parameters={"fit": fit, "seed_offset": 1}, control="replicate"),
    ]
    assert noise_of(view(*records).columns[0]) == [("a", "again")]


# --- self-test -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("selftest", [None, False])
def test_a_row_without_a_passed_self_test_is_marked(made: Any, selftest: bool | None) -> None:
    card = made.column("gain", "gain")
    records = [row(made, "a", card, made.spread(1.0)), row(made, "b", card, made.spread(0.0), selftest=selftest)]
    said = text(*records)
    assert "\nb ‡ " in said
    assert "\na ‡" not in said
    assert "\n‡ no passed self-test for this code\n" in said
    assert "‡" not in text(records[0])
    assert r"b \ddag{}" in text(*records, form="latex")
    ((document),) = json.loads(text(*records, form="json"))
    assert [r["selftest"] for r in document["rows"]] == [True, False]


# --- utterances that no row can score ---------------------------------------------------------------------------


def short(values: dict[str, float], *lost: str, why: str = "too short") -> dict[str, Any]:
    return {"values": {u: v for u, v in values.items() if u not in lost}, "unscored": dict.fromkeys(lost, why)}


def test_what_no_row_can_score_counts_for_none(made: Any) -> None:
    card = made.column("gap", "gap")
    records = [row(made, n, card, short(around(made, m, m), "u003", "u004")) for n, m in (("a", 2), ("b", 1))]
    column = view(*records).columns[0]
    assert {n: c.rank for n, c in column.cells.items()} == {"a": "best", "b": "behind"}
    assert column.left_out == {"too short": 2}
    assert all(not c.unscored and c.attempted == 38 for c in column.cells.values())
    said = text(*records)
    assert "2 utterances that no row could score (too short) count for none: gap" in said
    assert "†" not in said


@pytest.mark.parametrize("why", ["", "no hypothesis"])
def test_what_one_row_scores_or_fails_otherwise_makes_rows_partial(made: Any, why: str) -> None:
    card = made.column("gap", "gap")
    other = short(around(made, 1, 1), *(["u003"] if why else []), why=why)
    records = [
        row(made, "a", card, short(around(made, 2, 2), "u003")),
        row(made, "b", card, other),
        row(made, "c", card, short(around(made, 0, 0), "u003")),
    ]
    column = view(*records).columns[0]
    assert column.left_out == {}
    assert column.cells["a"].unscored == {"too short": 1}
    assert {n: c.rank for n, c in column.cells.items()} == dict.fromkeys("abc", "")


def test_a_row_that_scored_nothing_does_not_decide(made: Any) -> None:
    card = made.column("gap", "gap")
    everything = made.spread(0.0)
    records = [row(made, n, card, short(around(made, m, m), "u003")) for n, m in (("a", 2), ("b", 1))]
    records.append(row(made, "c", card, {"values": {}, "unscored": dict.fromkeys(everything, "not finite")}))
    column = view(*records).columns[0]
    assert column.judged.best == "a"
    assert column.cells["c"].reason == "39 × not finite"


def test_one_row_alone_stays_partial(made: Any) -> None:
    column = view(row(made, "a", made.column("gap", "gap"), short(made.spread(1.0), "u003"))).columns[0]
    assert column.cells["a"].unscored == {"too short": 1}
