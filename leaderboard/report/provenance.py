"""Where a row comes from: everything its record says of code, data, weights, machine and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.record import Record
from leaderboard.board import Board, Row
from leaderboard.text import plain


@dataclass(frozen=True)
class Provenance:
    """What a row's page shows. `facts`: group → (what, value) in order; `commands` make the row again."""

    facts: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    stages: Sequence[tuple[str, str, str, str]]
    tasks: Sequence[tuple[str, int, str, str, str]]
    parameters: Any
    commands: Sequence[str]
    warning: str


def provenance(row: Row, board: Board) -> Provenance:
    """The provenance of one row."""
    record = row.record
    environment = record.environment
    commit = environment.commit or "unknown"
    commands = [f"git checkout {plain(environment.commit, 80)}"] if environment.commit else []
    warning = ""
    if environment.dirty:
        warning = "the checkout had changes that the commit does not have, so that the command may not give this row"
    elif environment.commit is None:
        warning = f"no commit is known; the row was made by latentbench {plain(environment.latentbench, 40)}"
    return Provenance(
        facts=_facts(record, row, board, commit),
        stages=[
            (plain(n, 80), f"{s.seconds:.1f}", f"{s.peak_mib:.0f}", "yes" if s.cached else "no")
            for n, s in record.stages.items()
        ],
        tasks=[
            (plain(n, 80), e.version, e.status, plain(e.reason, 2000), e.scorer_digest) for n, e in record.tasks.items()
        ],
        parameters=record.submission.parameters,
        commands=[*commands, plain(record.command, 2000)],
        warning=warning,
    )


def _facts(record: Record, row: Row, board: Board, commit: str) -> list[tuple[str, list[tuple[str, str]]]]:
    submission, codec, data, machine = record.submission, record.codec, record.dataset, record.environment
    test = record.selftest
    passed = "none for this code" if test is None else f"{'passed' if test.passed else 'not passed'} ({test.preset})"
    changed = {True: "yes", False: "no", None: "unknown"}[machine.dirty]
    speakers = len({u.speaker for u in data.utterances.values()})
    known = f", {speakers} speakers" if data.speakers_known else ", speakers not known"
    minutes = ", ".join(f"{plain(split, 40)} {value:.1f} min" for split, value in data.minutes.items())
    groups = [
        (
            "Submission",
            [
                ("plug-in", submission.plugin),
                ("authors", submission.authors),
                ("paper", submission.paper),
                ("training data", submission.training_data),
                ("control", board.control(row)),
                ("parameters", f"{submission.parameter_count:,}".replace(",", " ")),
                ("code digest", submission.code_digest),
                ("weights digest", submission.weights_digest),
            ],
        ),
        (
            "Codec",
            [
                ("name", codec.name),
                ("latents", f"{codec.dim} at {codec.frame_rate:.4g} Hz"),
                ("audio", f"{codec.sample_rate} Hz, hop {codec.hop}"),
                ("looks ahead", f"{codec.lookahead} frames"),
                ("codebooks", ", ".join(map(str, codec.codebooks)) or "none"),
                ("weights", "trained" if codec.trained else "random: never ranked"),
                ("weights digest", codec.weights_digest),
            ],
        ),
        (
            "Data",
            [
                ("dataset", data.name),
                ("split", f"{plain(data.split, 40)}, {len(data.utterances)} utterances{known}"),
                ("used", minutes),
                ("refused", f"{len(data.refused)} files" if data.refused else "none"),
                ("digest", data.digest),
            ],
        ),
        (
            "Run",
            [
                ("made", record.created),
                ("commit", commit),
                ("changes beside it", changed),
                ("self-test", passed),
                ("self-test digest", test.digest if test else ""),
                ("seed", str(record.seed)),
                ("suite", record.suite),
                ("suite digest", record.suite_digest),
                ("record digest", record.digest),
            ],
        ),
        (
            "Machine and packages",
            [
                ("device", machine.device),
                ("processor", machine.processor),
                ("threads", str(machine.threads)),
                ("platform", machine.platform),
                ("Python", machine.python),
                ("latentbench", machine.latentbench),
                *machine.packages.items(),
            ],
        ),
    ]
    return [(title, [(what, value) for what, value in facts if value]) for title, facts in groups]
