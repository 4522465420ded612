"""Discrete autoregression: probabilities sum to one, samples follow them, and every switch does what it says."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.layers import BackboneConfig, repeated
from baselines.rvq_ar import RVQAR
from baselines.rvq_network import CodeNetwork, DepthConfig, Picker
from bench import registry
from bench.calibration.coded import BlockCodec, echoed, iid
from bench.calibration.lab import fit_context
from bench.conformance.submission import checked_on_toy
from bench.contract import CodecInfo, HasCodeLogProb, ReadsCodes
from bench.errors import CardError

TEMPORAL = BackboneConfig(width=12, dropout=0.0)
KINDS: dict[str, Any] = {
    "transformer": DepthConfig(width=8, layers=2, heads=2),
    "transformer, a stage's own": DepthConfig(width=8, layers=1, heads=2, per_stage=True),
    "mlp": DepthConfig("mlp", width=8, layers=1),
    "mlp, a stage's own": DepthConfig("mlp", width=8, layers=1, per_stage=True),
}
SMALL: dict[str, Any] = {
    "backbone": {"width": 16, "dropout": 0.0},
    "depth": {"width": 16, "layers": 1, "heads": 2},
    "fit": {"steps": 4, "batch": 16, "crop_frames": 8, "evaluate_every": 4},
}
SIZES = (7, 6, 5)


def network(kind: str, sizes: tuple[int, ...], delay: int = 0, temporal: BackboneConfig = TEMPORAL) -> CodeNetwork:
    torch.manual_seed(3)
    made = CodeNetwork(sizes, temporal, KINDS[kind], delay)
    with torch.no_grad():  # far from uniform, so that a wrong factor shows
        for parameter in made.parameters():
            parameter.mul_(1.6)
    return made.eval().requires_grad_(False)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def every(sizes: tuple[int, ...], frames: int) -> Tensor:
    """All sequences of codes: (n, T, Q)."""
    listed = list(itertools.product(*(range(size) for size in sizes * frames)))
    return torch.tensor(listed).reshape(-1, frames, len(sizes))


def fitted(codec: BlockCodec, codes: Tensor, seed: int = 0, **values: Any) -> RVQAR:
    made = RVQAR(**{**SMALL, **values})
    made.read_codes(codec)
    utterances = codec.utterances(codes, "train")
    made.fit(utterances, utterances[:8], replace(fit_context(codec.info.dim, seed), codec=codec.info))
    return made


@pytest.fixture(scope="module")
def codec() -> BlockCodec:
    return BlockCodec(SIZES)


@pytest.fixture(scope="module")
def codes() -> Tensor:
    return iid(SIZES, 60, 10, rng())


# --- probabilities -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0, 1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_the_probabilities_of_all_sequences_sum_to_one(kind: str, delay: int) -> None:
    sequences = every((3, 2, 2), 2)
    total = network(kind, (3, 2, 2), delay).log_prob(sequences).sum((1, 2)).exp().sum()
    assert float(total) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("backbone", ["gru", "transformer", "window"])
@pytest.mark.parametrize(("kind", "delay"), [("transformer", 0), ("transformer, a stage's own", 1), ("mlp", 1)])
def test_samples_have_the_probabilities(kind: str, delay: int, backbone: Any) -> None:
    """Drawn step by step, scored all at once: frequencies of all 36 sequences within five standard errors."""
    temporal = BackboneConfig(backbone, width=12, heads=2, context=2 * (backbone == "window"), dropout=0.0)
    made, draws = network(kind, (3, 2), delay, temporal), 20_000
    read, state = made.backbone.start(1)
    known = made.none[1:].expand(draws, delay, -1)
    drawn = made.continued(read.expand(draws, -1), repeated(state, draws), known, 2, Picker(rng(), 1.0))
    sequences = every((3, 2), 2)
    p = made.log_prob(sequences).sum((1, 2)).exp()
    found = (drawn[:, None] == sequences).all(-1).all(-1).float().mean(0)
    assert float(found.sum()) == pytest.approx(1.0)
    assert float(((found - p).abs() / (p * (1 - p) / draws).sqrt()).max()) < 5.0


def test_a_single_stage_needs_no_depth() -> None:
    made = network("mlp", (4,))
    assert made.depth is None
    assert float(made.log_prob(every((4,), 2)).sum((1, 2)).exp().sum()) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_reads_the_stages_before_it_and_no_other(kind: str) -> None:
    made, base = network(kind, SIZES), torch.zeros(1, 3, 3, dtype=torch.int64)
    for stage in range(3):
        other = base.clone()
        other[0, 1, stage] = 1
        moved = (made.log_prob(other) != made.log_prob(base))[0]
        assert not moved[0].any()
        assert moved[1].tolist() == [q >= stage for q in range(3)]
        assert moved[2].all()


def test_delay_lets_the_first_stage_lead() -> None:
    """At delay 1 the first stage of frame 2 knows not yet the others of frame 1, which in turn know it."""
    base = torch.zeros(1, 4, 3, dtype=torch.int64)
    later, first = base.clone(), base.clone()
    later[0, 1, 1], first[0, 2, 0] = 1, 1
    for delay in (0, 1):
        made = network("transformer", SIZES, delay)
        by_later = made.log_prob(later) != made.log_prob(base)
        by_first = made.log_prob(first) != made.log_prob(base)
        assert bool(by_later[0, 2, 0]) == (delay == 0)
        assert by_later[0, 3, 0]
        assert by_first[0, 1, 1:].tolist() == [delay == 1] * 2
        assert not by_first[0, 1, 0]


def test_rows_of_a_delayed_layout() -> None:
    made, codes = network("mlp", (5, 5), 1), torch.tensor([[[1, 2], [3, 4]]])
    assert made.rows(codes).tolist() == [[[1, 5], [3, 2], [5, 4]]]


def test_stages_of_their_own_have_weights_of_their_own() -> None:
    shared, own = (network(kind, SIZES).depth for kind in ("mlp", "mlp, a stage's own"))
    assert shared is not None and own is not None
    for one, other in zip(shared.blocks, own.blocks, strict=True):
        assert (len(one.up.weight), len(other.up.weight)) == (1, 2)


# --- sampling ----------------------------------------------------------------------------------------------


def test_temperature_zero_is_the_likeliest_and_one_is_not(codec: BlockCodec, codes: Tensor) -> None:
    model, x = fitted(codec, codes), codec.from_codes(codes[:2, :4])
    mean = model.rollout(x, 5, 3, rng(), mean=True)
    cold = RVQAR(**{**SMALL, "temperature": 0.0})
    cold.read_codes(codec)
    cold.load_state(model.state(), codec.info, torch.device("cpu"))
    assert torch.equal(cold.rollout(x, 5, 3, rng(1)), mean)
    assert not torch.equal(model.rollout(x, 5, 3, rng(1)), mean)


@pytest.mark.parametrize("delay", [0, 1])
def test_what_a_prompt_says_is_not_drawn_again(codec: BlockCodec, codes: Tensor, delay: int) -> None:
    """A one-step sample from the prior at t is a rollout's first frame after x_<t: the same law, here the mode's."""
    model, x = fitted(codec, codes, delay=delay, temperature=0.0), codec.from_codes(codes[:3])
    prior = model.reconstruct(x, "prior", rng())
    for t in (1, 4):
        assert torch.equal(model.rollout(x[:, :t], 1, 1, rng())[:, 0, 0], prior[:, t])
    assert torch.equal(model.generate(1, 3, rng())[:, 0], prior[:, 0])


# --- how it begins and learns ------------------------------------------------------------------------------


def test_codebooks_are_read_back_from_the_codec(codec: BlockCodec) -> None:
    model = RVQAR(**SMALL)
    model.read_codes(codec)
    for q, table in enumerate(model.codebooks(SIZES)):
        wanted = torch.zeros(SIZES[q], codec.info.dim)
        wanted[:, 4 * q : 4 * q + 4] = codec.centres[q]
        torch.testing.assert_close(table, wanted)


def test_start_decides_what_the_embeddings_begin_as(codec: BlockCodec, codes: Tensor) -> None:
    """From codebooks the embedding of a frame is an affine map of its latent; from random numbers it is none."""
    x = codec.from_codes(codes).flatten(0, 1)
    affine = torch.cat([x, torch.ones(len(x), 1)], 1).double()
    left = {}
    for start in ("codebooks", "random"):
        model = RVQAR(**SMALL, start=start)
        model.read_codes(codec)
        made = model.build(codec.info)
        model.prepare(made, x)
        embedded = made.embedded(codes).flatten(0, 1).detach().double()
        fit = affine @ torch.linalg.lstsq(affine, embedded).solution
        left[start] = float((embedded - fit).norm() / embedded.norm())
    assert left["codebooks"] < 1e-4
    assert left["random"] > 0.05


def test_it_begins_at_the_frequencies_of_training() -> None:
    codec = BlockCodec([4], width=3)
    codes = torch.tensor([0, 0, 0, 0, 0, 1, 1, 2]).expand(6, -1)[..., None]
    model = RVQAR(**SMALL, start="random")
    model.read_codes(codec)
    made = model.build(codec.info)
    model.prepare(made, codec.from_codes(codes).flatten(0, 1))
    expected = torch.tensor([31.0, 13.0, 7.0, 1.0]) / 52
    torch.testing.assert_close(made.first.bias.detach().exp(), expected)


def test_an_echo_is_learned_by_the_depth_decoder() -> None:
    codec = BlockCodec([6, 6])
    codes = echoed(iid([6], 200, 10, rng()), 6)
    fit = {"steps": 80, "batch": 32, "crop_frames": 10, "lr": 0.01, "evaluate_every": 40, "warmup": 5}
    model = fitted(codec, codes, fit=fit)
    fresh = codec.from_codes(echoed(iid([6], 50, 10, rng(1)), 6))
    cost = -model.code_log_prob(fresh, rng()).mean((0, 1))
    assert float(cost[0]) == pytest.approx(math.log(6), abs=0.1)
    assert float(cost[1]) < 0.5


def test_noise_moves_the_fit_and_no_answer(codec: BlockCodec, codes: Tensor) -> None:
    quiet, loud = (fitted(codec, codes, noise=noise) for noise in (0.0, 1.0))
    assert not torch.equal(quiet.history().loss, loud.history().loss)
    x = codec.from_codes(codes[:4])
    assert torch.equal(loud.code_log_prob(x, rng(0)), loud.code_log_prob(x, rng(1)))


def test_later_stages_may_be_left_to_their_frequencies(codec: BlockCodec, codes: Tensor) -> None:
    model, x = fitted(codec, codes, stages=2), codec.from_codes(codes)
    log_p = model.code_log_prob(x, rng())
    counts = torch.bincount(codes[..., 2].flatten(), minlength=SIZES[2]) + 1.0
    torch.testing.assert_close(log_p[..., 2], (counts / counts.sum()).log()[codes[..., 2]])
    assert log_p.shape == codes.shape
    assert not model.rollout(x, 3, 2, rng())[..., 8:].any() and model.rollout(x, 3, 2, rng())[..., :8].any()


def test_unfitted_is_another_seed_on_the_same_codec(codec: BlockCodec, codes: Tensor) -> None:
    model = fitted(codec, codes)
    other = model.unfitted(1, noise=0.5)
    assert (other.config.seed_offset, other.config.noise) == (1, 0.5)
    utterances = codec.utterances(codes, "train")
    other.fit(utterances, utterances[:8], replace(fit_context(codec.info.dim), codec=codec.info))
    assert not torch.equal(other.state()["first.weight"], model.state()["first.weight"])


def test_it_reads_codes_and_has_no_density() -> None:
    model = RVQAR(**SMALL)
    assert isinstance(model, ReadsCodes) and isinstance(model, HasCodeLogProb)
    assert not hasattr(model, "log_prob")


def test_a_variant_keeps_the_rules() -> None:
    values = {**SMALL, "backbone": {"kind": "transformer", "width": 16, "heads": 2}, "stages": 2}
    values["depth"] = {"kind": "mlp", "width": 16, "per_stage": True}
    broken = [r for r in checked_on_toy("rvq_ar", partial(RVQAR, **values)) if r.verdict == "failed"]
    assert not broken


# --- cards -------------------------------------------------------------------------------------------------


def test_impossible_cards_name_the_field() -> None:
    with pytest.raises(CardError, match="rvq_ar: parameter depth.heads: 3 heads do not divide a width of 16"):
        RVQAR(depth={"width": 16, "heads": 3})
    with pytest.raises(CardError, match="rvq_ar: parameter backbone.context: a window needs"):
        RVQAR(backbone={"kind": "window"})
    with pytest.raises(CardError, match="rvq_ar: parameter start: .*'codebooks' or 'random', got 'kmeans'"):
        RVQAR(start="kmeans")
    with pytest.raises(CardError, match="rvq_ar: needs a codec with codes, got 'lab'"):
        RVQAR(**SMALL).build(fit_context(3).codec)
    with pytest.raises(CardError, match="rvq_ar: parameter stages: codec 'lab' has 3, got 4"):
        RVQAR(**SMALL, stages=4).build(BlockCodec(SIZES).info)


@pytest.mark.parametrize(
    ("name", "sizes", "millions"),
    [
        ("rvq_ar_v1", (1024,) * 8, (2, 5)),
        ("mimi_rvq_ar_v1", (2048,) * 32, (60, 100)),
        ("rvq_ar_base", (2048,) * 32, (100, 200)),
        # a backbone of 2.2 billion without Helium's gated layers, a depth decoder of some 0.6
        ("rvq_ar_paper", (2048,) * 32, (2400, 2900)),
    ],
)
def test_cards_have_the_sizes_they_say(name: str, sizes: tuple[int, ...], millions: tuple[int, int]) -> None:
    card = registry.submission_card(name)
    with torch.device("meta"):
        made = RVQAR(**card.resolved("mini")).build(CodecInfo("codec", 24_000, 1920, 512, codebooks=sizes))
    count = sum(p.numel() for p in made.parameters()) / 1e6
    assert millions[0] < count < millions[1], f"{count:.0f} million"
