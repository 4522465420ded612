"""A row is closed where nothing was its own but the model, and each thing that was makes it open, with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench import load_records, record, registry
from bench.cache import digest
from bench.config import DisclosureCard, SubmissionCard, SuiteCard, TaskCard, read_card
from bench.division import division, undisclosed
from bench.errors import CardError
from bench.record import Record

SAID = DisclosureCard(training_hours=960, training_languages=("en",), overlap="none: LibriSpeech has other speakers")


@pytest.fixture(scope="module")
def closed() -> Record:
    return next(r for r in load_records() if r.suite == "mini" and r.submission.name == "rssm_v1")


@pytest.fixture(scope="module")
def suite() -> SuiteCard:
    return registry.suite_card("mini")


@pytest.fixture(scope="module")
def cards(suite: SuiteCard) -> dict[str, TaskCard]:
    return {name: registry.task_card_of(name) for name in suite.tasks}


def changed(row: Record, part: str, **values: Any) -> Record:
    return row.model_copy(update={part: getattr(row, part).model_copy(update=values)})


def test_a_row_of_the_suite_is_closed(closed: Record, suite: SuiteCard, cards: dict[str, TaskCard]) -> None:
    found = division(closed, suite, cards)
    assert found.name == "closed" and found.reasons == ()


def test_controls_and_replicates_of_the_suite_are_closed(suite: SuiteCard, cards: dict[str, TaskCard]) -> None:
    rows = [r for r in load_records() if r.suite == "mini"]
    assert len(rows) > 20 and {division(r, suite, cards).name for r in rows} == {"closed"}


def test_other_data_weights_or_ground_make_it_open(
    closed: Record, suite: SuiteCard, cards: dict[str, TaskCard]
) -> None:
    other = {
        "trained on 960 h of radio": changed(closed, "submission", training_data="960 h of radio"),
        "weights from elsewhere: w2v@1": changed(
            closed, "submission", disclosure=SAID.model_copy(update={"pretrained": ("w2v@1",)})
        ),
        "on folder:mine": changed(closed, "dataset", name="folder:mine"),
        "on synthspeech, the suite's dataset": closed.model_copy(
            update={"command": f"{closed.command} --dataset synthspeech:other"}
        ),
        "another form of the suite mini": closed.model_copy(update={"suite_digest": "0"}),
    }
    for reason, row in other.items():
        (said,) = division(row, suite, cards).reasons
        assert reason in said
    (said,) = division(closed, None, cards).reasons
    assert said == "no installed suite mini"


def test_another_probe_or_budget_makes_it_open(closed: Record, suite: SuiteCard, cards: dict[str, TaskCard]) -> None:
    entry = closed.tasks["delta_nll"]
    more = entry.model_copy(update={"parameters": entry.parameters | {"controls": "more"}})
    row = closed.model_copy(update={"tasks": closed.tasks | {"delta_nll": more}})
    assert division(row, suite, cards).reasons == ("other parameters than the suite's: delta_nll",)
    # of another version it is not comparable anyway, and tables say so
    older = more.model_copy(update={"version": 1})
    row = closed.model_copy(update={"tasks": closed.tasks | {"delta_nll": older}})
    assert division(row, suite, cards).name == "closed"


def test_the_same_digest_under_the_suite_as_it_reads_now(closed: Record, suite: SuiteCard) -> None:
    assert closed.suite_digest == digest(suite.model_dump(mode="json"))


def test_only_what_was_learned_elsewhere_has_to_be_disclosed(closed: Record) -> None:
    assert undisclosed(closed) == ""
    assert undisclosed(changed(closed, "dataset", name="folder:mine")) == ""
    row = changed(closed, "submission", training_data="radio")
    assert "training_hours" in undisclosed(row)
    assert undisclosed(changed(row, "submission", disclosure=SAID)) == ""


def test_a_row_that_discloses_nothing_keeps_its_bytes_and_digest(closed: Record) -> None:
    assert "disclosure" not in json.loads(closed.model_dump_json())["submission"]
    assert closed.content_digest() == closed.digest


def test_what_is_disclosed_is_kept_sealed_and_read_back(closed: Record, tmp_path: Path) -> None:
    row = changed(closed, "submission", disclosure=SAID, training_data="radio")
    path = record.write(row, tmp_path)
    again = record.read(path)
    assert again.submission.disclosure == SAID and again.digest != closed.digest
    path.write_text(path.read_text("utf-8").replace("960.0", "9.0"), encoding="utf-8")
    with pytest.raises(record.RecordError, match="edited"):
        record.read(path)


CARD = 'name = "a"\nplugin = "p"\ntitle = "t"\ndescription = "d"\nauthors = "x"\n[disclosure]\n'


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ('training_languages = ["en"]\noverlap = "o"', "disclosure.training_hours"),
        ('training_hours = -1\ntraining_languages = ["en"]\noverlap = "o"', "disclosure.training_hours"),
        ('training_hours = 1\ntraining_languages = "en"\noverlap = "o"', "disclosure.training_languages"),
        ('training_hours = 1\ntraining_languages = ["en"]\noverlap = ""', "disclosure.overlap"),
        ('training_hours = 1\ntraining_languages = []\noverlap = "o"\nhours = 1', "disclosure.hours"),
    ],
)
def test_a_disclosure_that_says_too_little_is_refused(tmp_path: Path, lines: str, why: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(CARD + lines, encoding="utf-8")
    with pytest.raises(CardError, match=why):
        read_card(path, SubmissionCard)


def test_a_card_that_says_all_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    lines = 'training_hours = 960\ntraining_languages = ["en"]\noverlap = "none: LibriSpeech has other speakers"'
    path.write_text(CARD + lines, encoding="utf-8")
    assert read_card(path, SubmissionCard).disclosure == SAID


def test_a_command_that_no_shell_would_take_says_nothing(
    closed: Record, suite: SuiteCard, cards: dict[str, TaskCard]
) -> None:
    odd = closed.model_copy(update={"command": "bench run --dataset '"})
    assert division(odd, suite, cards).name == "closed"
