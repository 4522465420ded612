"""Two rows held against each other: the statistics are the table's, the words follow from them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from scipy.stats import ttest_rel

from bench.errors import BenchError
from leaderboard import store
from leaderboard.board import boards
from leaderboard.styles import STYLES
from leaderboard.versus import Versus, versus
from leaderboard.versus_text import as_json, as_text, in_words
from leaderboard.view import task_views

Run = Callable[..., tuple[int, str]]


def pair(made: Any, first: Any, second: Any, **more: Any) -> Versus:
    (board,) = boards([made.make("a", {"t": first}), made.make("b", {"t": second}, **more)])
    return versus(board, "a", "b")


def test_the_difference_is_the_tables_own(made: Any) -> None:
    rows = [made.make(n, made.planned_tasks(level, seed=i)) for i, (n, level) in enumerate((("a", 1.0), ("b", 1.2)))]
    (board,) = boards(rows)
    found = {(m.task, m.card.name): m for m in versus(board, "b", "a").measures}
    checked = 0
    for view in task_views(board):
        for column in view.columns:
            if column.judged.best != "b":
                continue
            m = found[view.name, column.card.name]
            # one resampling of each row against one of their difference: equal but for rounding
            for mine, theirs in (
                (m.change, column.judged.differences["a"]),
                (m.first, column.cells["b"].interval),
                (m.second, column.cells["a"].interval),
            ):
                assert (mine.value, mine.low, mine.high) == pytest.approx((theirs.value, theirs.low, theirs.high))
            assert m.p == pytest.approx(column.judged.p["a"])
            checked += 1
    assert checked > 3


def test_p_is_near_that_of_a_paired_t_test(made: Any) -> None:
    card = made.column("gain", "gain")
    first, noise = made.spread(1.0, 0.5, seed=1), made.spread(0.06, 0.2, seed=2)
    second = {u: v + noise[u] for u, v in first.items()}
    (m,) = pair(made, made.entry({card: first}), made.entry({card: second})).measures
    ids = sorted(first)
    assert m.p == pytest.approx(ttest_rel([second[u] for u in ids], [first[u] for u in ids]).pvalue, rel=0.15)


def test_swapped_rows_turn_the_sign_and_keep_the_verdict(made: Any) -> None:
    card = made.column("gain", "gain")
    first = made.spread(1.0, 0.3)
    second = {u: v + 1.0 for u, v in first.items()}
    records = [made.make("a", {"t": made.entry({card: first})}), made.make("b", {"t": made.entry({card: second})})]
    (board,) = boards(records)
    (there,), (back,) = versus(board, "a", "b").measures, versus(board, "b", "a").measures
    assert there.change.value == pytest.approx(-back.change.value) == pytest.approx(1.0)
    assert (there.verdict, back.verdict) == ("second", "first")


@pytest.mark.parametrize(("better", "verdict"), [("higher", "second"), ("lower", "first"), ("one", "first")])
def test_the_verdict_follows_the_direction(made: Any, better: str, verdict: str) -> None:
    card = made.column("m", "m", better=better)
    first = made.spread(1.0, 0.01)
    found = pair(made, made.entry({card: first}), made.entry({card: {u: v + 0.5 for u, v in first.items()}}))
    assert found.measures[0].verdict == verdict


def test_equal_rows_cannot_be_told_apart(made: Any) -> None:
    card = made.column("gain", "gain")
    same = made.entry({card: made.spread(1.0)})
    found = pair(made, same, same)
    assert found.measures[0].verdict == "not told apart"
    assert "Of 1 ranked measures a is better in 0, b in 0; 1 cannot be told apart." in in_words(found)


def test_many_measures_are_corrected_for_their_number(made: Any) -> None:
    """One p of about .03 is a verdict alone and none among ten."""
    first = made.spread(1.0, 0.5, seed=1)
    noise = made.spread(0.0, 1.0, seed=2)
    mean = sum(noise.values()) / len(noise)
    deviation = (sum((v - mean) ** 2 for v in noise.values()) / (len(noise) - 1)) ** 0.5
    by = 2.2 * deviation / len(noise) ** 0.5
    second = {u: v + noise[u] - mean + by for u, v in first.items()}

    def verdicts(count: int) -> set[str]:
        cards = [made.column(f"m{i}", f"m{i}") for i in range(count)]
        found = pair(made, made.entry(dict.fromkeys(cards, first)), made.entry(dict.fromkeys(cards, second)))
        return {m.verdict for m in found.measures}

    assert verdicts(1) == {"second"}
    assert verdicts(10) == {"not told apart"}


def test_a_row_behind_by_a_bound_is_not_behind(made: Any) -> None:
    card = made.column("own", "own")
    exact = made.entry({card: made.spread(2.0, 0.1)})
    bound = made.entry({card: made.spread(1.0, 0.1)}, notes={"bounds": {"own": "lower"}})
    found = pair(made, exact, bound)
    assert found.measures[0].verdict == "not told apart"
    assert " ≥" in as_text(found, STYLES["terminal"])
    ahead = made.entry({card: made.spread(3.0, 0.1)}, notes={"bounds": {"own": "lower"}})
    assert pair(made, exact, ahead).measures[0].verdict == "second"


def test_seed_noise_as_large_as_the_difference_is_said(made: Any) -> None:
    card = made.column("gain", "gain")
    values = made.spread(1.0, 0.1)

    def task(by: float) -> dict[str, Any]:
        return {"t": made.entry({card: {u: v + by for u, v in values.items()}})}

    (board,) = boards([made.make("a", task(0)), made.make("b", task(0.5)), made.make("a@seed1", task(0.7))])
    found = versus(board, "a", "b")
    assert found.measures[0].seed_noise == pytest.approx(0.7)
    assert "Another seed alone has moved one of the rows by as much (~): gain." in in_words(found)
    assert "~ 1." in as_text(found, STYLES["terminal"])


def test_only_common_utterances_count_and_the_others_are_said(made: Any) -> None:
    card = made.column("gain", "gain")
    first = made.spread(1.0, 0.1)
    second = {"values": {u: v + 1 for u, v in first.items() if u != "u003"}, "unscored": {"u003": "silent"}}
    found = pair(made, made.entry({card: first}), made.entry({card: second}))
    assert found.measures[0].change.value == pytest.approx(1.0)
    assert found.measures[0].only_one == 1
    assert "gain: 1 utterances have a value in one row only" in as_text(found, STYLES["terminal"])


def test_what_cannot_be_compared_has_its_reason(made: Any) -> None:
    card, other = made.column("gain", "gain"), made.column("gain", "gain", unit="furlong")
    first = made.entry({card: made.spread(1.0)})
    for second, why in (
        (made.entry({card: made.spread(1.0)}, version=2), "versions 1 and 2"),
        (made.entry({card: made.spread(1.0)}, parameters={"steps": 9}), "other parameters"),
        (made.entry(status="failed", reason="no luck"), "b failed: no luck"),
        (made.entry({other: made.spread(1.0)}), "other units"),
        (made.entry({}, skipped_columns={"gain": "samples only"}), "b skipped: samples only"),
    ):
        found = pair(made, first, second)
        assert not found.measures
        assert why in " ".join(found.missing.values())
        assert why in " ".join(as_text(found, STYLES["terminal"]).split())


def test_unknown_rows_and_the_same_twice_are_refused(made: Any) -> None:
    (board,) = boards([made.make("a"), made.make("b")])
    with pytest.raises(BenchError, match="has no row 'c'; there are: a, b"):
        versus(board, "a", "c")
    with pytest.raises(BenchError, match="expected two rows"):
        versus(board, "a", "a")


def test_the_committed_rows_fit_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    for board in boards(store.read_rows(store.committed_folder())):
        if not board.of_codecs and len(board.rows) > 1:
            first, second = [row.name for row in board.rows if not board.control(row)][:2]
            text = as_text(versus(board, first, second, wide=True), STYLES["terminal"])
            assert max(cell_len(line) for line in text.splitlines()) <= 80


@pytest.fixture
def committed(tmp_path: Path, made: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "committed"
    for name, level in (("a", 1.0), ("b", 1.5), ("<script>alert(1)</script>", 2.0)):
        made.write(made.make(name, made.planned_tasks(level)), folder)
    monkeypatch.setattr(store, "committed_folder", lambda: folder)
    return folder


def test_the_commands_compare_and_show(run: Run, committed: Path) -> None:
    code, said = run("compare", "a", "b")
    assert code == 0
    assert said.startswith("b − a: mini · synthspeech · minicodec")
    assert "ranked measures a is better in" in said
    document = json.loads(run("compare", "a", "b", "--format", "json")[1])
    by_name = {m["column"]: m for m in document[0]["measures"]}
    assert by_name["gain_80ms"]["verdict"] == "second"
    chosen = json.loads(run("compare", "a", "b", "--columns", "gain_80ms", "--format", "json")[1])[0]["measures"]
    assert [m["column"] for m in chosen] == ["gain_80ms"]
    code, said = run("show", "b")
    assert code == 0
    assert "make it again: bench run" in said
    assert "* best" not in said
    assert "* best" in run("show", "<script>alert(1)</script>")[1]
    shown = json.loads(run("show", "b", "--format", "json")[1])
    assert shown[0]["record"]["submission"]["name"] == "b"
    assert set(shown[0]["tasks"][0]["columns"][0]["cells"]) >= {"b"}


def test_a_misspelt_row_is_one_line_with_what_is_near(run: Run, committed: Path) -> None:
    for command in (("show", "aa"), ("compare", "a", "bb")):
        code, said = run(*command)
        assert code == 2
        assert "no row" in said
        assert "\n" not in said.strip()
    assert run("compare", "a", "a")[0] == 2


def test_hostile_names_stay_text(run: Run, committed: Path) -> None:
    code, said = run("compare", "a", "<script>alert(1)</script>", "--format", "md")
    assert code == 0
    assert "<script>" not in said
    assert "<script>" not in run("show", "<script>alert(1)</script>", "--format", "md")[1]


def test_json_has_no_infinity(made: Any) -> None:
    card = made.column("gain", "gain")
    one = made.entry({card: {"u000": 1.0}})
    text = as_json([pair(made, one, one)])
    assert "Infinity" not in text
    assert json.loads(text)[0]["measures"][0]["error"] is None
