"""Outputs that a row kept: scored again, told apart from a scorer that moved, and laid beside the record."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from bench import outputs, rescoring, runner
from bench.errors import CardError, RecordError
from bench.progress import Bar
from bench.record import Record
from bench.runner import Request, Row
from tests.plugins import Lab

SINGS = '''
import torch

from bench.config import task_card
from bench.contract import Score


class Moves:
    """Decodes a draw of the model's and measures its level."""

    card = task_card(__file__)

    def score(self, submission, context):
        def make():
            made.append(1)
            return {u.id: self.drawn(submission, u, context) for u in context.latents("test")}

        found = context.outputs("sung", {"version": 1}, make)
        first = min(found)
        context.keep({"sung": {first: found[first]}})
        return [Score("length", {name: float(w.abs().double().mean()) for name, w in found.items()})]

    def drawn(self, submission, u, context):
        z = submission.represent(u.x[None], context.generator(u.id))
        z = z + torch.randn(z.shape, generator=context.generator("noise", u.id))
        return (context.codec.decode(z)[0, 0] * 32767).to(torch.int16)


made = []
'''


@pytest.fixture
def row(lab: Lab, tmp_path: Path) -> Row:
    lab.write("moves.py", SINGS)
    return Row(Request("linear_v1", "tiny", tmp_path / "cache"), Bar(quiet=True))


@pytest.fixture
def made(row: Row) -> Record:
    return row.run()


def times(lab: Lab) -> int:
    import tinylab.moves

    return len(tinylab.moves.made)


def again(made: Record, tmp_path: Path) -> list[rescoring.Rescored]:
    return rescoring.rescore(made, tmp_path / "cache", Bar(quiet=True))


def test_outputs_scored_again_give_the_record_and_nothing_is_generated(made: Record, lab: Lab, tmp_path: Path) -> None:
    lab.forget()
    (found,) = again(made, tmp_path)
    assert (found.task, found.column, found.utterances, found.changed, found.worst) == ("moves", "length", 8, 0, 0.0)
    assert times(lab) == 0
    assert "0 changed: the scorer gives what it gave" in rescoring.terminal([found])


def test_a_scorer_that_moved_is_said_to_have(made: Record, lab: Lab, tmp_path: Path) -> None:
    lab.change("moves.py", "w.abs().double().mean()", "w.abs().double().mean() * (1 + (name == 'test03'))")
    (found,) = again(made, tmp_path)
    assert (found.utterances, found.changed) == (8, 1)
    assert found.worst == pytest.approx(made.tasks["moves"].columns["length"].values["test03"])
    assert "the scorer has drifted" in rescoring.terminal([found])
    # the outputs are the row's: another scorer makes none
    assert times(lab) == 0


def test_another_scorer_does_not_generate_again(made: Record, lab: Lab, tmp_path: Path) -> None:
    lab.change("moves.py", ".double().mean()", ".double().amax()")
    other = Row(Request("linear_v1", "tiny", tmp_path / "cache"), Bar(quiet=True)).run()
    assert times(lab) == 0
    assert other.tasks["moves"].columns["length"].values != made.tasks["moves"].columns["length"].values


def test_without_outputs_there_is_one_clear_line(made: Record, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="its outputs of sung are not in .*other; `bench run --submission linear_v1"):
        rescoring.rescore(made, tmp_path / "other", Bar(quiet=True))
    bare = made.model_copy(update={"tasks": {"density": made.tasks["density"]}})
    with pytest.raises(RecordError, match="no task of this record kept what was generated"):
        again(bare, tmp_path)


def test_what_is_kept_lies_beside_the_record(row: Row, made: Record, tmp_path: Path) -> None:
    row.export(made, tmp_path / "samples")
    kept = outputs.load(tmp_path / "samples" / "linear_v1--levels--tiny--tiny")
    assert kept.rate == 16_000 and kept.about["row"] == "linear_v1" and kept.about["texts"] == {"test00": "text 0"}
    assert list(kept.outputs) == ["sung"] and list(kept.outputs["sung"]) == ["test00"]
    # a record of a cached row says the same
    cached = Row(row.request, Bar(quiet=True))
    assert cached.run().tasks["moves"].notes == made.tasks["moves"].notes


def test_what_one_task_generated_is_not_anothers(row: Row, made: Record) -> None:
    """Their generators differ, so that a shared output would depend on which task came first."""
    mine, other = (runner.TaskContext(row, row.tasks[name]) for name in ("moves", "density"))
    for value, context in enumerate((mine, other)):
        kept = context.outputs("hummed", {}, lambda value=value: {"a": torch.full((3,), value, dtype=torch.int16)})
        assert kept["a"].tolist() == [value] * 3


def test_a_variant_is_the_fitted_model_with_other_parameters(row: Row, made: Record) -> None:
    other = row.variant({"noise": 0.7})
    x = row.latents.splits["test"][0].x[None]
    generator = runner.generator(0, "x")
    assert other.log_prob(x, x, generator).equal(row.model.log_prob(x, x, generator))  # type: ignore[attr-defined]
    with pytest.raises(CardError, match="loudness"):
        row.variant({"loudness": 1.0})
