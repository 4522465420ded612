"""The training loop: exact resume, no trace outside, the best weights, and crops that are what they say."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.errors import PluginError
from bench.fitting import FitConfig, FitReport, Frames, NoCheckpoint, fit, initialised
from bench.runner import FileCheckpoint

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = FitConfig(steps=23, batch=4, crop_frames=8, warmup=3, evaluate_every=5, patience=0)


class Killed(Exception):
    pass


class Memory:
    """A checkpoint that dies right after its n-th save, as a killed process would."""

    def __init__(self, dies_after: int = 0) -> None:
        self.saved: dict[str, Any] | None = None
        self.saves, self.dies_after = 0, dies_after

    def load(self) -> dict[str, Any] | None:
        return copy.deepcopy(self.saved)

    def save(self, state: Mapping[str, Any]) -> None:
        self.saved, self.saves = copy.deepcopy(dict(state)), self.saves + 1
        if self.saves == self.dies_after:
            raise Killed


def network() -> nn.Module:
    return initialised(lambda: nn.Sequential(nn.Linear(3, 16), nn.Dropout(0.3), nn.GRU(16, 3, batch_first=True)), 5)


def data() -> Frames:
    rng = torch.Generator().manual_seed(1)
    return Frames([[torch.randn(n, 3, generator=rng)] for n in (5, 9, 20, 8)])


def train(
    checkpoint: Any, config: FitConfig = CONFIG, dies_at: int = -1, what: str = "fit it", seed: int = 3
) -> tuple[nn.Module, FitReport]:
    """Predict the next frame, with dropout and global noise so that every generator matters."""
    model, frames = network(), data()

    def error(x: Tensor, mask: Tensor) -> Tensor:
        out, _ = model(x[:, :-1])
        return ((out - x[:, 1:]).square().sum(-1) * mask[:, 1:]).sum() / mask[:, 1:].sum()

    def loss(step: int, generator: torch.Generator) -> Tensor:
        if step == dies_at:
            raise Killed
        (x,), mask = frames.crops(config.batch, config.crop_frames, generator)
        return error(x + 0.1 * torch.randn_like(x), mask)

    def validate() -> float:
        (x,), mask = frames.whole(torch.arange(4), 20)
        return float(error(x, mask)) + 1e-3 * float(torch.rand(()))

    return model, fit(model, loss, validate, config, seed, checkpoint, lambda *_: None, what)


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


@pytest.fixture
def whole() -> tuple[nn.Module, FitReport]:
    return train(NoCheckpoint())


def test_it_learns_and_says_how(whole: tuple[nn.Module, FitReport]) -> None:
    _, report = whole
    assert [step for step, _, _ in report.curve] == [5, 10, 15, 20, 23]
    held_out = {step: value for step, _, value in report.curve}
    assert report.kept_step == min(held_out, key=lambda step: held_out[step])
    assert held_out[report.kept_step] < held_out[5]
    assert not report.stopped_early


@pytest.mark.parametrize("saves", [1, 2, 3, 4, 5])
def test_killed_after_any_evaluation_and_resumed(whole: tuple[nn.Module, FitReport], saves: int) -> None:
    checkpoint = Memory(dies_after=saves)
    with pytest.raises(Killed):
        train(checkpoint)
    torch.rand(17)  # the resumed process has another global state
    model, report = train(checkpoint)
    assert same(model, whole[0])
    assert report == whole[1]


@pytest.mark.parametrize("step", [0, 4, 5, 12, 22])
def test_killed_between_evaluations_and_resumed_from_a_file(
    tmp_path: Path, whole: tuple[nn.Module, FitReport], step: int
) -> None:
    checkpoint = FileCheckpoint(tmp_path / "fit.checkpoint")
    with pytest.raises(Killed):
        train(checkpoint, dies_at=step)
    assert checkpoint.path.exists() is (step >= 5)
    model, report = train(checkpoint)
    assert same(model, whole[0])
    assert report == whole[1]


def test_killed_again_and_again(whole: tuple[nn.Module, FitReport]) -> None:
    checkpoint = Memory()
    for step in (1, 6, 7, 13, 19, 22):
        with pytest.raises(Killed):
            train(checkpoint, dies_at=step)
    model, report = train(checkpoint)
    assert same(model, whole[0])
    assert report == whole[1]


def test_resuming_a_finished_fit_takes_no_step(whole: tuple[nn.Module, FitReport]) -> None:
    checkpoint = Memory()
    train(checkpoint)
    model, report = train(checkpoint, dies_at=22)
    assert same(model, whole[0])
    assert report == whole[1]


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 nonsense", b"\x80\x02}q\x00."])
def test_a_damaged_checkpoint_starts_again(
    tmp_path: Path, whole: tuple[nn.Module, FitReport], damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "fit.checkpoint"
    path.write_bytes(damage)
    model, _ = train(FileCheckpoint(path))
    assert same(model, whole[0])
    assert "is damaged" in caplog.text


def test_the_global_generator_is_untouched() -> None:
    torch.manual_seed(99)
    state = torch.get_rng_state()
    train(Memory())
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(Killed):
        train(Memory(), dies_at=3)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_global_generator_is_unheard(whole: tuple[nn.Module, FitReport]) -> None:
    torch.manual_seed(4)
    model, report = train(NoCheckpoint())
    assert same(model, whole[0])
    assert report == whole[1]


def test_seed_and_name_decide(whole: tuple[nn.Module, FitReport]) -> None:
    assert not same(train(NoCheckpoint(), seed=4)[0], whole[0])
    assert not same(train(NoCheckpoint(), what="another")[0], whole[0])


# --- what goes wrong ---------------------------------------------------------------------------------------


def broken(at: int, where: str, value: float, checkpoint: Any) -> None:
    model = nn.Linear(1, 1)
    evaluations = iter(range(100))

    def loss(step: int, generator: torch.Generator) -> Tensor:
        factor = value if where == "loss" and step == at else 1.0
        return model.weight.square().sum() * factor

    def validate() -> float:
        return value if where == "validate" and next(evaluations) == at else 1.0

    fit(model, loss, validate, CONFIG, 0, checkpoint, lambda *_: None, "fit model")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite(value: float) -> None:
    checkpoint = Memory()
    with pytest.raises(PluginError, match=rf"^fit model: the loss is {value} at step 13$"):
        broken(12, "loss", value, checkpoint)
    # the last good state stays, and is of before the fault
    assert checkpoint.saved is not None
    assert checkpoint.saved["step"] == 10
    assert all(torch.isfinite(t).all() for t in checkpoint.saved["model"].values())


def test_a_validation_loss_that_is_not_finite() -> None:
    checkpoint = Memory()
    with pytest.raises(PluginError, match=r"^fit model: the validation loss is nan at step 15$"):
        broken(2, "validate", math.nan, checkpoint)
    assert checkpoint.saved is not None
    assert checkpoint.saved["step"] == 10


def test_a_loss_that_is_not_finite_at_once_saves_nothing() -> None:
    checkpoint = Memory()
    with pytest.raises(PluginError, match="at step 1$"):
        broken(0, "loss", math.nan, checkpoint)
    assert checkpoint.saved is None


# --- the schedule ------------------------------------------------------------------------------------------


def scripted(losses: list[float], patience: int) -> tuple[float, FitReport, int]:
    """Validation losses as given; each step adds 1 to a weight whose value is then the step it is from."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    script, steps = iter(losses), []

    def loss(step: int, generator: torch.Generator) -> Tensor:
        steps.append(step)
        return -model.weight.sum()

    config = FitConfig(steps=len(losses), lr=1.0, weight_decay=0.0, warmup=1, evaluate_every=1, patience=patience)
    config_flat = type("Flat", (FitConfig,), {"lr_at": lambda self, step: 1.0})(**vars(config))
    report = fit(model, loss, lambda: next(script), config_flat, 0, NoCheckpoint(), lambda *_: None, "w")
    return float(model.weight.detach()), report, len(steps)


