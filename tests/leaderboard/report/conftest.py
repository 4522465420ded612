"""Records with samples, built into a site once a module, and a browser for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf

from bench import record as records
from bench.record import Record
from leaderboard.report.figure import Figure
from tests.browser import chromium

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c6360606000000004000"
    "1f61738550000000049454e44ae426082"
)


def keep_samples(
    record: Record, folder: Path, modes: Mapping[str, float], texts: Mapping[str, str] | None = None
) -> Path:
    """Two seconds of a tone an utterance and mode, of that frequency, with a thumbnail; returns their folder."""
    here = folder / "samples" / record.filename.removesuffix(".json")
    files: dict[str, Any] = {}
    for utterance in ("u000", "u001"):
        for mode, frequency in modes.items():
            (here / mode).mkdir(parents=True, exist_ok=True)
            tone = 0.1 * np.sin(2 * np.pi * frequency * np.arange(32000) / 16000)
            sf.write(here / mode / f"{utterance}.flac", tone, 16000, subtype="PCM_16")
            (here / mode / f"{utterance}.png").write_bytes(PNG)
            entry = {"mode": mode, "utterance": utterance, "sha256": "", "thumbnail": f"{mode}/{utterance}.png"}
            files[f"{mode}/{utterance}.flac"] = entry
    about = {"row": record.submission.name, "texts": dict(texts or {"u000": "a horse", "u001": "a library"})}
    (here / "manifest.json").write_text(json.dumps({"about": about, "sample_rate": 16000, "files": files}))
    return here


def draw(board: Any, views: Any, curves: Any) -> list[Figure]:
    """One figure, as those of the project are."""
    svg = '<svg viewBox="0 0 10 5" width="100" height="50"><path d="M0 0L10 5" style="stroke: var(--c0, #00f)"/></svg>'
    rows = [[name, "1.0"] for name in (row.name for row in board.rows)]
    return [Figure("gain", "Gain by horizon", "What the state says.", "Gain falls.", svg, ("row", "gain"), rows)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium."""
    with chromium() as launched:
        yield launched


def put(folder: Path, *made: Record) -> Path:
    """Write records into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for record in made:
        records.write(record, folder)
    return folder
