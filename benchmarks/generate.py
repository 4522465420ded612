"""What a cache is worth in decoding, what a batch is worth, whether a frame's time grows, and how far the roofline is.

    python -m benchmarks.generate --write docs/generation_speed.md

One model with random weights, a causal transformer with a mixture head, which is what `raw_ar` builds. Everything that
is compared runs in turns in one process, and a repetition's ratio is that of neighbours in time, so that what else runs
on the machine touches both alike; the table gives the median ratio, the least and the most.

* cached ÷ recomputed: one step a frame against reading the whole past again for every frame;
* batch: frames a second of 16 sequences side by side over those of one;
* matrix products: the same ratio of the steps' products of weights alone, in turns with the former: what the machine
  gives to a loop that does nothing else;
* flat: time of the last fifth of the frames over that of the second fifth (the first warms up);
* peer: pocket-tts's `StreamingTransformer`, random weights, of as many parameters, driven the same way without a head,
  against our backbone alone;
* roofline: the time that FLOPs at the machine's measured matrix-product rate, or bytes of weights and cache at its
  measured reading rate, would take at least, over the time it took.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from tabulate import tabulate
from torch import Tensor, nn

from baselines.layers import Backbone
from baselines.raw_ar import RawAR
from bench.contract import CodecInfo
from bench.markers import replace_block
from bench.metrics.flops import counted

DIM, FRAMES, BATCH = 32, 250, 16
BACKBONE = {"kind": "transformer", "width": 512, "heads": 8, "layers": 6, "dropout": 0.0}
SHORT = 25
"""Frames of a warm-up."""


def model() -> RawAR:
    """The submission with random weights, as it generates."""
    torch.manual_seed(0)
    submission = RawAR(backbone=BACKBONE, head={"kind": "shared", "components": 8})
    submission.network = submission.build(CodecInfo("random", 16_000, 1280, DIM)).eval().requires_grad_(False)
    return submission


def cached(submission: RawAR, batch: int, frames: int = FRAMES) -> Tensor:
    return submission.generate(frames, batch, torch.Generator().manual_seed(0))


@torch.no_grad()
def recomputed(submission: RawAR, batch: int, frames: int = FRAMES) -> Tensor:
    """The same samples, every frame from the whole past."""
    network, generator = submission.network, torch.Generator().manual_seed(0)
    u = torch.zeros(batch, 0, DIM)
    for _ in range(frames):
        features = network.features(torch.cat([u, u.new_zeros(batch, 1, DIM)], 1))[:, -1]
        u = torch.cat([u, network.head.sample(features, generator, 1.0)[:, None]], 1)
    return network.white.invert(u)


@torch.no_grad()
def backbone_loop(read: Callable[[Tensor], Tensor], width: int, frames: int = FRAMES) -> None:
    """One step a frame, what comes out going in again."""
    x = torch.zeros(1, width)
    for _ in range(frames):
        x = read(x)


def ours(backbone: Backbone) -> Callable[[Tensor], Tensor]:
    """Our backbone behind inputs of its own width, as the peer has them."""
    _, state = backbone.start(1)

    def read(x: Tensor) -> Tensor:
        nonlocal state
        features, state = backbone.step(x, state)
        return features

    return read


def peers(frames: int) -> tuple[nn.Module, Callable[[], Callable[[Tensor], Tensor]]]:
    """pocket-tts's transformer, and what starts one of its loops."""
    from pocket_tts.modules.stateful_module import StatefulModule, increment_steps, init_states
    from pocket_tts.modules.transformer import StreamingTransformer

    width, heads, layers = BACKBONE["width"], BACKBONE["heads"], BACKBONE["layers"]
    torch.manual_seed(0)
    # pocket-tts names the parts of its state after its modules
    network = nn.Sequential(StreamingTransformer(width, heads, layers, dim_feedforward=4 * width)).eval()
    network.requires_grad_(False)
    for name, module in network.named_modules():
        if isinstance(module, StatefulModule):
            module._module_absolute_name = name

    def start() -> Callable[[Tensor], Tensor]:
        state = init_states(network, 1, frames + 1)

        def read(x: Tensor) -> Tensor:
            out = network[0](x[:, None], state)[:, 0]
            increment_steps(network, state)
            return out

        return read

    return network, start


@torch.no_grad()
def products(submission: RawAR, batch: int, frames: int = FRAMES) -> None:
    """As many steps' products of the network's weights, and nothing between them."""
    layers = [module for module in submission.network.modules() if isinstance(module, nn.Linear)]
    inputs = {layer.in_features: torch.randn(batch, layer.in_features) for layer in layers}
    for _ in range(frames):
        for layer in layers:
            layer(inputs[layer.in_features])


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def ratios(numerator: Callable[[], object], denominator: Callable[[], object], repeats: int) -> list[float]:
    """Time of one over that of the other, measured in turns."""
    return [seconds(numerator) / seconds(denominator) for _ in range(repeats)]


