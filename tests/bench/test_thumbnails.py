"""Thumbnails show what is heard: tones in their band, clicks at their time, silence as nothing."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bench.errors import BenchError, DataError, RecordError
from bench.outputs import MANIFEST, illustrate, keep, load, quantised
from bench.thumbnails import BANDS, ENVELOPE, GAP, HEIGHT, LEVELS, WAVEFORM, WIDTH, WINDOW, picture, png
from tests.conftest import Done

RATE = 16_000
BAND_HZ = RATE / 2 / BANDS


def spectrogram(audio: np.ndarray) -> np.ndarray:
    """Levels by band from 0 Hz upwards, and column."""
    return picture(quantised(audio, "x"))[WAVEFORM + GAP :][::-1]


@pytest.mark.parametrize("band", [0, 3, 17, 47])
@pytest.mark.parametrize("seconds", [0.6, 3.0])
def test_a_tone_lights_its_own_band_and_no_other(band: int, seconds: float) -> None:
    # in the middle of the band; the first column and the last see where the tone begins and ends
    f, t = (band + 0.5) * BAND_HZ, np.arange(int(seconds * RATE)) / RATE
    edge = int(np.ceil(WINDOW / 2 / len(t) * WIDTH))
    inside = spectrogram(0.9 * np.sin(2 * np.pi * f * t))[:, edge:-edge]
    assert (inside[band] == LEVELS - 1).all()
    assert not np.delete(inside, band, axis=0).any()


def test_a_tone_ten_times_as_quiet_is_as_much_darker_as_the_range_says() -> None:
    t = np.arange(2 * RATE) / RATE
    tone = np.sin(2 * np.pi * 7.5 * BAND_HZ * t)
    levels = [spectrogram(gain * tone)[7, WIDTH // 2] for gain in (0.05, 0.005)]
    # 80 dB over 16 levels
    assert abs(int(levels[0]) - int(levels[1]) - 20 / (80 / LEVELS)) <= 1


def test_silence_is_dark_everywhere() -> None:
    assert not picture(np.zeros(RATE, dtype=np.int16)).any()
    assert not picture(np.zeros(0)).any()


@pytest.mark.parametrize(("at", "seconds"), [(0.25, 1.0), (0.8, 3.0), (0.5, 30.0)])
def test_a_click_is_a_line_at_its_time_in_every_band(at: float, seconds: float) -> None:
    audio = np.zeros(int(seconds * RATE))
    audio[int(at * len(audio))] = 1.0
    levels = spectrogram(audio)
    lit = np.flatnonzero(levels.min(0))
    assert lit[0] <= at * WIDTH < lit[-1] + 1
    assert (levels[:, lit] == levels[:1, lit]).all(), "a click has all frequencies alike"
    reach = WINDOW / 2 / len(audio) * WIDTH
    assert abs(lit + 0.5 - at * WIDTH).max() <= reach + 1.5
    envelope = picture(audio)[:WAVEFORM]
    assert np.flatnonzero(envelope.any(0)).tolist() == [int(at * WIDTH)]
    # upwards only, from the middle to the top
    assert (envelope[: WAVEFORM // 2, int(at * WIDTH)] == ENVELOPE).all() and not envelope[WAVEFORM // 2 + 1 :].any()


def test_what_is_louder_is_wider_and_full_scale_fills() -> None:
    t = np.arange(RATE) / RATE
    heights = [(picture(a * np.sin(2 * np.pi * 440 * t))[:WAVEFORM] > 0).sum(0)[120] for a in (0.01, 0.1, 1.0)]
    assert heights == sorted(set(heights)) and heights[-1] == WAVEFORM
    # by the square root of the amplitude
    assert abs(heights[1] - WAVEFORM * np.sqrt(0.1)) <= 2


def test_the_same_samples_give_the_same_bytes_and_a_small_file() -> None:
    image = pytest.importorskip("PIL.Image")
    noise = quantised(np.random.default_rng(0).uniform(-1, 1, 5 * RATE), "x")
    first, again = png(noise), png(noise.copy())
    assert first is not None and first == again and len(first) < 12_000
    opened = image.open(io.BytesIO(first))
    assert opened.size == (WIDTH, HEIGHT)
    assert np.array_equal(np.asarray(opened), picture(noise)), "the picture's levels are the file's"


# --- beside kept samples -----------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "row", with_pictures: bool = True) -> Path:
        folder = tmp_path / name
        tone = quantised(0.5 * np.sin(np.arange(4000) * 0.3), "x")
        keep(folder, {"original": {"a": tone, "b/../c": tone[::2]}}, RATE, {"row": name})
        if not with_pictures:
            for path in folder.rglob("*.png"):
                path.unlink()
            manifest = json.loads((folder / MANIFEST).read_text())
            for entry in manifest["files"].values():
                del entry["thumbnail"]
            (folder / MANIFEST).write_text(json.dumps(manifest))
        return folder

    return make


def test_every_kept_file_has_a_picture_of_it_inside_the_folder(kept: Callable[..., Path]) -> None:
    folder = kept()
    found = load(folder).outputs["original"]
    for path, entry in json.loads((folder / MANIFEST).read_text())["files"].items():
        assert entry["thumbnail"] == path.replace(".flac", ".png")
        assert (folder / entry["thumbnail"]).read_bytes() == png(found[entry["utterance"]])


def test_an_old_folder_loads_and_gets_the_pictures_a_new_one_has(kept: Callable[..., Path]) -> None:
    new, old = kept("new"), kept("old", with_pictures=False)
    assert {m: set(o) for m, o in load(old).outputs.items()} == {m: set(o) for m, o in load(new).outputs.items()}
    assert illustrate(old) == 2
    assert illustrate(old) == 0, "what is there stays"
    assert {p.name: p.read_bytes() for p in old.rglob("*.png")} == {p.name: p.read_bytes() for p in new.rglob("*.png")}
    victim = next(old.rglob("*.png"))
    victim.unlink()
    assert illustrate(old) == 1 and victim.is_file()


def test_without_pillow_nothing_is_drawn_and_nothing_fails(
    kept: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    folder = kept()
    assert not list(folder.rglob("*.png")) and "thumbnail" not in (folder / MANIFEST).read_text()
    assert set(load(folder).outputs["original"]) == {"a", "b/../c"}
    with pytest.raises(BenchError, match=r"pip install 'latentbench\[figures\]'"):
        illustrate(folder)


def test_the_command_draws_what_is_missing_and_names_what_is_broken(
    kept: Callable[..., Path], tmp_path: Path, bench: Callable[..., Done]
) -> None:
    kept("a", with_pictures=False), kept("c", with_pictures=False)
    (kept("b") / MANIFEST).write_text('{"files": {"x.flac": {}}, "sample_rate": 1, "about": {}}')
    with pytest.raises(RecordError, match="not a manifest"):
        load(tmp_path / "b")
    done = bench("thumbnails", tmp_path, "--quiet")
    assert done.code == 2
    assert "b/manifest.json: not a manifest" in done.err
    assert "4 drawn, in 3 folders" in done.out
    assert len(list((tmp_path / "c").rglob("*.png"))) == 2
    (tmp_path / "none").mkdir()
    done = bench("thumbnails", tmp_path / "none", "--quiet")
    assert done.code == 2
    assert "no samples there" in done.err


def test_a_manifest_cannot_lead_out_of_its_folder(kept: Callable[..., Path]) -> None:
    folder = kept()
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"]["../row/original/a.flac"] = manifest["files"]["original/a.flac"]
    manifest["files"]["../other.flac"] = manifest["files"]["original/a.flac"]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="outside the folder"):
        illustrate(folder)
