"""Controls stand where their closed forms say, and the seed replicate differs from its row by the seed alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.controls import Ceiling, CopyLast, Marginal, Shuffled, Silence
from baselines.raw_ar import RawAR
from bench import registry
from bench.conformance.report import passed
from bench.conformance.submission import checked_on_toy
from bench.contract import CAPABILITIES, LatentUtterance, missing_capability
from tests.lab import ar1, fit_context

A, DIM, FRAMES = 0.8, 3, 24
OFFERS = {
    Ceiling: {"reconstruct"},
    CopyLast: {"represent", "log_prob", "rollout"},
    Marginal: {"represent", "log_prob", "rollout", "reconstruct", "generate"},
    Shuffled: {"represent", "reconstruct"},
    Silence: {"rollout", "reconstruct", "generate"},
}
NAMES = {
    Ceiling: "control_ceiling",
    CopyLast: "control_copy_last",
    Marginal: "control_marginal",
    Shuffled: "control_shuffled",
    Silence: "control_silence",
}


@pytest.fixture(scope="module")
def data() -> tuple[list[LatentUtterance], list[LatentUtterance]]:
    return ar1(A, DIM, 1200, FRAMES, 0), ar1(A, DIM, 1200, FRAMES, 1)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def fitted(plugin: Any, train: list[LatentUtterance]) -> Any:
    control = plugin()
    control.fit(train, train[:10], fit_context(train[0].x.shape[1]))
    return control


def stacked(utterances: list[LatentUtterance]) -> Tensor:
    return torch.stack([u.x for u in utterances])


@pytest.mark.parametrize("plugin", OFFERS)
def test_a_control_keeps_every_rule_and_offers_no_more_than_it_can_answer(one_thread: None, plugin: Any) -> None:
    results = checked_on_toy(NAMES[plugin], plugin)
    assert passed(results), [(r.rule, r.detail) for r in results if r.verdict == "failed"]
    assert {name for name in CAPABILITIES if missing_capability(plugin(), [name]) is None} == OFFERS[plugin]


def test_the_marginal_has_the_entropy_of_a_frame_and_gains_nothing(data: Any) -> None:
    """N(0, I): D/2 ln(2πe) nats per frame; samples are training frames."""
    control, x = fitted(Marginal, data[0]), stacked(data[1])
    nll = -float(control.log_prob(x, x, rng()).mean())
    assert nll == pytest.approx(0.5 * DIM * math.log(2 * math.pi * math.e), abs=0.02)
    assert torch.equal(control.log_prob(x.flip(1), x, rng()), control.log_prob(x, x, rng()))
    assert float(control.represent(x, rng()).abs().max()) == 0.0
    known = {tuple(frame.tolist()) for frame in torch.cat([u.x for u in data[0]])}
    drawn = control.rollout(x[:2], 3, 4, rng()).flatten(0, 2)
    assert all(tuple(frame.tolist()) in known for frame in drawn)
    assert len({tuple(frame.tolist()) for frame in drawn}) > 20
    torch.testing.assert_close(control.rollout(x[:1], 1, 1, rng(), mean=True).flatten(), control.tensors["mean"])


def test_copy_last_pays_for_not_reverting_to_the_mean(data: Any) -> None:
    """Steps of variance 2(1 − a) where the best is 1 − a²: ½ ln(2 / (1 + a)) nats a dimension above the truth."""
    control, x = fitted(CopyLast, data[0]), stacked(data[1])
    log_p = control.log_prob(x, x, rng())
    best = 0.5 * DIM * math.log(2 * math.pi * math.e * (1 - A * A))
    assert -float(log_p[:, 1:].mean()) - best == pytest.approx(0.5 * DIM * math.log(2 / (1 + A)), abs=0.02)
    assert -float(log_p[:, 0].mean()) == pytest.approx(0.5 * DIM * math.log(2 * math.pi * math.e), abs=0.1)
    rolled = control.rollout(x[:3, :7], 5, 2, rng())
    assert torch.equal(rolled, x[:3, None, 6:7].expand(-1, 2, 5, -1))


def test_copy_last_has_the_full_covariance_of_steps() -> None:
    """Two dimensions that step together: the density is that of one, at any mixing of the latents."""
    mixing = torch.tensor([[1.0, 0.0], [0.9, 0.3]])
    train, test = ar1(A, 2, 1200, FRAMES, 0, mixing), ar1(A, 2, 600, FRAMES, 1, mixing)
    control, x = fitted(CopyLast, train), stacked(test)
    expected = math.log(2 * math.pi * math.e * 2 * (1 - A)) + math.log(0.3)
    assert -float(control.log_prob(x, x, rng())[:, 1:].mean()) == pytest.approx(expected, abs=0.02)


def test_the_ceiling_gives_x_back_and_its_prior_knows_nothing(data: Any) -> None:
    """E|x − x'|² of independent frames is 2D, twice the marginal variance."""
    control, x = fitted(Ceiling, data[0]), stacked(data[1])
    assert torch.equal(control.reconstruct(x, "posterior", rng()), x)
    error = (control.reconstruct(x, "prior", rng()) - x).square().sum(-1).mean()
    assert float(error) == pytest.approx(2 * DIM, rel=0.04)


