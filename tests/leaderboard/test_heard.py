"""What is heard of rows between ceiling and floor, who is ahead, and the frontier."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.errors import BenchError, RecordError
from leaderboard.heard import draw, report

Run = Callable[..., tuple[int, str]]
KAD = {"unit": "1", "better": "lower", "decimals": 1}
COST = {"unit": "GFLOP/s", "better": "lower", "decimals": 3}


@pytest.fixture
def row(made: Any) -> Callable[..., Any]:
    """A record of the suite `generation`: a kernel distance, its references, a cost and the points it came from."""

    def build(name: str, kad: float, reached: bool = True, seed: int = 0) -> Any:
        means = {"continuation_kad": kad, "continuation_codec_kad": 5.0, "continuation_marginal_kad": 400.0}
        heard = {made.column(n, f"kernel distance, {n}", **KAD): made.spread(m, 1.0, seed) for n, m in means.items()}
        costs = {made.column("gflops", "cost", **COST): made.spread(0.02, 0.0)}
        if reached:
            costs[made.column("cost_at_quality", "cost at quality", **COST)] = made.spread(0.01, 0.0)
        points = [{"settings": f"s = {i}", "gflops": 0.01 * i, "quality": kad - 10 * i} for i in (1, 2)]
        target = {"quality": "kad", "floor": 400.0, "ceiling": 5.0, "value": 44.5}
        skipped = {} if reached else {"cost_at_quality": "not reached: s = 2 comes to 0.50 of the way"}
        cost = made.entry(costs, notes={"points": points, "target": target}, skipped_columns=skipped)
        return made.make(name, {"generation": made.entry(heard), "cost_at_quality": cost}, suite="generation")

    return build


def test_models_stand_between_the_codec_and_frames_without_order(row: Any) -> None:
    text = report([row("a", 30.0), row("b", 50.0)])
    table = text[text.index("### Continuations") :].splitlines()[2:]
    assert [line.split("|")[1].strip() for line in table if line.startswith("|")][2:6] == [
        *("the codec", "a", "b", "frames without order"),
    ]
    assert "a before b by" in text and "told apart" in text and "not told apart" not in text


def test_a_brief_report_is_one_table_between_ceiling_and_floor_with_controls_last(made: Any, row: Any) -> None:
    control = row("c", 20.0)
    control = control.model_copy(update={"submission": control.submission.model_copy(update={"control": "floor"})})
    text = report([row("b", 50.0), row("a", 30.0), control], brief=True)
    first = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert first[2:] == ["the codec", "a", "b", "c", "frames without order"]
    assert "###" not in text and "before" not in text
    assert "a before b" in report([row("b", 50.0), row("a", 30.0), control]), "a control is not ahead of models"


def test_rows_that_are_alike_are_not_told_apart(row: Any) -> None:
    assert "not told apart" in report([row("a", 30.0, seed=0), row("b", 30.1, seed=7)])


def test_a_target_out_of_reach_is_said_and_not_a_number(row: Any) -> None:
    text = report([row("a", 30.0), row("b", 50.0, reached=False)])
    (line,) = [one for one in text[text.index("### Cost") :].splitlines() if one.startswith("| b")]
    assert "not reached" in line and "0.020 " in line and "0.020, 0.020" not in line


def test_a_target_that_nobody_reached_has_its_column(row: Any) -> None:
    for brief in (False, True):
        text = report([row("a", 30.0, reached=False), row("b", 50.0, reached=False)], brief=brief)
        (head,) = [line for line in text.splitlines() if "cost at quality" in line]
        assert head.count("|") > 3 and text.count("not reached") == 2


def test_the_frontier_has_every_row_and_its_target(row: Any) -> None:
    svg = draw([row("a", 30.0), row("b", 50.0)])
    assert svg.startswith("<?xml") and all(word in svg for word in (">a<", ">b<", ">target<", ">codec<", ">floor<"))
    assert draw([row("a", 30.0), row("b", 50.0)]) == svg


def test_without_rows_the_command_is_named(made: Any, row: Any) -> None:
    with pytest.raises(RecordError, match="bench run --submission raw_ar_v1 --suite generation"):
        report([])
    bare = made.make("a", {"generation": made.entry({})}, suite="generation")
    with pytest.raises(BenchError, match="expected rows whose cost was measured"):
        draw([bare])


def test_the_command_writes_page_and_figure(row: Any, run: Run, tmp_path: Path) -> None:
    from bench import record

    record.write(row("a", 30.0), tmp_path / "records")
    page, figure = tmp_path / "page.md", tmp_path / "figure.svg"
    page.write_text("<!-- heard:start -->\n<!-- heard:end -->\n", encoding="utf-8")
    code, said = run("heard", "--records", tmp_path / "records", "--write", page, "--figure", figure)
    assert code == 0, said
    assert "frames without order" in page.read_text(encoding="utf-8") and figure.read_text(encoding="utf-8")
    code, said = run("heard", "--records", tmp_path / "records", "--figure", tmp_path / "no" / "figure.svg")
    assert code == 2 and "cannot be written" in said
