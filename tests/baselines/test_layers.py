"""Backbones: cached decoding is the whole pass, nothing sees its own frame, and each has its reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from baselines.layers import (
    AdaLNMLP,
    BackboneConfig,
    attend,
    backbone,
    repeated,
    rotated,
    standardised,
    time_features,
)
from baselines.raw_ar import RawAR
from bench.errors import CardError

SMALL = BackboneConfig(width=16, layers=2, heads=2, dropout=0.0)
KINDS = {
    "gru": SMALL,
    "transformer": replace(SMALL, kind="transformer"),
    "transformer, 4 back": replace(SMALL, kind="transformer", context=4),
    "window": replace(SMALL, kind="window", context=3),
}


@pytest.fixture(params=KINDS)
def net(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    return backbone(5, KINDS[request.param]).eval()


def inputs(frames: int = 11, batch: int = 3) -> torch.Tensor:
    return torch.randn(batch, frames, 5, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_one_step_at_a_time_is_the_whole_pass(net: Any) -> None:
    x = inputs()
    features, state = net.start(len(x))
    stepped = [features]
    for t in range(x.shape[1]):
        features, state = net.step(x[:, t], state)
        stepped.append(features)
    torch.testing.assert_close(torch.stack(stepped[:-1], 1), net.shifted(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.stack(stepped[1:], 1), net.read(x)[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_prompt_read_at_once_is_continued_as_one_read_in_parts(net: Any) -> None:
    x = inputs()
    _, state = net.read(x[:, :4])
    later, _ = net.read(x[:, 4:], state)
    torch.testing.assert_close(later, net.read(x)[0][:, 4:], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_features_have_seen_the_past_alone_and_all_of_it(net: Any) -> None:
    x = inputs()
    other = x.clone()
    other[:, 6] += 1.0
    a, b = net.shifted(x), net.shifted(other)
    assert torch.equal(a[:, :7], b[:, :7])
    assert not torch.equal(a[:, 7], b[:, 7])


@torch.no_grad()
def test_a_window_forgets_and_the_others_reach_back() -> None:
    x, other = inputs(), inputs()
    other[:, 0] += 3.0
    for name, config in KINDS.items():
        torch.manual_seed(0)
        net = backbone(5, replace(config, layers=1)).eval()
        moved = (net.shifted(x) - net.shifted(other)).abs().amax((0, 2)) > 0
        reach = {"gru": 11, "transformer": 11, "transformer, 4 back": 4, "window": 3}[name]
        assert moved.tolist() == [False, *([True] * 10)][: 1 + reach] + [False] * max(0, 10 - reach), name


@torch.no_grad()
def test_a_repeated_state_decodes_each_draw_as_the_one(net: Any) -> None:
    x = inputs()
    _, state = net.read(x)
    many = repeated(state, 2)
    nxt = inputs(1)[:, 0]
    one, _ = net.step(nxt, state)
    two, _ = net.step(nxt.repeat_interleave(2, 0), many)
    torch.testing.assert_close(two, one.repeat_interleave(2, 0), atol=1e-6, rtol=1e-5)


def test_attention_is_the_plain_formula() -> None:
    q, k, v = torch.randn(3, 2, 2, 7, 4, generator=torch.Generator().manual_seed(0))
    for context in (0, 3):
        scores = (q @ k.transpose(-1, -2)) / 2.0
        for i in range(7):
            for j in range(7):
                if j > i or (context and i - j >= context):
                    scores[..., i, j] = float("-inf")
        torch.testing.assert_close(attend(q, k, v, context), scores.softmax(-1) @ v)
        torch.testing.assert_close(attend(q[:, :, 5:], k, v, context), (scores.softmax(-1) @ v)[:, :, 5:])


def test_rotary_positions_are_relative() -> None:
    """⟨R_i q, R_j k⟩ depends on i − j alone, and norms stay."""
    q, k = torch.randn(2, 1, 1, 1, 8, generator=torch.Generator().manual_seed(0))

    def product(i: int, j: int) -> float:
        return float((rotated(q, i) * rotated(k, j)).sum())

    assert product(9, 4) == pytest.approx(product(105, 100), abs=1e-4)
    assert product(9, 4) != pytest.approx(product(9, 5), abs=1e-3)
    assert float(rotated(q, 33).norm()) == pytest.approx(float(q.norm()), rel=1e-5)


def test_adaln_starts_at_zero_and_its_norm_is_the_library_s() -> None:
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(standardised(x), F.layer_norm(x, (6,), eps=1e-6))
    net = AdaLNMLP(6, 3, 8, 2)
    assert float(net(x, torch.randn(4, 3)).detach().abs().max()) == 0.0


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_adaln_has_forward_derivatives() -> None:
    """By finite differences."""
    torch.manual_seed(0)
    net = AdaLNMLP(3, 4, 8, 2).double()
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.3)
    x, c, dx = torch.randn(2, 3).double(), torch.randn(2, 4).double(), torch.randn(2, 3).double()
    _, tangent = torch.func.jvp(lambda v: net(v, c), (x,), (dx,))
    numeric = (net(x + 1e-5 * dx, c) - net(x - 1e-5 * dx, c)) / 2e-5
    torch.testing.assert_close(tangent, numeric, atol=1e-6, rtol=1e-5)


def test_times_are_told_apart() -> None:
    features = time_features(torch.linspace(0, 1.57, 200), 16)
    assert features.shape == (200, 16)
    assert float(torch.pdist(features).min()) > 1e-2


def test_impossible_sizes_name_the_field() -> None:
    for over, said in (
        ({"kind": "transformer", "width": 10, "heads": 3}, "backbone.heads: 3 heads do not divide a width of 10"),
        ({"kind": "transformer", "width": 6, "heads": 2}, "backbone.heads: rotary positions need an even width"),
        ({"kind": "window"}, "backbone.context: a window needs at least one frame"),
        ({"layers": 0}, "backbone.layers"),
    ):
        with pytest.raises(CardError, match=f"raw_ar: parameter {said}"):
            RawAR(backbone=over)