def test_shuffled_frames_are_earlier_ones_at_a_uniform_time(data: Any) -> None:
    """E[x_t · x_j] with j uniform below t is a (1 − aᵗ) / (t (1 − a)) a dimension."""
    control, x = fitted(Shuffled, data[0]), stacked(data[1])
    got = control.represent(x, rng())
    for t in (1, 4, 20):
        assert bool((got[:, t, None] == x[:, :t]).all(-1).any(-1).all()), "a frame of x_<t, and no other"
        expected = A * (1 - A**t) / (t * (1 - A))
        assert float((got[:, t] * x[:, t]).mean()) == pytest.approx(expected, abs=0.06)
    torch.testing.assert_close(got[:, 0], control.tensors["mean"].expand(len(x), -1))
    assert not torch.equal(got, control.represent(x, rng(1)))


def test_silence_is_the_frame_that_recurs() -> None:
    """Pauses of nearly the same latent, away from the mean and not the least in norm."""
    pause, generator = torch.tensor([2.0, -1.0, 1.5]), rng(3)
    train = []
    for i in range(60):
        x = 2.0 * torch.randn(40, 3, generator=generator)
        x[10:14] = pause + 0.02 * torch.randn(4, 3, generator=generator)
        train.append(LatentUtterance(str(i), "s", x))
    control = fitted(Silence, train)
    assert float((control.tensors["frame"] - pause).norm()) < 0.1
    rolled = control.rollout(stacked(train[:2]), 4, 3, rng())
    assert torch.equal(rolled, control.tensors["frame"].expand(2, 3, 4, -1))


def test_a_seed_replicate_is_the_same_model_under_another_seed(data: Any) -> None:
    fit = {"steps": 4, "batch": 8, "crop_frames": 12, "evaluate_every": 2}
    states = []
    for offset in (0, 1, 1, 2):
        model = RawAR(backbone={"width": 8}, head={"components": 2}, fit=fit, seed_offset=offset)
        model.fit(data[0][:20], data[0][20:24], fit_context(DIM))
        states.append(torch.cat([t.flatten() for t in model.state().values()]))
    assert torch.equal(states[1], states[2])
    assert not torch.equal(states[0], states[1]) and not torch.equal(states[1], states[3])


def test_the_cards_say_that_they_are_controls() -> None:
    cards = {n: registry.submission_card(n) for n in registry.submission_files() if n.startswith("control_")}
    assert set(NAMES.values()) | {"control_raw_ar_seed"} == cards.keys()
    assert {name.removeprefix("control_"): card.control for name, card in cards.items()} == {
        "ceiling": "ceiling",
        "copy_last": "floor",
        "marginal": "floor",
        "shuffled": "floor",
        "silence": "floor",
        "raw_ar_seed": "replicate",
    }
    replicate, row = cards["control_raw_ar_seed"], registry.submission_card("raw_ar_v1")
    assert replicate.parameters == {**row.parameters, "seed_offset": 1}
    assert (replicate.plugin, replicate.suite_parameters) == (row.plugin, row.suite_parameters)
