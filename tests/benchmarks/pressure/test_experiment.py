"""The whole way on two small corpora of noise: training, a kill, measuring, JSON, tables and figure."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from bench.cache import Cache
from bench.codecs.minicodec_model import Config
from bench.contract import Split, Utterance
from bench.errors import UnknownName
from bench.fitting import FitConfig
from bench.progress import Bar
from benchmarks.pressure import document, experiment, figure, measure
from benchmarks.pressure.experiment import run
from benchmarks.pressure.measure import Settings
from benchmarks.pressure.summary import Results
from benchmarks.pressure.train import VARIANTS, Budget, trained

COUNTS: dict[Split, int] = {"train": 10, "valid": 3, "test": 4}
TINY = Budget(
    Config(4, (8, 8, 8, 8), (1, 1, 1, 1), (8, 8, 8, 8), (1, 1, 1, 1), 1, codebooks=1, codebook_size=1),
    FitConfig(steps=6, batch=2, evaluate_every=2, warmup=2, patience=0),
)
SETTINGS = Settings(
    share=0.2,
    targets={"near": 1.0, "far": 1.0},
    probe={"width": 8, "components": 2, "fit": {"steps": 4, "batch": 4, "evaluate_every": 2}},
)


class Noise:
    """Noise whose level wanders, of three voices."""

    refused: dict[str, str]
    grammar, speakers_known = None, True

    def __init__(self, name: str) -> None:
        self.name, self.digest = name, hashlib.sha256(name.encode()).hexdigest()
        self.refused, self.converted = {}, {}

    def utterances(self, split: Split) -> Sequence[Utterance]:
        return [Utterance(f"{self.name}-{split}{i}", f"s{i % 3}", split) for i in range(COUNTS[split])]

    def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
        rng = np.random.default_rng(list(utterance.id.encode()))
        level = np.repeat(np.exp(0.5 * np.cumsum(rng.normal(size=18)) - 3), 1280)
        return (level * rng.uniform(-1, 1, len(level))).clip(-1, 1).astype(np.float32)[: -int(rng.integers(1, 900))]


def recordings() -> dict[str, dict[str, list[torch.Tensor]]]:
    noise = Noise("spoken")
    parts = {p: [torch.from_numpy(noise.audio(u, 16_000)) for u in noise.utterances(p)] for p in ("train", "valid")}
    return {part: {"synthspeech": audio, "librispeech": audio} for part, audio in parts.items()}


def go(root: Path, out: Path, names: Sequence[str], read: Callable[[], Any] = recordings) -> dict[str, Any]:
    datasets = {name: Noise(name) for name in ("near", "far")}
    run(datasets, read, "digest", [(n, 0) for n in names], TINY, SETTINGS, Cache(root), out, Bar(quiet=True))
    return json.loads(out.read_text())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("pressure")
    return root, go(root / "work", root / "out.json", ["ae", "kl_mid", "fsq3", "noise3"])


def test_every_variant_is_measured_on_every_corpus(made: tuple[Path, dict[str, Any]]) -> None:
    content = made[1]
    assert [r["variant"] for r in content["runs"]] == ["ae", "kl_mid", "fsq3", "noise3"]
    for r in content["runs"]:
        for corpus in ("near", "far"):
            found = r["corpora"][corpus]
            assert {"mel", "own_mel", "fixed_gain_80ms", "fixed_shuffled_640ms", "fixed_rate"} <= set(found["values"])
            assert len(found["values"]["mel"]) == COUNTS["test"]
            assert ("unigram" in found["values"]) == (r["variant"] == "fsq3")
            assert ("own_rate" in found["values"]) == (r["variant"] != "ae")
            assert ("matched" in found) != ("matched_reason" in found)
    same = {r["variant"]: r["corpora"]["near"]["values"] for r in content["runs"]}
    # no noise in its channel: the same audio
    assert same["fsq3"]["mel"] == pytest.approx(same["fsq3"]["own_mel"], abs=1e-3)
    assert same["noise3"]["mel"] != same["noise3"]["own_mel"]
    assert set(same["fsq3"]["own_rate"]) == {round(4 * float(np.log(3)), 4)}


def test_a_second_run_computes_nothing_and_writes_the_same(
    made: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, content = made

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("computed again")

    monkeypatch.setattr(measure, "predictability", never)
    monkeypatch.setattr(measure, "matched_share", never)
    again = go(root / "work", root / "again.json", [r["variant"] for r in content["runs"]], never)
    assert again == content


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(tmp_path: Path) -> None:
    class Killed(Exception):
        pass

    steps: list[int] = []

    def kill_at_5(what: str, done: int, total: int) -> None:
        steps.append(done)
        if done == 5 and steps.count(5) == 1:
            raise Killed

    go_on = lambda cache: trained("fsq3", 0, recordings, "digest", TINY, cache, kill_at_5)  # noqa: E731
    with pytest.raises(Killed):
        go_on(Cache(tmp_path / "a"))
    _, resumed = go_on(Cache(tmp_path / "a"))
    # the checkpoint is of step 4
    assert steps == [1, 2, 3, 4, 5, 5, 6]
    _, whole = go_on(Cache(tmp_path / "b"))
    assert set(resumed) == set(whole)
    for name, tensor in whole.items():
        if name != "curve":
            assert torch.equal(tensor, resumed[name]), name
    assert not list((tmp_path / "a").rglob("*.checkpoint"))


def test_variants_differ_in_nothing_but_the_bottleneck(tmp_path: Path) -> None:
    still = Budget(TINY.config, FitConfig(steps=1, batch=2, lr=1e-12, evaluate_every=1, patience=0))
    weights = [
        trained(name, 3, recordings, "digest", still, Cache(tmp_path), lambda *_: None)[1] for name in ("ae", "noise9")
    ]
    for name, tensor in weights[0].items():
        if name != "curve":
            torch.testing.assert_close(tensor, weights[1][name], atol=1e-7, rtol=0)


def test_tables_and_figure_come_from_the_json(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    root, _ = made
    results = Results.read(root / "out.json")
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- {n}:start -->\n<!-- {n}:end -->\n" for n in document.blocks(results)))
    document.write(results, page)
    text = page.read_text()
    gain = results.mean("ae", "near", "fixed_gain_80ms", 12.5 / np.log(2))
    assert gain is not None and f"{gain.value:.1f} [".replace("-", "−") in text
    pictures = [tmp_path / name for name in ("one.svg", "two.svg")]
    for path in pictures:
        figure.draw(results, path)
    assert ElementTree.parse(pictures[0]).getroot().tag.endswith("svg")
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


def test_an_unknown_variant_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="no variant 'vq'.*ae"):
        go(tmp_path, tmp_path / "out.json", ["vq"])


def test_the_two_corpora_are_those_of_the_targets() -> None:
    assert set(Settings().targets) == {"synthspeech", "librispeech"}
    assert {"ae", "kl_low", "kl_high", "fsq3", "noise3"} <= set(VARIANTS)
    assert experiment.SCHEMA == 1
