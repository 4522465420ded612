"""What is said of latents that were made on purpose, as text, as JSON and as plots."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from bench import latent_plots
from bench.contract import LatentUtterance
from bench.errors import BenchError, DataError
from bench.latent_summary import SAMPLE, Source, Thinned, note, summarise, text
from tests.conftest import Done
from tests.plugins import Lab

SOURCE = Source("noise × toy, all splits", dim=6, frame_rate=12.5, hours=0.5)


def made(utterances: int = 60, speakers: int = 6, frames: int = 100) -> list[LatentUtterance]:
    """Dimensions: noise of deviations 1 and 2, 1 again times −3, a constant, voice of variance .5, atoms."""
    rng = torch.Generator().manual_seed(0)
    voices = torch.randn(speakers, generator=rng)
    voices = 0.5**0.5 * (voices - voices.mean()) / (voices.std() if speakers > 1 else 1.0)
    out = []
    for i in range(utterances):
        x = torch.randn(frames, 6, generator=rng)
        x[:, 1] *= 2.0
        x[:, 2] = -3.0 * x[:, 0]
        x[:, 3] = 0.7
        x[:, 4] = voices[i % speakers] + 0.5**0.5 * x[:, 4]
        x[:, 5] = x[:, 5].sign()
        out.append(LatentUtterance(f"u{i}", f"s{i % speakers}", x))
    return out


def test_what_was_put_in_is_found() -> None:
    found = summarise(made(), SOURCE)
    assert (found.utterances, found.speakers, found.frames) == (60, 6, 6000)
    assert found.constant == found.flat == (3,)
    assert found.duplicated == ((0, 2),)
    assert found.sample.discrete == (5,)
    assert found.deviation.tolist() == pytest.approx([1, 2, 3, 0, 1, 1], abs=0.05)
    assert found.kurtosis[5] == pytest.approx(-2.0, abs=0.01)
    assert found.lag_one[1] == pytest.approx(0.0, abs=0.04)
    # a voice is the same in neighbouring frames
    assert found.lag_one[4] == pytest.approx(0.5, abs=0.05)
    assert found.share is not None and found.components is not None
    assert found.share[4] == pytest.approx(0.5, abs=0.03)
    assert found.share[1] == pytest.approx(0.0, abs=0.01)
    # of utterance means over 100 frames nearly all is voice
    assert found.components.intraclass[4] == pytest.approx(0.99, abs=0.01)
    x = torch.cat([u.x for u in made()]).double()
    torch.testing.assert_close(found.eigenvalues, torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0))


def test_isotropic_noise_has_all_its_dimensions() -> None:
    rng = torch.Generator().manual_seed(0)
    noise = (LatentUtterance(f"u{i}", f"s{i % 3}", torch.randn(500, 6, generator=rng)) for i in range(40))
    found = summarise(noise, SOURCE)
    assert found.effective_rank == pytest.approx(6.0, abs=0.01)
    assert found.participation_ratio == pytest.approx(6.0, abs=0.01)
    assert not (found.constant or found.flat or found.duplicated or found.sample.discrete)


def test_the_text_fits_a_terminal_and_says_it_all() -> None:
    shown = text(summarise(made(), SOURCE))
    assert max(map(len, shown.splitlines())) <= 80
    for part in (
        "noise × toy, all splits",
        "6 dimensions at 12.5 Hz, float32; 6000 frames, 0.50 h",
        "60 utterances, 6 speakers",
        "excess kurtosis (Gaussian 0)",
        "autocorrelation at 1 frame, 80 ms",
        "speakers' share of variance",
        "constant dimensions: 3",
        "duplicated pairs: 0=2",
        "dimensions of few values: 5",
    ):
        assert part in shown


def test_many_dimensions_still_fit() -> None:
    rng = torch.Generator().manual_seed(0)
    wide = [LatentUtterance("u", "s", torch.randn(50, 300, generator=rng).repeat_interleave(2, 1))]
    shown = text(summarise(wide, Source("x", 600, 50.0, 0.1)))
    assert max(map(len, shown.splitlines())) <= 80
    assert "and 284 more" in shown


@pytest.mark.parametrize(
    ("latents", "known", "reason"),
    [
        (made(6, 6), True, "one utterance a speaker: voices cannot be told from recordings"),
        (made(6, 1), True, "needs at least 2 speakers, got 1"),
        (made(), False, "the dataset does not know its speakers"),
    ],
)
def test_without_speakers_their_share_is_skipped_with_the_reason(
    latents: list[LatentUtterance], known: bool, reason: str
) -> None:
    found = summarise(latents, Source("x", 6, 12.5, 0.1, speakers_known=known))
    assert found.share is None
    assert text(found).splitlines()[-1] == f"speakers' share: skipped: {reason}"
    assert note(found)["speaker"] == {"skipped": reason}


def test_what_cannot_be_summarised_is_refused() -> None:
    broken = made(3)
    broken[1].x[2, 2] = torch.nan
    with pytest.raises(DataError, match="latents of u1 are not finite"):
        summarise(broken, SOURCE)
    flat = [LatentUtterance("u", "s", torch.ones(9, 6))]
    with pytest.raises(DataError, match="expected frames that vary, got 9, all the same"):
        summarise(flat, SOURCE)
    with pytest.raises(DataError, match="expected frames that vary, got 0"):
        summarise([], SOURCE)


def test_a_thinned_sample_is_evenly_spaced_and_bounded() -> None:
    thinned = Thinned(100)
    for start in range(0, 7000, 70):
        thinned.add(torch.arange(start, start + 70)[:, None])
    kept = thinned.frames()[:, 0]
    assert 50 <= len(kept) <= 100
    assert kept.tolist() == list(range(0, 7000, int(kept[1])))
    few = Thinned(SAMPLE)
    few.add(torch.arange(7)[:, None])
    assert few.frames()[:, 0].tolist() == list(range(7))


# --- files and the command ---------------------------------------------------------------------------------


def test_plots_and_json_hold_what_was_found_and_are_the_same_twice(tmp_path: Path) -> None:
    found = summarise(made(), SOURCE)
    paths = latent_plots.write(found, tmp_path / "a")
    assert [path.name for path in paths] == ["summary.json", "spectrum.svg", "dimensions.svg"]
    said = json.loads(paths[0].read_text())
    assert said["eigenvalues"] == found.eigenvalues.tolist()
    assert said["excess_kurtosis"][3] is None
    assert said["speaker"]["intraclass"][4] == pytest.approx(0.99, abs=0.01)
    assert said["duplicated"] == [[0, 2]]
    for path in paths[1:]:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    assert "speakers' share" in paths[2].read_text()
    again = latent_plots.write(found, tmp_path / "b")
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in paths]


def test_a_missing_matplotlib_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BenchError, match=r"plots need matplotlib: pip install 'latentbench\[figures\]'"):
        latent_plots.matplotlib()


def test_the_command_reads_a_store_and_the_cache_alike(bench: Callable[..., Done], lab: Lab, tmp_path: Path) -> None:
    assert bench("encode", "--suite", "tiny", "--out", tmp_path / "store").code == 0
    stored = bench("latents", "inspect", tmp_path / "store", "--write", tmp_path / "plots")
    assert stored.code == 0, stored.err
    assert stored.out.startswith("tiny × levels, all splits\n4 dimensions at 12.5 Hz, float32; ")
    assert (tmp_path / "plots" / "summary.json").exists()
    cached = bench("latents", "inspect", "--codec", "levels", "--dataset", "tiny", "--cache", tmp_path / "cache")
    assert cached.out.splitlines() == stored.out.splitlines()[:-3]
    test = bench("latents", "inspect", tmp_path / "store", "--split", "test")
    assert "\n8 utterances, 4 speakers\n" in test.out


def test_the_command_refuses_what_makes_no_sense(bench: Callable[..., Done], lab: Lab, tmp_path: Path) -> None:
    for given in ((), ("--codec", "levels"), (tmp_path, "--codec", "levels", "--dataset", "tiny")):
        done = bench("latents", "inspect", *given)
        assert (done.code, done.out) == (2, "")
        assert done.err == "bench: latents inspect: expected a STORE, or --codec with --dataset\n"
    assert "got no manifest.json" in bench("latents", "inspect", tmp_path).err
    assert bench("encode", "--suite", "tiny", "--out", tmp_path / "store").code == 0
    done = bench("latents", "inspect", tmp_path / "store", "--split", "dev")
    assert done.err == "bench: no split 'dev'; there are: train, valid, test\n"
