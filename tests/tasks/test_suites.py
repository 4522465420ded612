"""The suites' cards ask of tasks what these offer, and nothing in them assumes speech."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from bench import record, registry
from bench.config import overridden
from leaderboard.references import plugin_of
from tasks.probes.probe import ProbeConfig
from tests.conftest import Done

Bench = Callable[..., Done]
MINI = ("delta_nll", "rollout_gap", "innovation_rate", "matched_rate", "reconstruction")
DIAGNOSTICS = ("ladder", "direction", "clusters", "decoder_aware")
ELSEWHERE = {"librispeech"}
"""Datasets whose audio is fetched: a card may name them."""
RATE, SECONDS, PIECES = 16_000, 3.0, 24


@pytest.mark.parametrize("name", sorted(registry.suite_files()))
def test_every_parameter_is_one_that_its_task_has(name: str) -> None:
    suite = registry.suite_card(name)
    for task in suite.tasks:
        overridden(registry.task_card_of(task).parameters, suite.parameters.get(task, {}), f"{name}: {task}")
    assert plugin_of(suite.codec) in registry.names("codecs")
    assert suite.dataset in {*registry.names("datasets"), *ELSEWHERE}


def test_full_is_mimi_on_librispeech_with_every_task_and_no_smaller_budget() -> None:
    full, mini = registry.suite_card("full"), registry.suite_card("mini")
    assert (full.codec, full.dataset, full.minutes) == ("mimi", "librispeech", {})
    assert full.tasks == (*MINI, *DIAGNOSTICS)
    assert mini.tasks == MINI
    card = registry.task_card_of("delta_nll").parameters
    probe = overridden(card, full.parameters["delta_nll"], "full")["probe"]
    for key in ("width", "components"):
        assert probe[key] > card["probe"][key]
    assert probe["fit"]["steps"] > card["probe"]["fit"]["steps"]
    assert probe["family"] == "mdn" and probe["covariance"] == "semi_tied"


def test_fulls_probe_is_of_a_size_that_fits_in_mimis_dimensions() -> None:
    suite = registry.suite_card("full").parameters["delta_nll"]["probe"]
    sizes = {key: suite[key] for key in ("width", "components")}
    head = ProbeConfig(**sizes).head(512)
    assert 1e6 < sum(p.numel() for p in head.parameters()) < 2e7


def piece(seed: int) -> np.ndarray:
    """Plucked chords and a brush of noise on a beat: (N,) at 16 kHz."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(SECONDS * RATE)) / RATE
    out = np.zeros_like(t)
    for start in np.arange(0.0, SECONDS, 0.25 + 0.25 * rng.random()):
        here = t >= start
        age, root = t[here] - start, 110.0 * 2.0 ** (rng.integers(0, 24) / 12)
        for part in (1.0, 1.25, 1.5):
            out[here] += np.exp(-6.0 * age) * np.sin(2 * np.pi * root * part * age)
        out[here] += 0.2 * np.exp(-40.0 * age) * rng.normal(size=len(age))
    return (0.5 * out / np.abs(out).max()).astype(np.float32)


def test_music_scores_everything_but_words(one_thread: None, bench: Bench, tmp_path: Path) -> None:
    """The tasks of quick on a folder of chords, with fits of a few steps: what is scored, not how well."""
    music = tmp_path / "music"
    music.mkdir()
    for i in range(PIECES):
        sf.write(music / f"piece{i:02d}.wav", piece(i), RATE)
    suite, card = tmp_path / "quick.toml", tmp_path / "rssm.toml"
    text = registry.suite_files()["quick"].read_text("utf-8")
    assert "steps = 200" in text
    suite.write_text(text.replace("steps = 200", "steps = 10"), encoding="utf-8")
    text = registry.submission_files()["rssm_v1"].read_text("utf-8")
    assert "steps = 120" in text
    text = text.replace("steps = 120", "steps = 10").replace("width = 192", "width = 16")
    card.write_text(text, encoding="utf-8")
    where = ("--cache", tmp_path / "cache", "--records", tmp_path / "records")
    done = bench("run", "--submission", card, "--suite", suite, "--dataset", f"folder:{music}", *where)
    assert done.code == 0, done.err
    (path,) = (tmp_path / "records").glob("*.json")
    tasks = record.read(path).tasks
    assert {name: entry.status for name, entry in tasks.items()} == dict.fromkeys(MINI, "scored")
    reconstruction = tasks["reconstruction"]
    words = {f"{route}_wer_{kind}" for route in ("codec", "posterior", "prior") for kind in ("open", "closed")}
    assert reconstruction.skipped_columns == dict.fromkeys(words, "the dataset has no transcripts")
    declared = {column.name for column in registry.task_card_of("reconstruction").columns}
    assert set(reconstruction.columns) == declared - words
    assert all(column.values for column in reconstruction.columns.values())
    assert "the dataset has no transcripts" in " ".join(done.out.split())


def test_music_wants_a_folder(bench: Bench, tmp_path: Path) -> None:
    done = bench("run", "--submission", "raw_ar_v1", "--suite", "music", "--records", tmp_path, "--cache", tmp_path)
    assert done.code == 2
    assert "expected folder:PATH" in done.err and len(done.err.splitlines()) == 1
