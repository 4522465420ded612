"""What is exported are the table's own numbers, in every format, and a model card that its own reader reads."""

from __future__ import annotations

import builtins
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from bench.errors import BenchError, UnknownName
from bench.record import Record
from leaderboard.board import boards
from leaderboard.export import files, model_index, results, values
from leaderboard.view import task_views

Factory = Any
HOSTILE = '=cmd|"/c calc"!A1 <script>alert(1)</script> \u202e\ud800'


@pytest.fixture
def rows(made: Factory) -> list[Record]:
    """Three rows of one board, with a tie, a failure and an utterance without a value; and one of another."""
    good, near, bad = made.planned_tasks(1.0), made.planned_tasks(1.0, seed=1), made.planned_tasks(0.2, seed=2)
    bad["innovation_rate"] = made.entry(status="failed", reason=HOSTILE.replace("\ud800", ""))
    near["rollout_gap"] = made.entry(status="skipped", reason="needs rollout")
    some = bad["reconstruction"]["columns"]["prior_pesq"]
    lost = dict(some["values"])
    lost.pop("u003")
    bad["reconstruction"]["columns"]["prior_pesq"] = {**some, "values": lost, "unscored": {"u003": "too short"}}
    weighted = good["reconstruction"]["columns"]["posterior_wer_open"]
    weighted["weights"] = {u: 1.0 + i % 5 for i, u in enumerate(weighted["values"])}
    return [
        made.make("good", good),
        made.make("near", near),
        made.make("bad", bad),
        made.make("elsewhere", made.planned_tasks(0.7), suite="quick"),
    ]


def lines(table: pa.Table) -> dict[tuple[str, ...], dict[str, Any]]:
    """(suite, submission, task, column) → line."""
    return {(r["suite"], r["submission"], r["task"], r["column"]): r for r in table.to_pylist()}


def test_results_are_the_tables_numbers_and_nothing_is_left_out(rows: list[Record]) -> None:
    found, expected = lines(results(rows)), 0
    for board in boards(rows):
        for view in task_views(board, wide=True):
            for column in view.columns:
                for row in view.rows:
                    cell = column.cells[row.name]
                    line = found[board.suite, row.name, view.name, column.card.name]
                    numbers = cell.interval
                    shown = (line["value"], line["low"], line["high"]) if numbers else (None, None, None)
                    assert shown == ((numbers.value, numbers.low, numbers.high) if numbers else (None,) * 3)
                    assert (line["rank"], line["status"], line["reason"]) == (cell.rank, cell.status, cell.reason)
                    assert line["p_holm"] == column.judged.adjusted.get(row.name)
                    expected += 1
    assert len(found) == expected > 50
    assert {line["rank"] for line in found.values()} >= {"best", "tied", "behind", ""}
    assert {line["status"] for line in found.values()} == {"scored", "failed", "skipped"}


def test_the_weighted_mean_of_the_values_is_the_result(rows: list[Record]) -> None:
    every: dict[tuple[str, ...], list[tuple[float, float]]] = {}
    unscored = 0
    for line in values(rows).to_pylist():
        key = (line["suite"], line["submission"], line["task"], line["column"])
        if line["value"] is None:
            assert line["reason"] == "too short" and line["utterance"] == "u003"
            unscored += 1
        else:
            every.setdefault(key, []).append((line["value"], line["weight"]))
    scored = {key: line for key, line in lines(results(rows)).items() if line["value"] is not None}
    assert every.keys() == scored.keys() and unscored == 1
    for key, pairs in every.items():
        numbers, weights = zip(*pairs, strict=True)
        assert np.average(numbers, weights=weights) == pytest.approx(scored[key]["value"], rel=1e-12)
    # shown units: nats a frame at 12.5 Hz are 18.03 bit/s
    first = next(line for line in values(rows).to_pylist() if line["unit"] == "bit/s")
    entry = next(r for r in rows if r.submission.name == first["submission"]).tasks[first["task"]]
    assert first["value"] == pytest.approx(
        entry.columns[first["column"]].values[first["utterance"]] * 12.5 / np.log(2), rel=1e-12
    )


def read(data: bytes, form: str) -> pa.Table:
    """What is in a file, by the readers of pyarrow."""
    if form == "parquet":
        return pq.read_table(io.BytesIO(data))
    if form == "arrow":
        return pa.ipc.open_file(io.BytesIO(data)).read_all()
    types = {field.name: field.type for field in results([]).schema}
    return pc.read_csv(
        io.BytesIO(data), convert_options=pc.ConvertOptions(column_types=types, quoted_strings_can_be_null=False)
    )


@pytest.mark.parametrize("form", ["parquet", "arrow", "csv"])
def test_each_format_gives_back_the_same_table(rows: list[Record], form: Any) -> None:
    table = results(rows)
    data = files.encoded(table, form)
    again = read(data, form)
    assert again.schema.names == table.schema.names
    for name in table.schema.names:
        mine, theirs = table.column(name).to_pylist(), again.column(name).to_pylist()
        if form == "csv":
            mine = [f"'{v}" if isinstance(v, str) and v.startswith(files.FORMULA) else v for v in mine]
        assert mine == theirs, name
    assert files.encoded(results(rows), form) == data


