"""The models' training loop: what it adds to that of the probes, and exact resume with all of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from baselines.raw_ar import RawAR
from baselines.training import Average, TrainConfig, train
from bench.contract import FitContext, TrainingHistory
from bench.errors import CardError, PluginError
from bench.fitting import FitConfig, Frames, fit, initialised
from tests.lab import fit_context

pytestmark = pytest.mark.usefixtures("one_thread")
CONFIG = TrainConfig(steps=13, batch=4, crop_frames=8, warmup=3, evaluate_every=4, patience=0)


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
    return initialised(lambda: nn.Sequential(nn.Linear(3, 12), nn.Dropout(0.3), nn.GRU(12, 3, batch_first=True)), 5)


def data() -> Frames:
    rng = torch.Generator().manual_seed(1)
    return Frames([[torch.randn(n, 3, generator=rng)] for n in (5, 9, 20, 8)])


def trained(config: TrainConfig = CONFIG, memory: Any = None, **context: Any) -> tuple[nn.Module, TrainingHistory]:
    model, frames = network(), data()

    def error(x: Tensor, mask: Tensor) -> Tensor:
        out, _ = model(x[:, :-1])
        return ((out.float() - x[:, 1:]).square().sum(-1) * mask[:, 1:]).sum() / mask[:, 1:].sum()

    def loss(step: int, generator: torch.Generator) -> Tensor:
        del step
        (x,), mask = frames.crops(config.batch, config.crop_frames, generator)
        return error(x + 0.1 * torch.randn_like(x), mask)

    def validate() -> float:
        (x,), mask = frames.whole(torch.arange(4), 20)
        return float(error(x, mask)) + 1e-3 * float(torch.rand(()))

    base: FitContext = replace(fit_context(3, 3), **({"checkpoint": memory} if memory else {}), **context)
    return model, train(model, loss, validate, config, base, "fit it")


def same(a: nn.Module, b: nn.Module) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return all(torch.equal(left[k], right[k]) for k in left)


def test_without_its_additions_it_is_the_probes_loop() -> None:
    """The same weights, bit for bit, by the other implementation."""
    model, frames = network(), data()

    def error(x: Tensor, mask: Tensor) -> Tensor:
        out, _ = model(x[:, :-1])
        return ((out - x[:, 1:]).square().sum(-1) * mask[:, 1:]).sum() / mask[:, 1:].sum()

    def loss(step: int, generator: torch.Generator) -> Tensor:
        (x,), mask = frames.crops(CONFIG.batch, CONFIG.crop_frames, generator)
        return error(x + 0.1 * torch.randn_like(x), mask)

    def validate() -> float:
        (x,), mask = frames.whole(torch.arange(4), 20)
        return float(error(x, mask)) + 1e-3 * float(torch.rand(()))

    plain = FitConfig(steps=13, batch=4, crop_frames=8, warmup=3, evaluate_every=4, patience=0)
    fit(model, loss, validate, plain, 3, Memory(), lambda *_: None, "fit it")
    assert same(trained()[0], model)


@pytest.mark.parametrize("saves", [1, 2, 3])
@pytest.mark.parametrize("over", [{}, {"ema": 0.9}, {"accumulate": 2}, {"precision": "bfloat16"}])
def test_killed_and_resumed_ends_with_the_same_bytes(saves: int, over: dict[str, Any]) -> None:
    config, memory = replace(CONFIG, **over), Memory(dies_after=saves)
    with pytest.raises(Killed):
        trained(config, memory)
    torch.rand(17)  # the resumed process has another global state
    model, history = trained(config, memory)
    whole, all_of_it = trained(config)
    assert same(model, whole)
    for name in TrainingHistory.__annotations__:
        assert torch.equal(getattr(history, name), getattr(all_of_it, name)), name


def test_the_average_is_the_closed_form() -> None:
    """s ← d s + (1 − d) p, with d = min(decay, (1 + n) / (10 + n)); the model itself comes back after use."""
    model = nn.Linear(1, 1, bias=False)
    average, expected = Average(model, 0.5), float(model.weight.detach())
    for step, value in enumerate((1.0, 4.0, -2.0)):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    with average.in_place():
        assert float(model.weight.detach()) == pytest.approx(expected)
    assert float(model.weight.detach()) == -2.0


def test_averaged_weights_are_the_ones_kept() -> None:
    assert not same(trained(replace(CONFIG, ema=0.99))[0], trained()[0])


def test_accumulated_batches_are_one_larger_batch() -> None:
    """Gradients of two halves, averaged, are those of the whole: the loss is a mean."""
    x, y = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), torch.arange(8.0)

    def run(accumulate: int) -> nn.Module:
        model: Any = initialised(lambda: nn.Linear(3, 1), 0)
        halves = iter([slice(0, 8)] * 20 if accumulate == 1 else [slice(0, 4), slice(4, 8)] * 20)

        def loss(step: int, generator: torch.Generator) -> Tensor:
            at = next(halves)
            return (model(x[at])[:, 0] - y[at]).square().mean()

        config = TrainConfig(steps=5, warmup=1, evaluate_every=5, patience=0, accumulate=accumulate, clip=1e9)
        train(model, loss, lambda: 0.0, config, fit_context(3), "fit")
        return model

    torch.testing.assert_close(run(1).weight, run(2).weight)


def test_half_precision_moves_products_and_not_weights() -> None:
    model, _ = trained(replace(CONFIG, precision="bfloat16"))
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert not same(model, trained()[0])


def test_the_history_has_every_step_and_the_gradients_before_clipping() -> None:
    _, history = trained(replace(CONFIG, clip=1e-3))
    assert len(history.loss) == len(history.grad_norm) == 13
    assert history.valid_step.tolist() == [4, 8, 12, 13]
    assert float(history.grad_norm.min()) > 1e-3


def test_groups_have_their_own_rate() -> None:
    """Two weights with the same gradient: AdamW moves each by its own learning rate."""
    a, b = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    model = nn.ModuleList([a, b])
    with torch.no_grad():
        a.weight.fill_(1.0)
        b.weight.fill_(1.0)
    config = TrainConfig(steps=1, warmup=1, lr=0.01, weight_decay=0.0, evaluate_every=1)
    groups = [{"params": a.parameters()}, {"params": b.parameters(), "lr_times": 5.0, "weight_decay": 0.0}]
    train(model, lambda *_: (a.weight + b.weight).sum(), lambda: 0.0, config, fit_context(1), "fit", groups)
    moved = [1 - float(layer.weight.detach()) for layer in (a, b)]
    assert moved[1] == pytest.approx(5 * moved[0], rel=1e-4)


def test_scalars_and_progress_are_told() -> None:
    heard: list[tuple[int, dict[str, float]]] = []
    moved: list[tuple[str, int, int]] = []
    trained(scalars=lambda step, values: heard.append((step, dict(values))), progress=lambda *a: moved.append(a))
    assert moved == [("fit it", step + 1, 13) for step in range(13)]
    losses = [values["loss"] for _, values in heard if "loss" in values]
    assert len(losses) == 13 and [s for s, v in heard if "validation loss" in v] == [4, 8, 12, 13]


def test_a_loss_that_is_not_finite_stops_and_leaves_the_checkpoint() -> None:
    model, memory = nn.Linear(1, 1), Memory()

    def loss(step: int, generator: torch.Generator) -> Tensor:
        return model.weight.sum() * (float("nan") if step == 6 else 1.0)

    with pytest.raises(PluginError, match=r"fit it: the loss is nan at step 7; see fit.lr"):
        train(model, loss, lambda: 0.0, CONFIG, replace(fit_context(1), checkpoint=memory), "fit it")
    assert memory.saved is not None and memory.saved["step"] == 4
    with pytest.raises(PluginError, match="the validation loss is nan at step 4"):
        train(model, lambda *_: model.weight.sum(), lambda: float("nan"), CONFIG, fit_context(1), "fit it")


def test_compiled_is_what_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda f: compiled.append(f) or f)
    assert same(trained(replace(CONFIG, compile=True))[0], trained()[0])
    assert len(compiled) == 1


def test_impossible_settings_name_the_field() -> None:
    with pytest.raises(CardError, match=r"raw_ar: parameter fit.ema: .* got 1.5"):
        RawAR(fit={"ema": 1.5})
    with pytest.raises(CardError, match=r"raw_ar: parameter fit.precision: .*'float16'"):
        RawAR(fit={"precision": "float16"})
