"""Families that speak: the text is read, padding is not, the cache is the full pass, and a toy language is learned."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines import packaged
from baselines.calm_text import CALMText
from baselines.layers import BackboneConfig, rotated
from baselines.raw_ar_text import RawARText
from baselines.raw_fm_text import RawFMText
from baselines.speaking import Batch, Speaking, Spoken
from baselines.text_prefix import PrefixTransformer, Prompt, TextEncoder, padded, symbols, turned
from bench import registry
from bench.calibration.lab import fit_context
from bench.contract import FitContext, LatentUtterance, Speaks
from bench.errors import CardError, DataError
from bench.fitting import initialised

DIM, WIDTH = 3, 16
BACKBONE = {"kind": "transformer", "width": WIDTH, "layers": 2, "heads": 2, "dropout": 0.0}
TINY = {"backbone": BACKBONE, "text_layers": 2, "fit": {"steps": 4, "batch": 4, "crop_frames": 30, "evaluate_every": 2}}
PLUGINS: dict[Any, dict[str, Any]] = {
    RawARText: {"components": 2},
    RawFMText: {"width": 16, "layers": 1, "steps": 3},
    CALMText: {"width": 16, "layers": 1},
}
CORNERS = {"a": (1.0, 0.0, 0.0), "b": (0.0, 1.0, 0.0), "c": (0.0, 0.0, 1.0), "d": (-1.0, 0.0, 0.0)}
LIFTED = 0.3
EACH = pytest.mark.parametrize("plugin", PLUGINS)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=rng(seed))


def toy(count: int, seed: int) -> tuple[list[LatentUtterance], dict[str, str]]:
    """Two frames a letter, none said twice running, at the letter's own corner; one speaker of two lifts all of it."""
    draw, utterances, texts = rng(seed), [], {}
    for index in range(count):
        steps = torch.randint(1, len(CORNERS), (int(torch.randint(2, 6, (), generator=draw)),), generator=draw)
        letters = [list(CORNERS)[i % len(CORNERS)] for i in steps.cumsum(0).tolist()]
        x = torch.tensor([CORNERS[letter] for letter in letters]).repeat_interleave(2, 0) + LIFTED * (index % 2)
        name = f"{seed}-{index:04d}"
        utterances.append(LatentUtterance(name, f"s{index % 2}", x + 0.05 * torch.randn(x.shape, generator=draw)))
        texts[name] = "".join(letters)
    return utterances, texts


def context(*texts: dict[str, str]) -> FitContext:
    return replace(fit_context(DIM), texts={k: v for one in texts for k, v in one.items()})


def fitted(plugin: Any, **values: Any) -> Speaking:
    (train, said), (valid, known) = toy(24, 0), toy(8, 1)
    model: Speaking = plugin(**{**TINY, "head": PLUGINS[plugin], **values})
    model.fit(train, valid, context(said, known))
    return model


def prompt(*texts: str) -> Prompt:
    rows = padded([symbols(text) for text in texts])
    return Prompt(rows, normal(len(texts), 2 * DIM), torch.ones(len(texts), dtype=torch.bool))


def backbone(**values: Any) -> PrefixTransformer:
    config = BackboneConfig(**{**BACKBONE, **values})
    made = initialised(lambda: PrefixTransformer(DIM, config, 2), 0)
    assert isinstance(made, PrefixTransformer)
    torch.nn.init.normal_(made.hurry.weight, generator=rng(9))
    return made.eval().requires_grad_(False)


# --- texts -------------------------------------------------------------------------------------------------


def test_symbols_are_letters_between_spaces() -> None:
    assert symbols("Ab  c!").tolist() == [1, 2, 3, 1, 4, 1]
    assert torch.equal(symbols("Éa"), symbols("ea")) and not len(symbols("…"))


def test_padding_changes_no_letter() -> None:
    encoder = initialised(lambda: TextEncoder(WIDTH, 3, 0.0), 0).eval()
    rows = padded([symbols("ab"), symbols("a longer text")])
    short = symbols("ab")[None]
    torch.testing.assert_close(encoder(rows, rows > 0)[:1, : short.shape[1]], encoder(short, short > 0))


def test_turning_by_whole_positions_is_the_rotation() -> None:
    x = normal(2, 2, 7, 8)
    torch.testing.assert_close(turned(x, torch.arange(3, 10).expand(2, -1).float()), rotated(x, 3))


# --- backbone ----------------------------------------------------------------------------------------------


def test_batching_changes_no_answer() -> None:
    read, both, x = backbone(), prompt("ab", "and a longer one"), normal(2, 9, DIM, seed=1)
    together = read.shifted(x, both)
    for row, text in enumerate(("ab", "and a longer one")):
        alone = replace(prompt(text), voice=both.voice[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], read.shifted(x[row : row + 1], alone))