def growth(submission: RawAR) -> float:
    """Time of the last fifth of frames over that of the second fifth."""
    network, generator, stamps = submission.network, torch.Generator().manual_seed(0), [time.perf_counter()]
    with torch.no_grad():
        features, state = network.backbone.start(1)
        for _ in range(FRAMES):
            u = network.head.sample(network.trunk(features), generator, 1.0)
            features, state = network.backbone.step(u, state)
            stamps.append(time.perf_counter())
    fifth = FRAMES // 5
    return (stamps[-1] - stamps[-1 - fifth]) / (stamps[2 * fifth] - stamps[fifth])


def machine() -> tuple[float, float]:
    """FLOP/s of a large matrix product and bytes/s read, each the best of several."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    flops = 2 * 1024**3 / min(seconds(lambda: a @ b) for _ in range(10))
    # far larger than a cache
    long = torch.ones(64 << 20)
    return flops, 4 * len(long) / min(seconds(long.sum) for _ in range(10))


def roofline(submission: RawAR, batch: int, rates: tuple[float, float]) -> tuple[float, float]:
    """Share of the attainable speed at which `batch` sequences are generated, and GFLOP/s reached."""
    took = statistics.median(seconds(lambda: cached(submission, batch)) for _ in range(3))
    flops = counted(lambda: cached(submission, batch)).flops
    weights = sum(p.numel() * p.element_size() for p in submission.network.parameters())
    # keys and values of half of the frames on average, read once a step
    cache = 2 * BACKBONE["layers"] * batch * FRAMES / 2 * BACKBONE["width"] * 4
    least = max(flops / rates[0], FRAMES * (weights + cache) / rates[1])
    return least / took, flops / took / 1e9


def measured(repeats: int) -> str:
    """The table."""
    submission = model()
    a, b = cached(submission, 2, SHORT), recomputed(submission, 2, SHORT)
    assert torch.allclose(a, b, atol=1e-3), "the two ways do not give the same samples"
    backbone = submission.network.backbone
    backbone.project = nn.Identity()
    other, start = peers(FRAMES)
    sizes = [sum(p.numel() for p in m.parameters()) / 1e6 for m in (backbone, other)]
    for read in (ours(backbone), start()):
        backbone_loop(read, backbone.width, SHORT)
    against = ratios(
        lambda: backbone_loop(start(), backbone.width), lambda: backbone_loop(ours(backbone), backbone.width), repeats
    )
    submission = model()
    shared: dict[Callable[..., object], list[float]] = {cached: [], products: []}
    for way in shared:
        way(submission, 1, SHORT), way(submission, BATCH, SHORT)
    for _ in range(repeats):
        for way, found in shared.items():
            one, many = partial(way, submission, 1), partial(way, submission, BATCH)
            found += [BATCH * r for r in ratios(one, many, 1)]
    rows = [
        (
            "recomputed ÷ cached",
            "≥ 5",
            ratios(lambda: recomputed(submission, 1), lambda: cached(submission, 1), repeats),
        ),
        (f"throughput, batch {BATCH} ÷ 1", "≥ 6", shared[cached]),
        ("the same, matrix products alone", "", shared[products]),
        ("last fifth ÷ second fifth", "≤ 1.2", [growth(submission) for _ in range(repeats)]),
        (f"pocket-tts ({sizes[1]:.1f} M) ÷ ours ({sizes[0]:.1f} M)", "≥ 1", against),
    ]
    table = tabulate(
        [[name, bar, f"{statistics.median(r):.2f}", f"{min(r):.2f} to {max(r):.2f}"] for name, bar, r in rows],
        headers=["", "wanted", "median", "range"],
        tablefmt="github",
        disable_numparse=True,
    )
    rates = machine()
    reached = [(batch, *roofline(submission, batch, rates)) for batch in (1, BATCH)]
    lines = [
        f"batch {batch}: {100 * share:.0f} % of the roofline, {speed:.1f} GFLOP/s" for batch, share, speed in reached
    ]
    return (
        f"{sum(p.numel() for p in submission.network.parameters()) / 1e6:.1f} M parameters, {FRAMES} frames, "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}; matrix products {rates[0] / 1e9:.0f} GFLOP/s, "
        f"reading {rates[1] / 1e9:.1f} GB/s; {repeats} repetitions.\n\n{table}\n\n" + "; ".join(lines) + "."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", type=Path, help="file with the markers <!-- generate:start --> and :end")
    args = parser.parse_args()
    text = measured(args.repeats)
    print(text)
    if args.write:
        replace_block(args.write, "generate", text)


if __name__ == "__main__":
    main()
