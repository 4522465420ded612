"""Curves of fits: the rule of thinning, and files that say what the fit remembers, from the cache or not."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

import pytest
import torch

from bench import curves, record
from bench.progress import Bar
from bench.record import Record
from bench.runner import Request, Row
from tests.plugins import Lab

STEPS = 450


@pytest.mark.parametrize("n", [1, 2, 199, 200, 201, 450, 7000])
def test_thinning_keeps_the_mean_and_the_last_step(n: int) -> None:
    values = [random.Random(n + i).gauss(0, 1) for i in range(n)]
    steps, kept = curves.thinned(range(1, n + 1), values)
    assert len(steps) == len(kept) <= curves.MOST and steps[-1] == n
    sizes = [b - a for a, b in zip([0, *steps], steps, strict=False)]
    assert len(set(sizes[:-1])) <= 1, "blocks are equal but for the last"
    whole = math.fsum(size * v for size, v in zip(sizes, kept, strict=True) if v is not None) / n
    assert whole == pytest.approx(math.fsum(values) / n, abs=1e-6)
    if n <= curves.MOST:
        assert kept == pytest.approx(values)


def test_a_block_that_is_not_finite_is_null_and_no_number() -> None:
    steps, kept = curves.thinned([1, 2, 3, 4], [1.0, math.nan, math.inf, 4.0], most=4)
    assert (steps, kept) == ([1, 2, 3, 4], [1.0, None, None, 4.0])


def test_a_history_that_contradicts_itself_is_none(caplog: pytest.LogCaptureFixture) -> None:
    state = {"history.loss": torch.ones(3), "history.valid_loss": torch.ones(2), "history.valid_step": torch.ones(1)}
    assert curves.of(state, "mine") == []
    assert "mine: its history has 2 validations at 1 steps" in caplog.text
    assert curves.of({"weight": torch.ones(3)}, "mine") == []


@pytest.fixture
def row(lab: Lab, tmp_path: Path) -> Row:
    """A row whose fit says that its loss was 1, 2, 3, … and its validations 9 and 8."""
    remembers = (
        f"        self.history = {{'history.loss': torch.arange(1.0, {STEPS + 1}),\n"
        f"            'history.grad_norm': torch.ones({STEPS}),\n"
        "            'history.valid_step': torch.tensor([100.0, 400.0]),\n"
        "            'history.valid_loss': torch.tensor([9.0, 8.0])}\n"
        "        self._build(context.codec, context.seed)\n"
    )
    lab.change("model.py", "        self._build(context.codec, context.seed)\n", remembers)
    lab.change("model.py", "return dict(self.net.state_dict())", "return {**self.net.state_dict(), **self.history}")
    lab.change(
        "model.py",
        "self.net.load_state_dict(dict(state))",
        "self.history = {k: v for k, v in state.items() if k[:8] == 'history.'}\n"
        "        self.net.load_state_dict({k: v for k, v in state.items() if k[:8] != 'history.'})",
    )
    return Row(Request("linear_v1", "tiny", tmp_path / "cache"), Bar(quiet=True))


def made(row: Row, folder: Path) -> tuple[Record, Path]:
    found = row.run()
    row.export_curve(found, folder)
    return found, folder / f"{Path(found.filename).stem}.json"


def test_a_run_leaves_its_curve_and_one_from_the_cache_the_same(row: Row, tmp_path: Path) -> None:
    first, path = made(row, tmp_path / "one")
    told = json.loads(path.read_text())
    by_name = {series["name"]: series for series in told["series"]}
    # blocks of 3: the mean of 3i − 2, 3i − 1, 3i
    assert by_name["loss"]["steps"] == list(range(3, STEPS + 1, 3))
    assert by_name["loss"]["values"] == [3.0 * i - 1 for i in range(1, STEPS // 3 + 1)]
    assert (by_name["valid_loss"]["steps"], by_name["valid_loss"]["values"]) == ([100, 400], [9.0, 8.0])
    assert set(by_name["grad_norm"]["values"]) == {1.0}
    assert (told["submission"], told["seed"]) == ("linear_v1", first.seed)
    assert told["code_digest"] == first.submission.code_digest
    assert told["weights_digest"] == first.submission.weights_digest
    again = Row(row.request, Bar(quiet=True))
    second, other = made(again, tmp_path / "two")
    assert second.stages["fit"].cached and other.read_bytes() == path.read_bytes()
    count = sum(t.numel() for t in again.model.net.state_dict().values())  # type: ignore[attr-defined]
    assert second.submission.parameter_count == first.submission.parameter_count == count, "a history is no parameter"


def test_curves_of_old_records_come_from_the_cache_by_their_weights(row: Row, tmp_path: Path) -> None:
    found, path = made(row, tmp_path / "one")
    record.write(found, tmp_path / "records")
    records = record.read_folder(tmp_path / "records")
    recovered = curves.from_cache(records, row.request.cache, tmp_path / "two")
    assert {name: p.read_bytes() for name, p in recovered.items()} == {found.filename: path.read_bytes()}
    other = found.submission.model_copy(update={"weights_digest": "0" * 64})
    assert curves.from_cache([found.model_copy(update={"submission": other})], row.request.cache, tmp_path / "3") == {}


def test_a_fit_without_a_history_leaves_nothing(lab: Lab, tmp_path: Path) -> None:
    row = Row(Request("linear_v1", "tiny", tmp_path / "cache"), Bar(quiet=True))
    _, path = made(row, tmp_path / "curves")
    assert not path.exists()
