"""FLOPs of a call, counted as it runs: torch's counter, and formulas for the kernels that it does not know.

Conventions: 1 multiply-add is 2 FLOPs (2 × MACs). Matrix products, convolutions, attention and recurrent layers count;
elementwise operations, norms, gathers and random numbers do not, as in published figures. `torch.utils.flop_counter`
counts an operator that it has no formula for as zero: on the CPU these are fused attention and LSTM, on a GPU all of
cuDNN's recurrent layers, anywhere products with a vector. They are given formulas here, as triangular solves are; GRU
decomposes on the CPU into products that it sees. Still zero: Fourier transforms, factorisations, `cdist`, and operators
that other packages compile.

Parts: each FLOP belongs to the innermost module in whose `forward` or other method it was done, and with it to the part
that this module was given to; what is done outside all of them is in "other".

References:
    Kaplan et al. 2020 (arXiv 2001.08361) for the convention.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import wraps
from types import FunctionType
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

R = TypeVar("R")
OTHER = "other"


@dataclass(frozen=True)
class Counted(Generic[R]):
    """What a call gave and what it cost: FLOPs in all, by operator, and by part."""

    result: R
    flops: int
    by_operator: Mapping[str, int]
    by_part: Mapping[str, int]


def counted(call: Callable[[], R], parts: Mapping[str, Sequence[nn.Module]] | None = None) -> Counted[R]:
    """Run `call` once and count.

    Args:
        call: what is counted; nothing of it is skipped or run twice.
        parts: name → modules whose own and whose children's work is theirs; a module in two of them counts for the
            first.
    """
    stack: list[str] = []
    shares: dict[str, int] = {}

    class Counter(FlopCounterMode):
        def _count_flops(self, func_packet: Any, out: Any, args: Any, kwargs: Any) -> Any:
            before = self.get_total_flops()
            out = super()._count_flops(func_packet, out, args, kwargs)
            name = stack[-1] if stack else OTHER
            shares[name] = shares.get(name, 0) + self.get_total_flops() - before
            return out

    counter = Counter(display=False, custom_mapping=FORMULAS)
    fast_path = torch.backends.mha.get_fastpath_enabled()
    # the fused encoder layer is one operator that hides all of its products
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with _labelled(parts or {}, stack), counter:
            result = call()
    finally:
        torch.backends.mha.set_fastpath_enabled(fast_path)
    operators = {str(op): n for op, n in counter.get_flop_counts().get("Global", {}).items() if n}
    return Counted(result, counter.get_total_flops(), operators, {name: n for name, n in shares.items() if n})


@contextmanager
def _labelled(parts: Mapping[str, Sequence[nn.Module]], stack: list[str]) -> Iterator[None]:
    """Keep the name of the part that runs on top of `stack`."""
    label: dict[nn.Module, str] = {}
    for name, modules in parts.items():
        for module in modules:
            for inner in module.modules():
                label.setdefault(inner, name)
    with ExitStack() as hooks:
        for module, name in label.items():
            enter = module.register_forward_pre_hook(lambda *_, name=name: stack.append(name))
            leave = module.register_forward_hook(lambda *_: _pop(stack), always_call=True)
            hooks.callback(enter.remove)
            hooks.callback(leave.remove)
            # a head draws and a backbone goes on by methods of other names, which no hook sees
            for method in _methods(module):
                setattr(module, method, _within(getattr(module, method), name, stack))
                hooks.callback(delattr, module, method)
        yield


def _methods(module: nn.Module) -> set[str]:
    """Names of what the module's own classes define, torch's left out, beside `forward` and what Python calls."""
    own = [kind for kind in type(module).__mro__ if not kind.__module__.startswith(("torch.", "builtins"))]
    found = {name for kind in own for name, value in vars(kind).items() if isinstance(value, FunctionType)}
    return {name for name in found - {"forward"} - vars(module).keys() if not name.startswith("__")}


def _within(method: Callable[..., Any], name: str, stack: list[str]) -> Callable[..., Any]:
    """The same method, with a part's name on top of `stack` while it runs."""

    @wraps(method)
    def call(*args: Any, **kwargs: Any) -> Any:
        stack.append(name)
        try:
            return method(*args, **kwargs)
        finally:
            stack.pop()

    return call


def _pop(stack: list[str]) -> None:
    # returns nothing: what a forward hook returns would take the output's place
    stack.pop()


# --- formulas ----------------------------------------------------------------------------------------------


def _flash_cpu(query: Any, key: Any, value: Any, *args: Any, out_val: Any = None, **kwargs: Any) -> int:
    """Fused attention on the CPU: (B, H, T, d) shapes. Masked entries count, as the kernel computes them."""
    del args, kwargs, out_val
    return sdpa_flop_count(tuple(query.shape), tuple(key.shape), tuple(value.shape))


def _lstm(x: Any, *args: Any, out_val: Any = None, **kwargs: Any) -> int:
    """One layer and direction of LSTM: 2 · 4 · H (C + H) a step, x (T, B, C) in either order."""
    del out_val, kwargs
    input_to_hidden, hidden_to_hidden = args[0], args[1]
    steps = x.shape[0] * x.shape[1]
    return 2 * steps * (input_to_hidden.numel() + hidden_to_hidden.numel())


def _cudnn_rnn(x: Any, weights: Any, *args: Any, out_val: Any = None, **kwargs: Any) -> int:
    """All layers and directions at once, each of their matrices once a step; x (T, B, C) in either order or packed."""
    del args, kwargs, out_val
    steps = x.numel() // x.shape[-1]
    return 2 * steps * sum(int(weight.numel()) for weight in weights if weight.dim() == 2)


def _vector_product(*tensors: Any, out_val: Any = None, **kwargs: Any) -> int:
    """A multiply-add for each entry of the matrix, or of the vector where there is none."""
    del out_val, kwargs
    return 2 * max(tensor.numel() for tensor in tensors if isinstance(tensor, torch.Tensor))


def _solve_triangular(a: Any, b: Any, *args: Any, out_val: Any = None, **kwargs: Any) -> int:
    """n² multiply-adds, halved, for each right-hand side: n² FLOPs."""
    del a, args, kwargs, out_val
    return int(b.numel() * b.shape[-2])


_OF_TENSORS: tuple[Any, ...] = (_flash_cpu, _lstm, _cudnn_rnn, _vector_product, _solve_triangular)
for _formula in _OF_TENSORS:
    # torch would give it shapes
    _formula._get_raw = True
FORMULAS: dict[Any, Any] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _flash_cpu,
    torch.ops.aten.mkldnn_rnn_layer: _lstm,
    torch.ops.aten._cudnn_rnn: _cudnn_rnn,
    **dict.fromkeys((torch.ops.aten.mv, torch.ops.aten.addmv), _vector_product),
    **dict.fromkeys((torch.ops.aten.dot, torch.ops.aten.vdot), _vector_product),
    torch.ops.aten.linalg_solve_triangular: _solve_triangular,
}
