"""What a family's cached decode costs: what is counted as it runs against a formula of the model's own sizes.

A formula knows widths, layers and kinds, and neither the counter nor the weights. It gives FLOPs (2 × MACs) of a frame
of one sequence by the part that the card names, and has to be met exactly. "other" is the matrix product, D × D, that
takes frames back to the units of x; nothing in `rvq_ar`, whose codec looks its codes up; and the weights of mixed
dynamics in `rssm`.

Every card with parts is held to its formula as it is, and small variants to what no card of these has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from baselines.consistency import STEPS
from baselines.heads import BINS, HIDDEN
from baselines.layers import BackboneConfig
from bench import registry
from bench.checked import Checked
from bench.codecs.minicodec import MiniCodec
from bench.config import merged
from bench.contract import CodecInfo, ReadsCodes
from bench.fitting import initialised
from bench.metrics.flops import Counted, counted
from bench.runner import Row
from tests.lab import ar1, fit_context

pytestmark = pytest.mark.usefixtures("one_thread")
INFO = CodecInfo("minicodec", 16_000, 1280, 32, codebooks=(1024,) * 8)
D = INFO.dim
B, PROMPT, SHORT, LONG = 2, 5, 1, 3
TIMES = 32
"""Channels of a noise head's time."""
PREFIX = 2
"""Tokens before the frames of one who is told nothing: no voice and a padded letter."""
Parts = dict[str, float]


# --- formulas ----------------------------------------------------------------------------------------------


def linear(inputs: int, outputs: int) -> int:
    return 2 * inputs * outputs


def mlp(inputs: int, hidden: int, outputs: int) -> int:
    return linear(inputs, hidden) + linear(hidden, hidden) + linear(hidden, outputs)


def keys(context: int, before: int) -> float:
    """Mean number of keys over the counted frames SHORT + 1 … LONG: a frame's own, and those in the cache.

    `before` of them stand before the prompt. A full cache has `context` keys, the oldest of them masked for the newest
    query: the kernel computes it all the same.
    """
    if context:
        assert context <= before + PROMPT + SHORT, "the cache is still filling"
        return context + 1
    return before + PROMPT + (SHORT + 1 + LONG) / 2


def block(width: int, hidden: int, attended: float) -> float:
    """Queries, keys and values, what comes out, both products of attention, feed-forward."""
    return linear(width, 3 * width) + linear(width, width) + 4 * attended * width + 2 * linear(width, hidden)


def read(inputs: int, config: BackboneConfig, before: int = 1) -> float:
    """One input more of a backbone; `before`: the learned first token."""
    width, hidden = config.width, config.hidden
    if config.kind == "gru":
        return linear(inputs, width) + config.layers * 3 * 2 * width * (width + width)
    if config.kind == "window":
        return mlp(inputs * config.context, hidden or width, width)
    return linear(inputs, width) + config.layers * block(width, hidden or 4 * width, keys(config.context, before))


def adaln(condition: int, width: int, layers: int) -> int:
    """A frame through the MLP: in, condition, blocks with their modulation, and out with its own."""
    blocks = layers * (linear(width, 3 * width) + 2 * linear(width, width))
    return linear(D, width) + linear(condition, width) + blocks + linear(width, 2 * width) + linear(width, D)


