"""What plug-ins return is checked: every way to be wrong is one line that names who and what."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench import checked
from bench.checked import Checked
from bench.config import ColumnCard, TaskCard
from bench.contract import CAPABILITIES, InnovationRate, Score, Skipped, TrainingHistory, missing_capability
from bench.errors import CardError, PluginError

X = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
RNG = torch.Generator()


class Perfect:
    """Every capability, all shapes right."""

    likelihood = "exact"

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x.new_zeros(*x.shape[:2], 7)

    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        return target.sum(-1)

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        return prompt.new_full((len(prompt), draws, frames, prompt.shape[2]), float(mean))

    def innovation(self, x: Tensor, generator: torch.Generator) -> InnovationRate:
        kl = x.new_zeros(x.shape[:2])
        return InnovationRate(kl, kl, x.new_zeros(*x.shape[:2], 4))

    def reconstruct(self, x: Tensor, source: str, generator: torch.Generator) -> Tensor:
        return x

    def reconstruct_from(self, x: Tensor, states: Tensor, generator: torch.Generator) -> Tensor:
        return x

    def generate(self, frames: int, draws: int, generator: torch.Generator) -> Tensor:
        return torch.zeros(draws, frames, 3)

    def speak(self, texts: Any, references: Any, frames: int, generator: torch.Generator) -> list[Tensor]:
        return [torch.zeros(min(len(text), frames), 3) for text in texts]

    def code_log_prob(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x.new_zeros(*x.shape[:2], 8)

    def history(self) -> TrainingHistory:
        return TrainingHistory(torch.ones(9), torch.ones(9), torch.ones(2), torch.ones(2))

    def unfitted(self, replicate: int, noise: float | None = None) -> Any:
        return type(self)()

    def fit(self, train: Any, valid: Any, context: Any) -> None:
        self.slope = torch.ones(1, requires_grad=True) * 2
        if context == "bad":
            raise ValueError("no data")

    def state(self) -> dict[str, Tensor]:
        return {"slope": self.slope}

    def load_state(self, state: Any, codec: Any, device: Any) -> None:
        self.slope = state["slope"]


CALLS: dict[str, tuple[Any, ...]] = {
    "represent": (X, RNG),
    "log_prob": (X, X, RNG),
    "rollout": (X, 6, 4, RNG),
    "innovation": (X, RNG),
    "reconstruct": (X, "prior", RNG),
    "reconstruct_from": (X, X, RNG),
    "generate": (6, 4, RNG),
    "speak": (["ab", "abcdefgh"], [X[0], X[1]], 6, RNG),
    "code_log_prob": (X, RNG),
    "history": (),
    "unfitted": (1,),
}
TENSORS = [name for name in CALLS if name not in ("speak", "innovation", "history", "unfitted")]
"""Capabilities that give one tensor."""


def wrong(name: str, result: Any) -> Any:
    return type("Wrong", (Perfect,), {name: lambda self, *a, **k: result})()


def test_every_capability_is_tried() -> None:
    assert CALLS.keys() == CAPABILITIES.keys()


def test_what_is_right_passes_unchanged() -> None:
    good = Checked(Perfect(), "submission 's'")
    for name, given in CALLS.items():
        got, expected = getattr(good, name)(*given), getattr(Perfect(), name)(*given)
        if name in TENSORS:
            assert torch.equal(got, expected)
    assert torch.equal(good.innovation(X, RNG).kl_rec_by_dim, Perfect().innovation(X, RNG).kl_rec_by_dim)
    assert torch.equal(good.history().grad_norm, torch.ones(9))
    assert missing_capability(good, tuple(CAPABILITIES)) is None


def test_arguments_may_be_named_and_left_out() -> None:
    good = Checked(Perfect(), "s")
    assert good.rollout(prompt=X, frames=6, draws=4, generator=RNG, mean=True).mean() == 1.0
    assert good.rollout(X, draws=4, frames=6, generator=RNG).shape == (2, 4, 6, 3)
    assert good.generate(draws=4, frames=6, generator=RNG).shape == (4, 6, 3)


@pytest.mark.parametrize("name", CALLS)
def test_a_capability_that_is_missing_stays_missing(name: str) -> None:
    lacking = Checked(type("Lacking", (Perfect,), {name: None})(), "s")
    assert missing_capability(lacking, [name]) == name
    assert missing_capability(lacking, [n for n in CALLS if n != name]) is None


@pytest.mark.parametrize(
    ("name", "result", "expected"),
    [
        ("represent", torch.zeros(2, 4, 7), "represent must be (2, 5, any), got (2, 4, 7)"),
        ("represent", torch.zeros(2, 5), "represent must be (2, 5, any), got (2, 5)"),
        ("speak", [torch.zeros(2, 3)], "speak's count must be (2), got (1,)"),
        ("speak", [torch.zeros(2, 3), torch.zeros(7, 3)], "speak[1] must be (6, 3), got (7, 3)"),
        ("speak", [torch.zeros(0, 3), torch.zeros(2, 3)], "speak[0] must be (1, 3), got (0, 3)"),
        ("speak", [torch.zeros(2, 4), torch.zeros(2, 3)], "speak[0] must be (2, 3), got (2, 4)"),
        ("speak", [None, None], "speak[0] must be a tensor (any, 3), got NoneType"),
        ("speak", torch.zeros(2, 4, 3), "speak must be a list, got Tensor"),
        ("represent", None, "represent must be a tensor (2, 5, any), got NoneType"),
        ("represent", [[1.0]], "represent must be a tensor (2, 5, any), got list"),
        ("log_prob", torch.zeros(2, 5, 1), "log_prob must be (2, 5), got (2, 5, 1)"),
        ("log_prob", torch.zeros(2, 4), "log_prob must be (2, 5), got (2, 4)"),
        ("rollout", torch.zeros(2, 6, 4, 3), "rollout must be (2, 4, 6, 3), got (2, 6, 4, 3)"),
        ("rollout", torch.zeros(2, 4, 6, 2), "rollout must be (2, 4, 6, 3), got (2, 4, 6, 2)"),
        ("innovation", torch.zeros(2, 5), "innovation must be an InnovationRate, got Tensor"),
        ("reconstruct_from", torch.zeros(2, 4, 3), "reconstruct_from must be (2, 5, 3), got (2, 4, 3)"),
        ("innovation", None, "innovation must be an InnovationRate, got NoneType"),
        (
            "innovation",
            InnovationRate(torch.zeros(2, 5), torch.zeros(2), torch.zeros(2, 5, 4)),
            "innovation.kl_dyn must be (2, 5), got (2,)",
        ),
        (
            "innovation",
            InnovationRate(torch.zeros(2, 5), torch.zeros(2, 5), torch.full((2, 5, 4), float("nan"))),
            "innovation.kl_rec_by_dim: 40 of 40 values are not finite",
        ),
        ("reconstruct", torch.zeros(2, 5, 4), "reconstruct must be (2, 5, 3), got (2, 5, 4)"),
        ("code_log_prob", torch.zeros(2, 4, 8), "code_log_prob must be (2, 5, any), got (2, 4, 8)"),
        ("history", {"loss": torch.ones(3)}, "history must be a TrainingHistory, got dict"),
        (
            "history",
            TrainingHistory(torch.ones(3), torch.ones(2), torch.ones(1), torch.ones(1)),
            "history.grad_norm must be (3), got (2,)",
        ),
        (
            "history",
            TrainingHistory(torch.ones(3), torch.ones(3), torch.ones(1, 1), torch.ones(1)),
            "history.valid_step must be (any), got (1, 1)",
        ),
        (
            "history",
            TrainingHistory(torch.ones(3), torch.ones(3), torch.ones(1), torch.ones(1) / 0),
            "history.valid_loss: 1 of 1 values are not finite",
        ),
        ("unfitted", None, ", replicate 1: unfitted must be a submission, got NoneType"),
        ("generate", torch.zeros(6, 4, 3), "generate must be (4, 6, any), got (6, 4, 3)"),
    ],
)
def test_another_shape_or_type(name: str, result: Any, expected: str) -> None:
    with pytest.raises(PluginError) as caught:
        getattr(Checked(wrong(name, result), "submission 's'"), name)(*CALLS[name])
    assert str(caught.value).startswith(f"submission 's'{expected if expected[0] == ',' else f': {expected}'}")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", TENSORS)
def test_what_is_not_finite(name: str, bad: float) -> None:
    result = getattr(Perfect(), name)(*CALLS[name]).clone()
    result.view(-1)[1] = bad
    with pytest.raises(PluginError, match=f"s: {name}: 1 of {result.numel()} values are not finite"):
        getattr(Checked(wrong(name, result), "s"), name)(*CALLS[name])


def test_what_is_made_anew_can_be_fitted_with_gradients_and_is_checked() -> None:
    again = Checked(Perfect(), "s").unfitted(2, noise=0.3)
    again.fit([], [], None)
    assert again.state()["slope"].requires_grad
    again.load_state({"slope": torch.zeros(1)}, None, None)
    assert again.state()["slope"] == 0
    assert again.represent(X, RNG).shape == (2, 5, 7)
    with pytest.raises(PluginError, match="^s, replicate 2 with noise 0.3 raised ValueError: no data"):
        again.fit([], [], "bad")
    with pytest.raises(PluginError, match="^s, replicate 1, replicate 1: represent must be"):
        Checked(wrong("represent", None), "s").unfitted(1).unfitted(1).represent(X, RNG)


def test_each_budget_is_checked_as_the_submission_is() -> None:
    class Several(Perfect):
        def budgets(self) -> list[Any]:
            return [Perfect(), wrong]

    wrong = Perfect()
    wrong.reconstruct = lambda *_: X[:, :2]  # type: ignore[method-assign]
    good, bad = Checked(Several(), "several").budgets()
    assert torch.equal(good.reconstruct(X, "posterior", RNG), X)
    with pytest.raises(PluginError, match=r"several, budget 1: reconstruct must be \(2, 5, 3\), got \(2, 2, 3\)"):
        bad.reconstruct(X, "posterior", RNG)
    assert not hasattr(Checked(Perfect(), "one"), "budgets")


@pytest.mark.parametrize("given", [[], None, 3])
def test_what_is_no_list_of_budgets(given: Any) -> None:
    class NoList(Perfect):
        def budgets(self) -> Any:
            return given

    with pytest.raises(PluginError, match="budgets must be a list of submissions"):
        Checked(NoList(), "none").budgets()


@pytest.mark.parametrize("name", CALLS)
def test_what_raises(name: str) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("two\nlines")

    raising = type("Raising", (Perfect,), {name: fail})()
    with pytest.raises(PluginError, match=r"^s raised ValueError: two lines \(test_checked\.py:\d+\)$"):
        getattr(Checked(raising, "s"), name)(*CALLS[name])


def test_a_submissions_own_clear_error_stays() -> None:
    def fail(*_: Any) -> None:
        raise CardError("clear")

    with pytest.raises(CardError, match="^clear$"):
        Checked(type("Raising", (Perfect,), {"represent": fail})(), "s").represent(X, RNG)


def test_an_unknown_likelihood() -> None:
    with pytest.raises(PluginError, match="likelihood must be one of .*'exact'.*, got 'exactly'"):
        Checked(type("Odd", (Perfect,), {"likelihood": "exactly"})(), "s")


def test_nothing_is_recorded_for_gradients() -> None:
    weight = torch.ones(3, requires_grad=True)
    learned = type("Learned", (Perfect,), {"represent": lambda self, x, generator: x * weight})()
    assert not Checked(learned, "s").represent(X, RNG).requires_grad


# --- states ------------------------------------------------------------------------------------------------


def test_a_state_is_copied_from_whatever_it_shares() -> None:
    base = torch.arange(6.0).reshape(2, 3)
    got = checked.tensors("s", {"a": base, "b": base.T, "c": base[0], "n": torch.tensor(3)})
    base.zero_()
    assert got["b"].is_contiguous()
    assert got["b"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert len({t.data_ptr() for t in got.values()}) == 4
    assert checked.tensors("s", {}) == {}


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (None, "state must be a dictionary of tensors by name, got NoneType"),
        ([torch.ones(1)], "got list"),
        ({"a": 1.0}, "got 'a': float"),
        ({3: torch.ones(1)}, "got 3: Tensor"),
        ({"fine": torch.ones(1), "w": torch.tensor([1.0, float("nan")])}, "s: w is not finite after fit"),
    ],
)
def test_what_is_no_state(state: Any, expected: str) -> None:
    with pytest.raises(PluginError, match=expected):
        checked.tensors("s", state)


# --- scores ------------------------------------------------------------------------------------------------

CARD = TaskCard(
    name="t",
    version=1,
    title="T",
    question="?",
    columns=tuple(ColumnCard(name=n, title=n, unit="1", better="higher") for n in ("a", "b")),
)
IDS = {"u1", "u2", "u3"}


def test_scores_become_plain_numbers() -> None:
    given = [
        Score("a", {"u1": np.float32(0.5), "u2": 2}, {"u1": np.int64(3), "u2": 0.0, "u3": 9.0}, {"u3": "short"}),
        Skipped("no b today", "b"),
    ]
    assert checked.scores(CARD, given, IDS) == {
        "columns": {
            "a": {"values": {"u1": 0.5, "u2": 2.0}, "weights": {"u1": 3.0, "u2": 0.0}, "unscored": {"u3": "short"}}
        },
        "skipped": {"b": "no b today"},
    }
    assert all(type(v) is float for v in checked.scores(CARD, given, IDS)["columns"]["a"]["values"].values())


def test_a_whole_task_may_be_skipped() -> None:
    assert checked.scores(CARD, [Skipped("nothing today")], IDS) == {"columns": {}, "skipped": {"*": "nothing today"}}
    assert checked.scores(CARD, Skipped("nothing today"), IDS)["skipped"] == {"*": "nothing today"}


B = Score("b", {})


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        ([Score("a", {})], "columns without a score or a reason: b"),
        ([], "columns without a score or a reason: a, b"),
        (None, "expected Score or Skipped, got NoneType"),
        ([B, ("a", {})], "expected Score or Skipped, got tuple"),
        ([B, Score("c", {})], "column 'c' is not in its card"),
        ([B, Skipped("x", "c")], "column 'c' is not in its card"),
        ([B, Score("a", {}), Score("a", {})], "a is answered twice"),
        ([B, Score("a", {}), Skipped("x", "a")], "a is answered twice"),
        ([B, Score("a", {"u1": float("nan")})], "a: u1 is not finite"),
        ([B, Score("a", {"u1": float("inf")})], "a: u1 is not finite"),
        ([B, Score("a", {"u1": torch.tensor(1.0)})], "a: expected a number for u1, got Tensor"),  # type: ignore[dict-item]
        ([B, Score("a", {"u1": None})], "a: expected a number for u1, got NoneType"),  # type: ignore[dict-item]
        ([B, Score("a", {"u9": 1.0})], "a: 'u9' is no utterance of its split"),
        ([B, Score("a", {}, None, {"u9": "x"})], "a: 'u9' is no utterance of its split"),
        ([B, Score("a", {"u1": 1.0}, {"u2": 1.0})], "weights of a: u1 has none"),
        ([B, Score("a", {"u1": 1.0}, {"u1": -1.0})], "weights of a: expected none below zero"),
        ([B, Score("a", {"u1": 1.0}, {"u1": 0.0})], "weights of a: .* one above"),
        ([B, Score("a", {"u1": 1.0}, {"u1": float("nan")})], "weights of a: u1 is not finite"),
    ],
)
def test_what_is_no_answer(results: Any, expected: str) -> None:
    with pytest.raises(PluginError, match=f"^task 't': {expected}"):
        checked.scores(CARD, results, IDS)


def test_what_is_spoken_is_judged_by_itself_and_not_by_memory_that_nobody_wrote(monkeypatch) -> None:
    monkeypatch.setattr(torch, "empty", lambda *shape: torch.full(shape, float("nan")))
    spoken = checked._speak([torch.zeros(3, 4)], {"texts": ["a"], "references": [torch.zeros(2, 4)], "frames": 5})
    assert all(value.isfinite().all() for _, value, _ in spoken)