def test_early_stop_keeps_the_best_weights() -> None:
    weight, report, steps = scripted([5.0, 3.0, 1.0, 2.0, 1.5, 1.0, 0.5], patience=3)
    # Adam's first steps on a constant gradient are 1 each
    assert weight == pytest.approx(3.0, abs=1e-4)
    assert (report.kept_step, report.stopped_early, steps) == (3, True, 6)


def test_without_patience_the_last_best_wins() -> None:
    weight, report, steps = scripted([5.0, 3.0, 1.0, 2.0, 1.5, 1.0, 0.5], patience=0)
    assert weight == pytest.approx(7.0, abs=1e-4)
    assert (report.kept_step, report.stopped_early, steps) == (7, False, 7)


def test_progress_counts_every_step() -> None:
    seen: list[tuple[str, int, int]] = []
    model = nn.Linear(1, 1)
    config = FitConfig(steps=7, evaluate_every=3)
    fit(
        model,
        lambda s, g: model.weight.sum(),
        lambda: 0.0,
        config,
        0,
        NoCheckpoint(),
        lambda *a: seen.append(a),
        "x",
    )
    assert seen == [("x", i, 7) for i in range(1, 8)]


def test_the_learning_rate_ramps_and_falls() -> None:
    config = FitConfig(steps=100, lr=2.0, warmup=10)
    assert config.lr_at(0) == pytest.approx(0.2, rel=1e-3)
    # half-way the cosine is zero: 0.02 + 0.98 / 2
    assert config.lr_at(50) == pytest.approx(2.0 * 0.51)
    assert config.lr_at(100) == pytest.approx(2.0 * 0.02)
    rates = [config.lr_at(step) for step in range(10, 100)]
    assert rates == sorted(rates, reverse=True)