def mixture(features: int, components: int, kind: str, rank: int) -> int:
    """Weights, means and scales of all components; a solve of a triangle is D² FLOPs."""
    extra = {
        "diagonal": 0,
        "shared": D**2,
        "low_rank": linear(features, components * D * rank) + linear(rank, D),
        "full": linear(features, components * D * (D - 1) // 2) + D**2,
    }
    return linear(features, components * (1 + 2 * D)) + extra[kind]


def flow(features: int, kind: str, transforms: int) -> int:
    """D passes of every transform through its masked network, computed whole; a spline has 3 BINS − 1 numbers."""
    each = [2] + [3 * BINS - 1 if kind == "nsf" else 2] * (transforms - 1)
    return sum(D * (linear(D + features, HIDDEN) + linear(HIDDEN, D * numbers)) for numbers in each)


def autoregressive(config: Any, backbone: float, head: float, width: int = 0) -> Parts:
    """What these share: the layer between backbone and head is the card's backbone."""
    width = width or config.backbone.width
    return {"backbone": backbone + linear(width, width), "head": head, "other": linear(D, D)}


def raw_ar(config: Any) -> Parts:
    width, head = config.backbone.width, config.head
    if head.kind in ("nsf", "maf"):
        return autoregressive(config, read(D, config.backbone), flow(width, head.kind, head.transforms))
    law = mixture(width, head.components, head.kind, head.rank)
    return autoregressive(config, read(D, config.backbone), law)


def raw_ar_text(config: Any) -> Parts:
    law = mixture(config.backbone.width, config.head.components, config.head.kind, config.head.rank)
    return autoregressive(config, read(D, config.backbone, 1 + PREFIX), law)


def velocities(config: Any) -> int:
    """Of all Euler steps."""
    head = config.head
    return int(head.steps * adaln(config.backbone.width + TIMES, head.width, head.layers))


def raw_flow_matching(config: Any) -> Parts:
    return autoregressive(config, read(D, config.backbone), velocities(config))


def raw_fm_text(config: Any) -> Parts:
    return autoregressive(config, read(D, config.backbone, 1 + PREFIX), velocities(config))


def consistency(config: Any) -> int:
    """LSD reads two times, the others one."""
    head, times = config.head, 2 if config.head.kind == "lsd" else 1
    condition = config.backbone.width + times * TIMES
    return int((head.steps or STEPS[head.kind]) * adaln(condition, head.width, head.layers))


def calm(config: Any) -> Parts:
    backbone, short, layers = read(D, config.backbone), config.short, config.short.layers
    if config.short_context:
        # together the layers reach that many inputs back, Σ (context − 1) + 1, and each computes a masked one more
        attended = sum(keys(context, 1) for context in contexts(config.short_context, layers))
        backbone += linear(D, short.width) + layers * block(short.width, short.hidden or 4 * short.width, 0)
        backbone += 4 * attended * short.width
        backbone += 0 if short.width == config.backbone.width else linear(short.width, config.backbone.width)
    return autoregressive(config, backbone, consistency(config))


def contexts(frames: int, layers: int) -> list[int]:
    """`frames` − 1 steps back dealt out to the layers one by one."""
    return [1 + len(range(layer, frames - 1, layers)) for layer in range(layers)]


def calm_text(config: Any) -> Parts:
    return autoregressive(config, read(D, config.backbone, 1 + PREFIX), consistency(config))


def engram(config: Any, width: int) -> Parts:
    """Nearest centre, and keys and values of each memory; without a memory the centre is looked for all the same.

    The layers between two memories are a backbone of their own: each projects its inputs, and attends to a first token
    of its own and to what the one before it made of its own.
    """
    backbone, memory, head = replace(config.backbone, width=width), config.memory, config.head
    after = () if config.control.startswith("no_memory") else memory.after or (backbone.layers,)
    cost = linear(D, memory.centres) + len(after) * 2 * linear(memory.width, width)
    edges = sorted({0, *after, backbone.layers})
    for index, (low, high) in enumerate(pairwise(edges)):
        cost += read(width if index else D, replace(backbone, layers=high - low), before=1 + (index > 0))
    law = mixture(width, head.components, head.covariance, head.rank)
    return autoregressive(config, cost, law, width)


def rssm(config: Any) -> Parts:
    """The weights of mixed dynamics are in no card's parts: a network without a mixture has none."""
    strict, sizes, dynamics = config.mode == "strict", config.sizes, config.dynamics
    state, innovation, mixed = sizes.state, sizes.innovation, dynamics.components > 1
    out = {
        "head": mlp(state + innovation, sizes.width, D),
        "z_rec": mlp(state, sizes.width, 2 * innovation),
        "other": linear(D, D) + (0 if strict or not mixed else linear(dynamics.width, dynamics.components)),
    }
    if strict:
        return out | {"backbone": read(D, config.encoder) + linear(config.encoder.width, state)}
    return out | {"backbone": read(state, dynamics) + linear(dynamics.width, dynamics.components * 2 * state)}


def rvq_ar(config: Any) -> Parts:
    """A frame of sums of embeddings through the backbone, then one stage after another."""
    width, depth = config.backbone.width, config.depth
    sizes = INFO.codebooks[: config.stages or None]
    hidden, own = depth.hidden or 4 * depth.width, depth.width
    head = linear(width, sizes[0])
    for known, size in enumerate(sizes[1:], start=1):
        layer = block(own, hidden, known) if depth.kind == "transformer" else 2 * linear(own, hidden)
        head += linear(width, own) + depth.layers * layer + linear(own, size)
    return {"backbone": read(width, config.backbone) + linear(width, width), "head": head, "other": 0}


FORMULAS: dict[str, Callable[..., Parts]] = {
    one.__name__: one
    for one in (raw_ar, raw_ar_text, raw_flow_matching, raw_fm_text, calm, calm_text, engram, rssm, rvq_ar)
}


# --- what is counted ---------------------------------------------------------------------------------------


def built(name: str, over: Mapping[str, Any]) -> Any:
    """A card's submission with random weights."""
    card = registry.submission_card(name)
    plugin: Any = registry.load("submissions", card.plugin)
    made = plugin(**merged(card.parameters, dict(over)))
    if isinstance(made, ReadsCodes):
        made.read_codes(MiniCodec())
    made.network = initialised(lambda: made.build(INFO), 0).eval().requires_grad_(False)
    return made


def frame_of(name: str, submission: Any) -> tuple[Parts, float]:
    """FLOPs of a frame of one sequence by part, and in all: as the task `cost_at_quality` takes them."""
    checked = Checked(submission, name)
    row = SimpleNamespace(card=registry.submission_card(name), _who=name)
    parts = Row.parts(cast(Any, row), checked)
    prompts = torch.randn(B, PROMPT, D, generator=torch.Generator().manual_seed(0))

    def rolled(frames: int) -> Counted[Any]:
        generator = torch.Generator().manual_seed(0)
        return counted(lambda: checked.rollout(prompts, frames, 1, generator), parts)

    short, long = rolled(SHORT), rolled(LONG)
    frames = B * (LONG - SHORT)
    by = {
        part: (long.by_part.get(part, 0) - short.by_part.get(part, 0)) / frames
        for part in ("backbone", "head", "z_rec", "other")
    }
    assert long.by_part.keys() <= by.keys()
    return by, (long.flops - short.flops) / frames


def expected(submission: Any) -> Parts:
    config, plugin = submission.config, submission.plugin
    given = (config, submission.network.backbone.width) if plugin == "engram" else (config,)
    return {"z_rec": 0} | FORMULAS[plugin](*given)


PARTED = sorted(name for name in registry.submission_files() if registry.submission_card(name).parts)
TRANSFORMER = {"kind": "transformer", "width": 32, "layers": 2, "heads": 2}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("raw_ar_v1", {"backbone": {"layers": 3, "width": 24}}),
    ("raw_ar_v1", {"backbone": TRANSFORMER, "head": {"kind": "low_rank", "components": 3, "rank": 5}}),
    ("raw_ar_v1", {"backbone": TRANSFORMER | {"context": 4, "hidden": 40}, "head": {"kind": "full"}}),
    ("raw_ar_flow_v1", {"backbone": {"width": 24}, "head": {"kind": "maf", "transforms": 3}}),
    ("raw_ar_fm_v1", {"backbone": TRANSFORMER, "head": {"steps": 3, "layers": 1}}),
    ("raw_ar_text_v1", {"head": {"kind": "diagonal", "components": 3}, "text_layers": 1}),
    ("calm_v1", {"head": {"steps": 4}}),
    ("calm_v1", {"head": {"kind": "scm", "steps": 2, "adaptive": True}, "backbone": TRANSFORMER}),
    ("calm_v1", {"head": {"kind": "trigflow"}, "short_context": 6, "short": TRANSFORMER}),
    ("calm_v1", {"backbone": TRANSFORMER, "short_context": 5, "short": TRANSFORMER | {"layers": 3}}),
    ("engram_v1", {"memory": {"order": 4, "width": 60, "rows": 50}, "head": {"covariance": "diagonal"}}),
    ("engram_v1", {"backbone": {"layers": 3, "width": 24}, "memory": {"after": [1, 2], "rows": 50}}),
    ("engram_v1", {"backbone": TRANSFORMER, "memory": {"after": [1, 2], "rows": 50}, "control": "shuffled_key"}),
    ("engram_v1", {"backbone": TRANSFORMER, "memory": {"rows": 50}, "control": "no_memory_total"}),
    ("rssm_v1", {"encoder": {"kind": "window", "context": 3, "width": 24}}),
    ("rssm_v1", {"encoder": TRANSFORMER, "sizes": {"width": 24, "state": 10, "innovation": 4}}),
    ("rssm_note_v1", {"dynamics": TRANSFORMER | {"components": 3}}),
    ("rvq_ar_v1", {"stages": 3, "backbone": TRANSFORMER, "depth": {"layers": 2, "hidden": 20}}),
    ("rvq_ar_v1", {"stages": 4, "delay": 2, "depth": {"kind": "mlp", "width": 24}}),
    ("rvq_ar_v1", {"stages": 4, "depth": {"width": 24, "per_stage": True}}),
]
CASES = [(name, {}) for name in PARTED] + VARIANTS


@pytest.mark.parametrize(("name", "over"), CASES, ids=[f"{name}-{i}" for i, (name, _) in enumerate(CASES)])
def test_what_is_counted_is_what_the_formula_says(name: str, over: dict[str, Any]) -> None:
    submission = built(name, over)
    by, total = frame_of(name, submission)
    assert by == expected(submission)
    assert sum(by.values()) == total > 0


def test_every_family_has_a_formula_and_what_fits_nothing_costs_nothing() -> None:
    priced = {registry.submission_card(name).plugin for name in PARTED}
    assert priced == FORMULAS.keys()
    plugins: dict[str, Any] = {name: registry.load("submissions", name) for name in registry.names("submissions")}
    own = {name for name, plugin in plugins.items() if plugin.__module__.startswith("baselines.")}
    rolling = {name for name in own if hasattr(plugins[name], "rollout")}
    assert rolling - priced == {"control_copy_last", "control_marginal", "control_silence"}
    frames = ar1(0.5, D, 8, 20, 0)
    for name in rolling - priced:
        control = plugins[name]()
        control.fit(frames, frames, fit_context(D))
        assert counted(lambda c=control: c.rollout(torch.zeros(B, PROMPT, D), LONG, 1, torch.Generator())).flops == 0
