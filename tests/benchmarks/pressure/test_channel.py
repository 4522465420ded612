"""Noise, shares and code lengths against closed forms."""

import math
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch

from bench.contract import LatentUtterance
from benchmarks.pressure.bottlenecks import FSQ
from benchmarks.pressure.channel import Moments, code_rates, matched_share, mean


def utterances(x: torch.Tensor) -> list[LatentUtterance]:
    return [LatentUtterance(f"u{i}", f"s{i}", one) for i, one in enumerate(x)]


def test_the_estimate_is_the_linear_one_and_shrinks_what_is_noise() -> None:
    scale = torch.tensor([2.0, 0.5, 0.0])
    x = scale * torch.randn(1, 50_000, 3, generator=torch.Generator().manual_seed(0))
    moments = Moments.of(utterances(x))
    assert moments.spread == pytest.approx(math.sqrt((4 + 0.25) / 3), rel=0.01)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    estimate = moments.estimate(x + noise, 1.0)
    error = (estimate - x).square().mean((0, 1))
    # λ σ² / (λ + σ²) of a Gaussian
    assert error.tolist() == pytest.approx([0.8, 0.2, 0.0], abs=0.01)


class Ramp:
    """Distortion .2 + .1 share² of every utterance but a harder one."""

    frames: ClassVar = {f"u{i}": 10.0 for i in range(16)}
    x: ClassVar = dict.fromkeys(frames)

    def noisy(self, share: float, moments: Any, names: Any = None) -> dict[str, float]:
        return {i: 0.2 + 0.1 * share**2 + (0.05 if i == "u3" else 0.0) for i in names or self.x}


def test_the_share_found_gives_the_target_on_all_utterances() -> None:
    target = 0.24
    found = matched_share(Ramp(), SimpleNamespace(), target)  # type: ignore[arg-type]
    assert not isinstance(found, str)
    share, values = found
    assert mean(values, Ramp.frames) == pytest.approx(target, rel=0.003)
    assert share == pytest.approx(math.sqrt((target - 0.2 - 0.05 / 16) / 0.1), rel=0.02)


@pytest.mark.parametrize("target", [0.19, 0.9])
def test_a_target_out_of_reach_is_said_to_be(target: float) -> None:
    found = matched_share(Ramp(), SimpleNamespace(), target)  # type: ignore[arg-type]
    assert isinstance(found, str) and "not reached" in found


def test_code_rates_of_independent_levels_are_their_entropy() -> None:
    fsq = FSQ(3)
    codes = torch.randint(3, (40, 200, 2), generator=torch.Generator().manual_seed(0))
    found = code_rates(fsq, utterances(fsq.from_codes(codes[:30])), utterances(fsq.from_codes(codes[30:])))
    for values in found.values():
        assert sum(values.values()) / 10 == pytest.approx(2 * math.log(3), rel=0.005)


def test_code_rates_of_a_markov_source_are_its_marginal_and_conditional_entropies() -> None:
    # a level goes to the next one with probability .9, else stays
    moves = (torch.rand(60, 300, 1, generator=torch.Generator().manual_seed(1)) < 0.9).long()
    codes = moves.cumsum(1) % 3
    fsq = FSQ(3)
    found = code_rates(fsq, utterances(fsq.from_codes(codes[:40])), utterances(fsq.from_codes(codes[40:])))
    assert sum(found["unigram"].values()) / 20 == pytest.approx(math.log(3), rel=0.01)
    conditional = -0.9 * math.log(0.9) - 0.1 * math.log(0.1)
    assert sum(found["bigram"].values()) / 20 == pytest.approx(conditional, rel=0.05)