def test_hostile_text_is_inert_in_csv_and_whole_elsewhere(made: Factory) -> None:
    tasks = made.planned_tasks()
    row = made.make("x", tasks)
    row = row.model_copy(update={"submission": row.submission.model_copy(update={"title": HOSTILE})})
    table = results([row])
    assert table.column("title")[0].as_py() == HOSTILE.replace("\ud800", "?")
    text = files.encoded(table, "csv").decode()
    assert ',"=cmd' not in text and "'=cmd" in text


def test_one_row_is_ranked_among_all(rows: list[Record]) -> None:
    whole = {key: line for key, line in lines(results(rows)).items() if key[1] == "near"}
    assert lines(results(rows, "near")) == whole
    assert set(values(rows, "near").column("submission").to_pylist()) == {"near"}


def test_no_records_make_an_empty_table_with_its_columns() -> None:
    assert results([]).num_rows == 0 and values([]).schema.names[:4] == ["suite", "dataset", "codec", "submission"]


# --- model card --------------------------------------------------------------------------------------------


def test_a_model_card_is_read_back_by_its_own_reader(rows: list[Record]) -> None:
    text = model_index.metadata(rows, "near")
    read = ModelCard(text + "\n\n# near\n").data
    found = {one.metric_type: one for one in read.eval_results}
    (board,) = (b for b in boards(rows) if b.suite == "mini")
    expected = {}
    for view in task_views(board):
        for column in view.columns:
            cell = column.cells.get("near")
            if cell and cell.interval:
                expected[f"{view.name}.{column.card.name}"] = (cell.interval, cell.rank, column.card)
    assert found.keys() == expected.keys() and len(found) > 8
    for name, (interval, rank, card) in expected.items():
        one = found[name]
        assert one.metric_value == interval.value and one.metric_name == card.title
        assert (one.metric_args["low"], one.metric_args["high"]) == (interval.low, interval.high)
        assert one.metric_args.get("rank", "") == rank and one.metric_args["command"] == "bench run"
        assert one.metric_args["record_digest"] == rows[1].digest
        assert (one.dataset_name, one.dataset_config, one.dataset_split) == ("synthspeech", "mini", "test")
        assert one.dataset_revision == "a1" and one.verified is None


def test_a_model_card_has_the_form_that_the_hub_documents(rows: list[Record]) -> None:
    index = yaml.safe_load(model_index.metadata(rows, "good").strip("-\n"))["model-index"]
    name, found = model_index_to_eval_results(index)
    assert name == "good" and {one.task_name.partition(" ")[0] for one in found} >= {"delta_nll", "rollout_gap"}
    assert all(set(part) <= {"task", "dataset", "metrics", "source"} for part in index[0]["results"])


def test_a_title_of_yaml_stays_a_title(made: Factory) -> None:
    row = made.make("x")
    title = "a: [b]\n---\nlicense: mit"
    row = row.model_copy(update={"submission": row.submission.model_copy(update={"title": title})})
    data = ModelCard(model_index.metadata([row], "x") + "\n").data
    assert data.model_name == "a: [b] --- license: mit" and data.license is None


def test_a_row_that_is_not_there_or_has_nothing_is_said(rows: list[Record], made: Factory) -> None:
    with pytest.raises(UnknownName, match="bad, elsewhere, good, near"):
        model_index.metadata(rows, "none")
    empty = made.make("empty", {"delta_nll": made.entry(status="failed", reason="it broke")})
    with pytest.raises(BenchError, match="no value"):
        model_index.metadata([empty], "empty")


# --- command line ------------------------------------------------------------------------------------------

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(rows: list[Record], made: Factory, tmp_path: Path) -> Path:
    for row in rows:
        made.write(row, tmp_path / "records")
    return tmp_path / "records"


def test_the_command_writes_what_python_gives(run: Run, folder: Path, rows: list[Record], tmp_path: Path) -> None:
    out = tmp_path / "results.parquet"
    assert run("export", "--records", folder, "--format", "parquet", "--out", out) == (0, "")
    assert lines(pq.read_table(out)) == lines(results(rows))
    assert run("export", "near", "--records", folder, "--values", "--format", "arrow", "--out", out)[0] == 0
    assert pa.ipc.open_file(out).read_all().equals(values(rows, "near"))
    code, text = run("export", "near", "--records", folder, "--format", "model-index")
    assert code == 0 and text.rstrip("\n") == model_index.metadata(rows, "near")
    code, _ = run("export", "--records", folder, "--suite", "quick", "--format", "parquet", "--out", out)
    assert code == 0 and set(pq.read_table(out).column("submission").to_pylist()) == {"elsewhere"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["records", "results.parquet"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["none"], "no row 'none'"),
        (["--suite", "none"], "no suite among these records 'none'"),
        (["--format", "model-index"], "needs the name of a row"),
        (["near", "--format", "model-index", "--values"], "--values is for tables"),
        (["--out", "{}/no/such/folder.csv"], "cannot be written"),
    ],
)
def test_bad_input_is_one_line(run: Run, folder: Path, arguments: list[str], why: str) -> None:
    code, text = run("export", "--records", folder, *(a.format(folder) for a in arguments))
    assert code == 2 and why in text and "\n" not in text


@pytest.mark.parametrize(("package", "form"), [("pyarrow", "csv"), ("huggingface_hub", "model-index")])
def test_a_missing_package_is_named_with_its_install_command(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, package: str, form: str
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest)

    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    code, text = run("export", "near", "--records", folder, "--format", form)
    assert code == 2 and "pip install 'latentbench[data]'" in text
