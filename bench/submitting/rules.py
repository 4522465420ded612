"""What a row must keep before anybody is asked to read it, each rule a function whose first line says what."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

from bench import registry
from bench.cache import digest
from bench.conformance import report
from bench.conformance.rule import Broken, Result, applied
from bench.division import division, undisclosed
from bench.errors import BenchError
from bench.fingerprint import source_digest
from bench.progress import Bar
from bench.record import SCHEMA, Record
from bench.rescoring import request
from bench.runner import Row
from bench.submitting import spot

OURS = "latentbench"
"""The distribution whose plug-ins its own tests hold to the rules."""
BLANK = "FILL IN"
"""What stands in a card of `bench new` until somebody fills it in."""


class Subject:
    """A record, and the row that its command makes here.

    Args:
        count: utterances whose values are compared.
    """

    def __init__(self, record: Record, cache: Path, count: int, bar: Bar) -> None:
        self.record, self.cache, self.count, self.bar = record, cache, count, bar

    @cached_property
    def row(self) -> Row:
        """Of the whole suite; nothing is fitted yet.

        Raises:
            BenchError: the command does not say how, or makes another row, or a plug-in cannot be built here.
        """
        if "--submission" not in self.record.command or "--suite" not in self.record.command:
            raise Broken(f"its command does not name a submission and a suite: {self.record.command!r:.80}")
        device = "cpu" if self.record.environment.device.startswith("cpu") else "auto"
        made = Row(request(self.record, self.cache, device=device), self.bar)
        if made.name != self.record.submission.name:
            raise Broken(f"its command makes {made.name}, the record is of {self.record.submission.name}")
        return made

    def plugins(self) -> Iterator[tuple[str, str]]:
        """Kind and name of what the row is made with."""
        yield "submissions", self.row.request.submission
        yield "codecs", self.row.codec_spec
        yield "datasets", self.row.request.dataset or self.row.suite.dataset
        yield from (("tasks", name) for name in self.record.tasks)


def record_is_sealed(subject: Subject) -> str:
    """The record reads, and its digest is of what it says."""
    # whoever could not read it did not come so far
    return f"schema {SCHEMA}, digest {subject.record.digest[:12]}"


def made_from_a_commit(subject: Subject) -> str:
    """It was made from a commit, with nothing changed beside it."""
    environment = subject.record.environment
    if environment.commit is None:
        raise Broken("no commit is known: make the row with an editable install of a checkout")
    if environment.dirty:
        raise Broken(f"the checkout at {environment.commit[:10]} had changes: commit them and make the row again")
    return environment.commit[:10]


def suite_is_whole(subject: Subject) -> str:
    """The suite is the installed one, each of its tasks is in the record, and none has failed."""
    record, suite = subject.record, subject.row.suite
    if record.suite_digest != digest(suite.model_dump(mode="json")):
        raise Broken(f"made under another form of the suite {suite.name}: make the row again")
    if missing := [name for name in suite.tasks if name not in record.tasks]:
        raise Broken(f"not in the record: {', '.join(missing)}; `{_whole(record)}` adds them")
    if failed := [f"{name}: {entry.reason}" for name, entry in record.tasks.items() if entry.status == "failed"]:
        raise Broken(f"failed: {'; '.join(failed)}")
    skipped = [name for name, entry in record.tasks.items() if entry.status == "skipped"]
    if len(skipped) == len(record.tasks):
        raise Broken("every task was skipped: there is nothing to rank")
    return f"{suite.name}, {len(record.tasks)} tasks" + (f"; skipped: {', '.join(skipped)}" if skipped else "")


def code_is_the_installed(subject: Subject) -> str:
    """Task versions and digests of code, card, codec weights and data are those of what is installed."""
    record, row = subject.record, subject.row
    moved = []
    for name, task in record.tasks.items():
        if task.version != registry.task_card_of(name).version:
            moved.append(f"task {name} is at version {registry.task_card_of(name).version}, not {task.version}")
        elif task.scorer_digest != source_digest(registry.module_of("tasks", name)):
            moved.append(f"the code of task {name}")
    entry, card = record.submission, row.card
    if entry.code_digest != source_digest(registry.module_of("submissions", card.plugin)):
        moved.append(f"the code of {card.plugin}")
    if (entry.plugin, entry.parameters) != (card.plugin, row.parameters):
        moved.append(f"the card of {card.name}")
    if (record.codec.name, record.codec.weights_digest) != (row.codec.info.name, row.codec.info.weights_digest):
        moved.append(f"the codec {record.codec.name}")
    if record.dataset.digest != row.dataset.digest:
        moved.append(f"the dataset {record.dataset.name}")
    if moved:
        raise Broken(f"changed since: {'; '.join(moved)}: make the row again")
    return f"{len(record.tasks)} tasks, {card.plugin}, {record.codec.name}, {record.dataset.name}"


def self_test_passed(subject: Subject) -> str:
    """The estimators of this very code recover what is known."""
    found = subject.record.selftest
    if found is None:
        raise Broken("no self-test is known for this code: `bench selftest`, then make the row again")
    if not found.passed:
        raise Broken("the self-test of this code did not pass: `bench selftest` says where")
    return f"preset {found.preset}"


def plug_ins_keep_the_rules(subject: Subject) -> str:
    """The submission, and every plug-in that does not ship with the harness, conforms."""
    asked = []
    for kind, name in subject.plugins():
        if kind == "submissions" or not _ships(kind, name):
            results = report.check(name, kind)
            if not report.passed(results):
                broken = [one.rule for one in results if one.verdict == "failed"]
                raise Broken(f"{name} breaks {', '.join(broken)}: `bench conformance {name} --kind {kind}` says how")
            asked.append(name)
    return ", ".join(asked)


def card_is_filled_in(subject: Subject) -> str:
    """Authors, title and training data are said, and the card says what the record says."""
    entry, card = subject.record.submission, subject.row.card
    for what in ("title", "authors", "training_data", "paper"):
        said = getattr(entry, what)
        if BLANK in said or (not said.strip() and what != "paper"):
            raise Broken(f"{what} is not filled in: expected it in the card of {card.name}, got {said!r:.60}")
        if said != getattr(card, what):
            raise Broken(f"{what} in the card has changed since: make the row again; the fit is cached")
    if entry.disclosure != card.disclosure:
        raise Broken("the card's disclosure has changed since: make the row again; the fit is cached")
    return f"by {entry.authors}"


def division_is_disclosed(subject: Subject) -> str:
    """A row of the closed division needs no more; one that learned from other data says from what."""
    record = subject.record
    cards = {name: registry.task_card_of(name) for name in record.tasks}
    found = division(record, subject.row.suite, cards)
    if missing := undisclosed(record):
        raise Broken(f"open division ({'; '.join(found.reasons)}): {missing}")
    if record.submission.disclosure is not None and BLANK in record.submission.disclosure.model_dump_json():
        raise Broken("open division: its disclosure is not filled in")
    return f"{found.name} division" + (f": {'; '.join(found.reasons)}" if found.reasons else "")


def spot_check_repeats(subject: Subject) -> str:
    """Its cheapest task, scored again, gives the record's values."""
    return spot.check(subject.record, subject.row, subject.count)


RULES: tuple[Callable[[Subject], str], ...] = (
    record_is_sealed,
    made_from_a_commit,
    suite_is_whole,
    code_is_the_installed,
    self_test_passed,
    plug_ins_keep_the_rules,
    card_is_filled_in,
    division_is_disclosed,
    spot_check_repeats,
)


def check(subject: Subject) -> list[Result]:
    """Every rule on a row; one that is broken keeps no other from being asked."""
    return applied(f"row {subject.record.submission.name!r}", RULES, subject)


def _whole(record: Record) -> str:
    return record.command.partition(" --task")[0]


def _ships(kind: str, name: str) -> bool:
    bare = registry.codec_spec(name)[0] if kind == "codecs" else name.partition(":")[0]
    point = registry.find(kind, bare)
    return point.dist is not None and point.dist.name == OURS


def ships(record: Record) -> bool:
    """Whether the row's plug-in is the harness's own."""
    try:
        return _ships("submissions", record.submission.plugin)
    except BenchError:
        return False
