"""Counts against formulas: every kernel that a family's decode may run, and whose work it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bench.metrics.flops import counted

pytestmark = pytest.mark.usefixtures("one_thread")
B, T, C, H = 3, 5, 8, 16


@torch.no_grad()
def flops(call: Any) -> int:
    return counted(call).flops


def test_a_product_is_two_flops_a_multiply_add() -> None:
    assert flops(lambda: torch.ones(3, 4) @ torch.ones(4, 5)) == 2 * 3 * 4 * 5
    assert flops(lambda: nn.Linear(C, H)(torch.ones(B, T, C))) == 2 * B * T * C * H
    assert flops(lambda: torch.einsum("bi,bij->bj", torch.ones(2, 3), torch.ones(2, 3, 4))) == 2 * 2 * 3 * 4


def test_a_vector_is_a_matrix_of_one_column() -> None:
    a, v = torch.ones(3, 4), torch.ones(4)
    assert flops(lambda: a @ v) == flops(lambda: v @ a.T) == flops(lambda: torch.addmv(torch.ones(3), a, v)) == 24
    assert flops(lambda: v @ v) == flops(lambda: torch.vdot(v, v)) == 8
    assert flops(lambda: nn.Linear(C, H)(torch.ones(C))) == 2 * C * H


def test_convolutions_and_what_is_not_counted() -> None:
    conv = nn.Conv1d(C, H, 3, padding=1)
    assert flops(lambda: conv(torch.ones(B, C, T))) == 2 * B * T * C * H * 3
    assert flops(lambda: F.layer_norm(torch.ones(B, C), (C,)).exp() + nn.Embedding(4, C)(torch.tensor([1]))) == 0


@pytest.mark.parametrize(("queries", "keys"), [(6, 6), (1, 6)])
def test_attention_on_the_cpu_is_both_of_its_products(queries: int, keys: int) -> None:
    """The formula of the plain implementation: scores and weighted values, 4 H T S d."""
    q, k = torch.randn(2, 4, queries, 8), torch.randn(2, 4, keys, 8)
    plain = flops(lambda: (q @ k.mT).softmax(-1) @ k)
    assert flops(lambda: F.scaled_dot_product_attention(q, k, k)) == plain == 4 * 2 * 4 * queries * keys * 8


@pytest.mark.parametrize(("kind", "gates"), [(nn.GRU, 3), (nn.LSTM, 4)])
@pytest.mark.parametrize("batch_first", [True, False])
def test_recurrent_layers(kind: Any, gates: int, batch_first: bool) -> None:
    net = kind(C, H, num_layers=2, batch_first=batch_first)
    expected = 2 * B * T * gates * H * ((C + H) + (H + H))
    assert flops(lambda: net(torch.ones(B, T, C) if batch_first else torch.ones(T, B, C))) == expected


@pytest.mark.parametrize(("kind", "gates"), [(nn.GRU, 3), (nn.LSTM, 4)])
def test_recurrent_layers_of_cudnn_are_one_operator(kind: Any, gates: int) -> None:
    """On a GPU all layers and directions run at once; here by its shapes alone."""
    net = kind(C, H, num_layers=2, bidirectional=True, device="meta")
    x, h = torch.ones(T, B, C, device="meta"), torch.zeros(4, B, H, device="meta")
    cell, mode = (h, 2) if kind is nn.LSTM else (None, 3)

    def call() -> Any:
        return torch.ops.aten._cudnn_rnn(
            x, net._flat_weights, 4, None, h, cell, mode, H, 0, 2, False, 0.0, False, True, [], None
        )

    assert flops(call) == 2 * B * T * 2 * gates * H * ((C + H) + (2 * H + H))


def test_an_encoder_layer_hides_nothing() -> None:
    layer = nn.TransformerEncoderLayer(C, 2, H, batch_first=True).eval()
    products = 2 * B * T * (C * 3 * C + C * C + C * H + H * C)
    assert flops(lambda: layer(torch.ones(B, T, C))) == products + 4 * B * T * T * C
    assert torch.backends.mha.get_fastpath_enabled()


def test_triangular_solves() -> None:
    assert flops(lambda: torch.linalg.solve_triangular(torch.eye(6), torch.ones(6, 4), upper=False)) == 6 * 6 * 4


def test_the_result_is_the_calls_and_it_runs_once() -> None:
    calls: list[int] = []
    found = counted(lambda: calls.append(1) or torch.ones(2) * 3)
    assert calls == [1] and found.result.tolist() == [3.0, 3.0]


def test_parts_have_their_own_and_their_childrens_work() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 8)), nn.Linear(8, 2)

        def decode(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(x)) @ torch.ones(2, 3)

    model = Model()
    found = counted(lambda: model.decode(torch.ones(5, 4)), {"backbone": [model.body], "head": [model.head]})
    assert found.by_part == {"backbone": 2 * 5 * (4 * 8 + 8 * 8), "head": 2 * 5 * 8 * 2, "other": 2 * 5 * 2 * 3}
    assert sum(found.by_part.values()) == found.flops == sum(found.by_operator.values())
    # no hook is left
    assert counted(lambda: model.decode(torch.ones(5, 4))).by_part == {"other": found.flops}


def test_what_a_part_does_outside_its_forward_is_its_own() -> None:
    """A head draws by `sample`, a backbone goes on by `step`; a method of one part may ask another."""

    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.project = nn.Linear(8, 2)

        def sample(self, x: torch.Tensor) -> torch.Tensor:
            return self._mixed(self.project(x))

        def _mixed(self, x: torch.Tensor) -> torch.Tensor:
            return x @ torch.ones(2, 2)

    class Body(Head):
        def __init__(self, head: Head) -> None:
            super().__init__()
            self.head = head

        def step(self, x: torch.Tensor) -> torch.Tensor:
            return self.head.sample(x @ torch.ones(4, 8)) @ torch.ones(2, 3)

    model = Body(Head())
    parts = {"head": [model.head], "backbone": [model]}
    found = counted(lambda: model.step(torch.ones(5, 4)) @ torch.ones(3, 1), parts)
    assert found.by_part == {"backbone": 2 * 5 * (4 * 8 + 2 * 3), "head": 2 * 5 * (8 * 2 + 2 * 2), "other": 2 * 5 * 3}
    assert "step" not in vars(model) and "sample" not in vars(model.head)


def test_an_error_inside_a_part_leaves_no_hook() -> None:
    layer = nn.Linear(4, 2)
    with pytest.raises(RuntimeError):
        counted(lambda: layer(torch.ones(1, 5)), {"head": [layer]})
    assert counted(lambda: layer(torch.ones(1, 4)), {"head": [layer]}).by_part == {"head": 16}
    assert not layer._forward_hooks and not layer._forward_pre_hooks