def test_decoding_with_a_cache_is_the_full_pass() -> None:
    read, both, x = backbone(), prompt("ab", "and a longer one"), normal(2, 9, DIM, seed=1)
    features, state = read.start(2, both)
    one_by_one = [features]
    for frame in x[:, :-1].unbind(1):
        features, state = read.step(frame, state)
        one_by_one.append(features)
    torch.testing.assert_close(torch.stack(one_by_one, 1), read.shifted(x, both))


def test_text_and_voice_are_read_only_where_told() -> None:
    read, x = backbone(), normal(2, 9, DIM, seed=1)
    one, other = prompt("ab", "abc"), prompt("cd", "ddd")
    moved = (read.shifted(x, one) - read.shifted(x, other)).abs().amax(-1)
    assert float(moved.min()) > 1e-5
    louder = replace(one, voice=one.voice + 1.0)
    assert float((read.shifted(x, one) - read.shifted(x, louder)).abs().amax(-1).min()) > 1e-5
    untold = replace(one, told=torch.zeros(2, dtype=torch.bool))
    torch.testing.assert_close(read.shifted(x, untold), read.shifted(x))


def test_the_future_is_unseen() -> None:
    read, both, x = backbone(), prompt("ab", "and a longer one"), normal(2, 9, DIM, seed=1)
    later = x.clone()
    later[:, 5:] += 3.0
    assert torch.equal(read.shifted(x, both)[:, :6], read.shifted(later, both)[:, :6])


# --- batches -----------------------------------------------------------------------------------------------


def test_an_end_is_known_where_an_utterance_is_whole() -> None:
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]]).bool()
    batch = Batch(torch.zeros(2, 3, DIM), mask, prompt("a", "b"), torch.tensor([True, False]))
    ended, known = batch.ends()
    assert ended.tolist() == [[0, 0, 1, 1], [0, 0, 0, 1]]
    assert known.tolist() == [[True, True, True, False], [True, True, True, False]]


def test_a_voice_is_that_of_another_utterance_of_the_speaker() -> None:
    utterances, texts = toy(7, 0)
    alone = LatentUtterance("x", "s9", utterances[0].x)
    network = fitted(RawARText).network
    spoken = Spoken("who", [*utterances, alone], {**texts, "x": "a"}, network)  # type: ignore[arg-type]
    speakers = [u.speaker for u in [*utterances, alone]]
    pick = torch.arange(8)
    for generator in (None, *(rng(seed) for seed in range(20))):
        for index, mate in enumerate(spoken.mates(pick, generator).tolist()):
            assert speakers[mate] == speakers[index] and (mate != index or index == 7)


# --- families ----------------------------------------------------------------------------------------------


@EACH
def test_another_text_is_another_loss(plugin: Any) -> None:
    model, (utterances, texts) = fitted(plugin), toy(8, 2)
    network: Any = model.network
    spoken = Spoken("who", utterances, texts, network)
    batch = spoken.batch(torch.arange(8), spoken.mates(torch.arange(8)), torch.ones(8).bool(), 30)
    other = replace(batch, prompt=replace(batch.prompt, symbols=batch.prompt.symbols.roll(1, 0)))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        own = model.spoken_held_out(network, batch)
        torch.manual_seed(0)
        assert not torch.equal(own, model.spoken_held_out(network, other))


@EACH
def test_it_says_each_text_alone_as_beside_others_and_no_longer_than_asked(plugin: Any) -> None:
    model = fitted(plugin)
    assert isinstance(model, Speaks)
    voices = [normal(4, DIM), normal(6, DIM, seed=1)]
    both = model.speak(["ab", "a longer text"], voices, 9, rng())
    assert all(1 <= len(x) <= 9 and x.shape[1] == DIM for x in both)
    (alone,) = model.speak(["ab"], voices[:1], 9, rng())
    torch.testing.assert_close(alone, both[0], rtol=1e-3, atol=1e-4)
    network: Any = model.network
    for bias, frames in ((-100.0, 9), (100.0, 1)):
        torch.nn.init.constant_(network.end.bias, bias)
        assert [len(x) for x in model.speak(["ab", "c"], voices, 9, rng())] == [frames, frames]


@EACH
def test_a_state_answers_as_the_model_that_it_came_from(plugin: Any) -> None:
    model = fitted(plugin)
    again = plugin(**{**TINY, "head": PLUGINS[plugin]})
    again.load_state(model.state(), fit_context(DIM).codec, torch.device("cpu"))
    for one, other in zip(*(m.speak(["ab"], [normal(4, DIM)], 6, rng()) for m in (model, again)), strict=True):
        assert torch.equal(one, other)