# --- crops -------------------------------------------------------------------------------------------------


def numbered(lengths: list[int]) -> tuple[Frames, list[Tensor]]:
    """Frame values say where they are from: 1000 · utterance + position + 1."""
    utterances = [torch.arange(n) + 1000.0 * i + 1 for i, n in enumerate(lengths)]
    return Frames([[u[:, None], torch.stack([u, -u], 1)] for u in utterances]), utterances


def check_crop(first: Tensor, second: Tensor, mask: Tensor, utterances: list[Tensor]) -> tuple[int, int]:
    """A crop is consecutive frames of one utterance, then padding; the parts agree. → (utterance, offset)."""
    real = first[mask, 0]
    index, offset = int((real[0] - 1) // 1000), int((real[0] - 1) % 1000)
    assert torch.equal(real, utterances[index][offset : offset + len(real)])
    assert mask.tolist() == sorted(mask.tolist(), reverse=True)
    assert not first[~mask].any()
    assert torch.equal(second, torch.cat([first, -first], 1))
    # padding only where the utterance ends
    assert mask.all() or offset + len(real) == len(utterances[index])
    return index, offset


def test_crops_are_true_sub_sequences() -> None:
    lengths = [3, 50, 8, 21]
    frames, utterances = numbered(lengths)
    rng = torch.Generator().manual_seed(0)
    places = set()
    for _ in range(40):
        (first, second), mask = frames.crops(16, 8, rng)
        assert first.shape == (16, 8, 1)
        assert second.shape == (16, 8, 2)
        for row in range(16):
            places.add(check_crop(first[row], second[row], mask[row], utterances))
    # an utterance that is shorter than a crop is whole; all offsets of the others occur, the last included
    assert {offset for i, offset in places if i == 0} == {0}
    assert {offset for i, offset in places if i == 1} == set(range(43))
    assert {offset for i, offset in places if i == 2} == {0}
    assert {offset for i, offset in places if i == 3} == set(range(14))


def test_utterances_are_drawn_by_their_length() -> None:
    frames, _ = numbered([10, 30])
    (first, _), _ = frames.crops(4000, 5, torch.Generator().manual_seed(0))
    share = float((first[:, 0, 0] > 1000).float().mean())
    # 3 standard errors of a share of 0.75 in 4000
    assert abs(share - 0.75) < 3 * math.sqrt(0.75 * 0.25 / 4000)


def test_a_batch_is_no_longer_than_its_longest() -> None:
    frames, utterances = numbered([3, 5])
    (first, second), mask = frames.crops(20, 100, torch.Generator().manual_seed(0))
    assert first.shape[1] == 5
    for row in range(20):
        assert check_crop(first[row], second[row], mask[row], utterances)[1] == 0


def test_whole_utterances_come_in_order() -> None:
    frames, utterances = numbered([4, 9, 2])
    (first, _), mask = frames.whole(torch.tensor([2, 0, 1]), 6)
    assert mask.sum(1).tolist() == [2, 4, 6]
    for row, i in enumerate((2, 0, 1)):
        assert torch.equal(first[row][mask[row], 0], utterances[i][:6])


def test_the_generator_alone_decides_the_crops() -> None:
    frames, _ = numbered([40, 50])
    draw: Callable[[int], Tensor] = lambda seed: frames.crops(8, 6, torch.Generator().manual_seed(seed))[0][0]  # noqa: E731
    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_initial_weights_come_from_the_seed_alone() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, two, other = (initialised(lambda: nn.Linear(4, 4), seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert same(one, two)
    assert not same(one, other)
