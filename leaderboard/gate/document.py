"""What a check found, as JSON for programs."""

from __future__ import annotations

import json
from typing import Any

from leaderboard.gate.change import Change, Outcome
from leaderboard.gate.drift import WORDS
from leaderboard.gate.margins import FALSE_ALARMS
from leaderboard.shown import unit


def as_json(found: Outcome) -> str:
    """Every change with unrounded numbers in the shown unit."""
    document = {
        "exit_code": found.code,
        "regressed": len(found.regressed),
        "judged": found.judged,
        "false_alarms": FALSE_ALARMS,
        "refused": list(found.refused),
        "changes": [_change(change) for change in found.changes],
        "not_run": [list(key) for key in found.not_run],
        "tasks_not_run": [[*key, task] for key, task in found.tasks_not_run],
        "added": [list(key) for key in found.added],
        "notes": list(found.notes),
    }
    return json.dumps(document, indent=1, ensure_ascii=False)


def _change(change: Change) -> dict[str, Any]:
    suite, dataset, codec, submission = change.key
    interval, noise = change.change, change.noise
    return {
        "suite": suite,
        "dataset": dataset,
        "codec": codec,
        "submission": submission,
        "task": change.task,
        "column": change.column,
        "unit": unit(change.card) if change.card else "",
        "verdict": change.verdict,
        "committed": change.committed,
        "fresh": change.fresh,
        "change": None if interval is None else interval.value,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "margin": change.margin,
        "sampling_error": noise.sampling if noise else None,
        "units": interval.n if interval else None,
        "seed_error": noise.seeds if noise else None,
        "seed_df": noise.df if noise and noise.seeds else None,
        "p": change.p,
        "detectable_80": change.detectable,
        "detectable_95": change.surely,
        "seed_noise": change.seeded or "not needed",
        "cause": change.cause or "none",
        "cause_in_words": WORDS.get(change.cause, "the values are the same"),
        "reason": change.reason,
    }