def test_what_cannot_be_said_is_refused() -> None:
    model = fitted(RawARText)
    with pytest.raises(DataError, match="expected a reference for each text, got 1 for 2"):
        model.speak(["a", "b"], [normal(4, DIM)], 5, rng())
    with pytest.raises(DataError, match="expected a text with letters, got '…'"):
        model.speak(["…"], [normal(4, DIM)], 5, rng())
    (train, said), (valid, _) = toy(4, 0), toy(2, 1)
    with pytest.raises(DataError, match="expected a transcript of every utterance, got none of 1-0000"):
        RawARText(**TINY).fit(train, valid, context(said))
    with pytest.raises(CardError, match="expected a transformer of context 0, got kind 'gru'"):
        RawARText(backbone={"kind": "gru"})


def test_a_toy_language_is_learned() -> None:
    """Two frames a letter, each near its letter's corner: what is said of unseen texts is known to the frame."""
    (train, said), (valid, known), (_, asked) = toy(400, 0), toy(40, 1), toy(60, 2)
    fit = {"steps": 400, "batch": 32, "lr": 0.004, "warmup": 20, "evaluate_every": 50, "patience": 0}
    sizes: dict[str, Any] = {"backbone": {**BACKBONE, "width": 32}, "head": {"components": 1}, "fit": fit}
    model = RawARText(**{**TINY, **sizes, "speech_temperature": 0.3})
    model.fit(train, valid, context(said, known))
    texts = [text for text in dict.fromkeys(asked.values()) if text not in said.values()][:12]
    assert len(texts) == 12
    voices = [next(u.x for u in train if u.speaker == f"s{index % 2}") for index in range(12)]
    corners, right = torch.tensor(list(CORNERS.values())), 0
    for index, (text, x) in enumerate(zip(texts, model.speak(texts, voices, 20, rng()), strict=True)):
        away = torch.cdist(x, corners + LIFTED * (index % 2))
        heard = "".join(list(CORNERS)[i] for i in away.argmin(-1).tolist())
        right += heard == "".join(letter * 2 for letter in text) and float(away.amin(-1).max()) < 0.4
    assert right >= 11, right


# --- weights that ship -------------------------------------------------------------------------------------


@pytest.fixture
def shipped(tmp_path: Path) -> tuple[Speaking, dict[str, Any]]:
    model, path = fitted(RawARText), tmp_path / "tiny.safetensors"
    packaged.save(path, model.plugin, fit_context(DIM).codec, model.network, model.state(), model.config)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return model, {**packaged.parameters(path), "weights": str(path), "sha256": digest}


def test_shipped_weights_stand_in_for_a_fit(shipped: tuple[Speaking, dict[str, Any]]) -> None:
    model, values = shipped
    again = RawARText(**values)
    again.fit([], [], fit_context(DIM))
    x = normal(2, 6, DIM)
    torch.testing.assert_close(again.log_prob(x, x, rng()), model.log_prob(x, x, rng()), rtol=0.02, atol=0.02)  # type: ignore[attr-defined]
    assert torch.equal(again.history().loss, model.history().loss)


def test_shipped_weights_of_another_codec_digest_or_size_are_refused(shipped: tuple[Speaking, dict[str, Any]]) -> None:
    _, values = shipped
    other = fit_context(DIM)
    for codec, what in (
        (replace(other.codec, name="melpca"), "are of codec 'lab', got 'melpca'"),
        (replace(other.codec, dim=4), "are of dim '3', got '4'"),
        (replace(other.codec, weights_digest="ff"), "are of codec weights '', got 'ff'"),
    ):
        with pytest.raises(CardError, match=what):
            RawARText(**values).fit([], [], replace(other, codec=codec))
    with pytest.raises(CardError, match="parameter sha256: tiny.safetensors has .*, expected none"):
        RawARText(**{**values, "sha256": ""})
    with pytest.raises(CardError, match="no file 'nonesuch'; packaged: "):
        RawARText(weights="nonesuch")
    with pytest.raises(CardError, match="are of other sizes than the card's"):
        RawARText(**{**values, "backbone": {**BACKBONE, "width": 8}}).fit([], [], other)
    with pytest.raises(CardError, match="are of plugin 'raw_ar_text', got 'raw_fm_text'"):
        RawFMText(weights=values["weights"], sha256=values["sha256"]).fit([], [], other)


@pytest.mark.parametrize("card", ["raw_ar_text_v1", "raw_fm_text_v1", "calm_text_v1"])
def test_cards_build_within_their_size(card: str) -> None:
    found = registry.submission_card(card)
    model = registry.load("submissions", found.plugin)(**found.parameters)
    with torch.device("meta"):
        network = model.build(replace(fit_context(DIM).codec, dim=32))
    assert 1e6 < sum(p.numel() for p in network.parameters()) < 12e6
    assert math.isfinite(model.config.speech_temperature)
