"""Engram: its hash, gate and convolution against what they are defined as, and its controls."""

import math
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from baselines import memory as parts
from baselines.autoregressive import Network
from baselines.engram import Engram, active_parameters, gate_over_rollout, memories, total_parameters
from baselines.layers import BackboneConfig
from baselines.memory import Memory, MemoryConfig, Quantiser, Remembering, primes, rows
from baselines.selftests import engram as selftest
from bench.config import SubmissionCard, read_card
from bench.conformance.report import passed
from bench.conformance.submission import checked_on_toy
from bench.contract import CodecInfo
from bench.errors import BenchError, CardError
from tests.lab import ar1, fit_context

ROOT = Path(__file__).parents[2]
DIM, FRAMES = 3, 24
MEMORY = {"centres": 16, "rows": 64, "width": 16, "heads": 2}
TINY = {
    "backbone": {"width": 16, "dropout": 0.0},
    "memory": MEMORY,
    "head": {"components": 2},
    "fit": {"steps": 12, "batch": 16, "crop_frames": 16, "evaluate_every": 6, "lr": 5e-3},
}
KINDS = {
    "gru": {"kind": "gru", "width": 16, "layers": 1},
    "gru, between": {"kind": "gru", "width": 16, "layers": 2},
    "transformer, between": {"kind": "transformer", "width": 16, "layers": 3, "heads": 2},
    "transformer, context": {"kind": "transformer", "width": 16, "layers": 2, "heads": 2, "context": 4},
    "window": {"kind": "window", "width": 16, "context": 3},
}
CONTROLS = ("none", "no_memory_total", "no_memory_active", "shuffled_key", "random_table")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def remembering(kind: str = "gru", shuffled: bool = False, **values) -> Remembering:
    """With weights that make everything count, the zero-initialised convolution included."""
    torch.manual_seed(0)
    config = BackboneConfig(**KINDS[kind], dropout=0.0)
    after = (1, 2) if "between" in kind else ()
    memory = MemoryConfig(**{**MEMORY, "after": after, **values})
    made = Remembering(DIM, config, memory, memory.places(config), shuffled).eval()
    with torch.no_grad():
        made.quantiser.centres.normal_()
        for one in made.memories:
            one.table.normal_()
            one.taps.normal_()
    return made.requires_grad_(False)


@pytest.fixture(scope="module")
def data():
    return [ar1(0.8, DIM, n, FRAMES, seed) for seed, n in enumerate((60, 12, 6))]


@pytest.fixture(scope="module")
def fitted(data):
    made = {}
    for control in CONTROLS:
        made[control] = Engram(**TINY, control=control)
        made[control].fit(data[0], data[1], fit_context(DIM))
    return made


# --- keys --------------------------------------------------------------------------------------------------


def test_rows_are_those_of_the_definition() -> None:
    order, heads = 4, 3
    memory = Memory(8, MemoryConfig(order=order, heads=heads, width=18), list(parts.itertools.islice(primes(99), 9)))
    ids = torch.randint(257, (50, order), generator=rng())
    found = rows(ids, memory.multipliers, memory.sizes)
    for one, row in zip(ids.tolist(), found.tolist(), strict=True):
        for n in range(2, order + 1):
            mixed = 0
            for k in range(n):
                product = one[k] * int(memory.multipliers[k])
                assert product < 2**63
                mixed ^= product
            assert row[n - 2] == [mixed % int(memory.sizes[n - 2, j]) for j in range(heads)]
    assert all(int(m) % 2 for m in memory.multipliers)


def test_table_sizes_are_distinct_primes() -> None:
    made = remembering("gru, between")
    sizes = torch.cat([m.sizes.flatten() for m in made.memories]).tolist()
    assert len(set(sizes)) == len(sizes) == 8
    assert min(sizes) >= MEMORY["rows"]
    assert all(n % d for n in sizes for d in range(2, n))
    for one in made.memories:
        assert len(one.table) == int(one.sizes.sum())
        assert one.offsets.flatten().tolist() == [0, *one.sizes.flatten().cumsum(0).tolist()[:-1]]


def test_small_tables_collide_and_large_ones_do_not() -> None:
    pairs = torch.cartesian_prod(torch.arange(32), torch.arange(32))
    for size, distinct in ((257, 257), (1_000_003, 1000)):
        (wide,) = parts.itertools.islice(primes(size - 1), 1)
        memory = Memory(8, MemoryConfig(order=2, heads=1, width=1), [wide])
        used = len(set(rows(pairs, memory.multipliers, memory.sizes).flatten().tolist()))
        assert used <= 257 if size == 257 else used >= distinct


def test_suffix_ends_at_the_newest_input_and_starts_with_nothing() -> None:
    made = remembering(order=3)
    ids = torch.tensor([[16, 16, 3, 5, 7]])
    assert made._suffixes(ids, 3).tolist() == [[[3, 16, 16], [5, 3, 16], [7, 5, 3]]]
    assert made.nothing == 16


def test_shuffled_suffix_is_an_earlier_one() -> None:
    made, frames = remembering(shuffled=True, order=2), 200
    ids = torch.cat([torch.full((1, 2), 999), torch.arange(frames)[None]], 1)
    newest = made._suffixes(ids, frames)[0, :, 0]
    assert newest[0] == 999
    now = torch.arange(1, frames)
    assert bool((newest[1:] < now).all()) and bool((newest[1:] >= 0).all())
    # uniform over the past: the mean share is a half, its standard error .02
    assert float((newest[20:] / torch.arange(20, frames)).mean()) == pytest.approx(0.5, abs=0.09)
    assert torch.equal(newest[-5:], made._suffixes(ids, 5)[0, :, 0])


def test_quantiser_finds_the_clusters_and_merges_the_near_ones() -> None:
    centres = torch.tensor([[0.0, 0.0], [0.3, 0.0], [5.0, 5.0], [5.3, 5.0]])
    truth = torch.arange(400) % 4
    u = centres[truth] + 0.01 * torch.randn(400, 2, generator=rng())
    for merged, classes in ((0, 4), (2, 2)):
        quantiser = Quantiser(2, MemoryConfig(centres=4, merged=merged))
        quantiser.set_from(u)
        ids = quantiser(u[None])[0]
        assert len(set(ids.tolist())) == classes
        same = truth[:, None] == truth if not merged else truth[:, None] // 2 == truth // 2
        assert torch.equal(ids[:, None] == ids, same)
        away = torch.cdist(u.double(), quantiser.centres.double())
        assert torch.equal(ids, quantiser.classes[away.argmin(-1)])


# --- gate and convolution ----------------------------------------------------------------------------------


def rms(x: torch.Tensor) -> torch.Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt()


@pytest.mark.parametrize("gate", ["root", "plain"])
def test_memory_is_its_formula(gate: str) -> None:
    torch.manual_seed(1)
    width, order, frames = 8, 3, 14
    config = MemoryConfig(**{**MEMORY, "gate": gate, "order": order})
    memory = Memory(width, config, [67, 71, 73, 79]).requires_grad_(False)
    memory.table.normal_()
    h, ids = torch.randn(2, frames, width), torch.randint(16, (2, frames, order))
    at_start, _, _ = memory(h, ids, memory.before(h))
    memory.taps.normal_()
    found, after, gates = memory(h, ids, memory.before(h))
    assert after.shape == (2, 9, width)
    index = rows(ids, memory.multipliers, memory.sizes).flatten(-2)
    starts = [0, 67, 138, 211]
    e = torch.cat([memory.table[index[..., i] + starts[i]] for i in range(4)], -1)
    product = (rms(h) * rms(memory.keys(e))).sum(-1) / math.sqrt(width)
    alpha = torch.sigmoid(product if gate == "plain" else product.sign() * product.abs().sqrt())
    torch.testing.assert_close(gates, alpha)
    value = alpha[..., None] * memory.values(e)
    torch.testing.assert_close(at_start, h + value, msg="the convolution counts at the start")
    padded = F.pad(rms(value).transpose(1, 2), (9, 0))
    mixed = F.conv1d(padded, memory.taps.T[:, None], dilation=order, groups=width).transpose(1, 2)
    torch.testing.assert_close(found, h + value + F.silu(mixed))


def test_gradient_of_the_root_is_finite_at_zero() -> None:
    memory = Memory(4, MemoryConfig(**MEMORY), [67, 71, 73, 79])
    key = torch.zeros(1, 4, requires_grad=True)
    memory.opened(torch.ones(1, 4), key).sum().backward()
    assert bool(key.grad.isfinite().all())


# --- as a backbone -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_steps_are_a_read(kind: str, shuffled: bool) -> None:
    made, u = remembering(kind, shuffled), torch.randn(2, 20, DIM, generator=rng())
    whole = made.shifted(u)
    features, state = made.start(2)
    for t in range(20):
        torch.testing.assert_close(features, whole[:, t])
        features, state = made.step(u[:, t], state)
    again, resumed = made.read(u[:, 13:], made.read(u[:, :13])[1])
    torch.testing.assert_close(again[:, :-1], whole[:, 14:])
    for one, other in zip(state, resumed, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_features_and_gates_of_a_frame_read_the_past_alone(kind: str, shuffled: bool) -> None:
    made, u = remembering(kind, shuffled), torch.randn(2, 20, DIM, generator=rng())
    other = u.clone()
    other[:, 9:] = 3.0 - other[:, 9:]
    for answer in (made.shifted, made.gates):
        one, two = answer(u), answer(other)
        assert torch.equal(one[:, :10], two[:, :10])
        assert not torch.equal(one[:, 10:], two[:, 10:])


def test_the_newest_symbol_is_of_the_frame_before() -> None:
    """With a backbone that does not listen, a frame may move within its cell and no feature does."""
    made = remembering()
    for weight in made.parts[0].project.parameters():
        weight.zero_()
    u = made.quantiser.centres[torch.randint(16, (1, 12), generator=rng())]
    moved, other = u.clone(), u.clone()
    moved[0, 5] *= 1.001
    other[0, 5] = made.quantiser.centres[(int(made.quantiser(u)[0, 5]) + 1) % 16]
    base = made.shifted(u)
    assert torch.equal(made.shifted(moved), base)
    changed = (made.shifted(other) != base).any(-1)[0]
    assert changed.nonzero()[0].item() == 6 and bool(changed[6:9].all())


# --- submission --------------------------------------------------------------------------------------------


def counted(**values) -> tuple[int, int, int]:
    network = Engram(**values).build(CodecInfo("lab", 16_000, 1280, 32))
    return total_parameters(network), active_parameters(network), network.backbone.width


@pytest.mark.parametrize(
    "values",
    [
        {"backbone": {"width": 192}, "memory": {"rows": 2048}},
        {"backbone": {"kind": "transformer", "width": 128, "layers": 2, "heads": 2}, "memory": {"after": [1, 2]}},
    ],
)
def test_controls_have_the_counts_they_are_named_after(values) -> None:
    total, active, width = counted(**values)
    memory = MemoryConfig(**values["memory"])
    places = len(memory.after) or 1
    many = places * memory.tables
    in_tables = sum(parts.itertools.islice(primes(memory.rows - 1), many)) * memory.width // memory.tables
    assert total - active == in_tables - places * memory.width
    for control, wanted in (("no_memory_total", total), ("no_memory_active", active)):
        found, used, wider = counted(**values, control=control)
        assert found == used == pytest.approx(wanted, rel=0.02)
        assert wider > width
    for control in ("shuffled_key", "random_table"):
        assert counted(**values, control=control) == (total, active, width)


def test_controls_keep_the_memory_from_helping_as_they_say(fitted) -> None:
    start = {}
    for control in CONTROLS:
        model = Engram(**TINY, control=control)
        start[control] = model.build(fit_context(DIM).codec)
        assert len(memories(start[control])) == (0 if "no_memory" in control else 1)
    (trained,), (random,) = memories(fitted["none"].network), memories(fitted["random_table"].network)
    assert not torch.equal(trained.table, random.table)
    seed = fit_context(DIM).seed
    drawn = parts_of_seed(seed)
    assert torch.equal(random.table, drawn.table) and not torch.equal(trained.table, drawn.table)
    assert not torch.equal(random.values.weight, drawn.values.weight)
    with pytest.raises(BenchError, match="engram: control 'no_memory_total' has no memory"):
        fitted["no_memory_total"].gates(torch.zeros(1, 4, DIM))


def parts_of_seed(seed: int) -> Memory:
    from bench.fitting import initialised

    network = initialised(lambda: Engram(**TINY, control="random_table").build(fit_context(DIM).codec), seed)
    return memories(network)[0]


def test_tables_learn_faster_and_are_not_decayed() -> None:
    model = Engram(**TINY)
    network = model.build(fit_context(DIM).codec)
    rest, tables = model.groups(network)
    assert [p.shape for p in tables["params"]] == [memories(network)[0].table.shape]
    assert (tables["lr_times"], tables["weight_decay"]) == (5.0, 0.0)
    assert len(rest["params"]) + 1 == len(list(network.parameters()))


def test_every_switch_changes_the_answer(data, fitted) -> None:
    x = torch.stack([u.x for u in data[2]])
    base = fitted["none"].log_prob(x, x, rng())
    switches = [
        {"control": "shuffled_key"},
        {"control": "random_table"},
        {"memory": MEMORY | {"gate": "plain"}},
        {"memory": MEMORY | {"merged": 4}},
        {"memory": MEMORY | {"order": 2}},
        {"memory": MEMORY | {"rows": 5}},
        {"head": {"components": 16, "start": "centres"}},
    ]
    for switch in switches:
        model = Engram(**{**TINY, **switch})
        model.fit(data[0], data[1], fit_context(DIM))
        assert not torch.allclose(model.log_prob(x, x, rng()), base), switch


def test_means_start_at_the_centres(data) -> None:
    model = Engram(**{**TINY, "head": {"components": 16, "start": "centres"}})
    network = model.build(fit_context(DIM).codec)
    frames = torch.cat([u.x for u in data[0]])
    model.prepare(network, frames)
    u, centres = network.white(frames), network.backbone.quantiser.centres
    assert torch.equal(network.head.spread, centres)
    own = network.backbone.quantiser(u[None])[0]
    means = torch.stack([u[own == k].mean(0) for k in range(16)])
    torch.testing.assert_close(means, centres, atol=1e-3, rtol=0)


@pytest.mark.parametrize("control", CONTROLS)
def test_state_is_all_and_the_seed_decides_it(control: str, data, fitted) -> None:
    x, state = torch.stack([u.x for u in data[2]]), fitted[control].state()
    loaded, again = Engram(**TINY, control=control), Engram(**TINY, control=control)
    loaded.load_state(state, fit_context(DIM).codec, torch.device("cpu"))
    assert torch.equal(loaded.rollout(x, 4, 2, rng()), fitted[control].rollout(x, 4, 2, rng()))
    again.fit(data[0], data[1], fit_context(DIM))
    assert all(torch.equal(again.state()[name], tensor) for name, tensor in state.items())
    assert Engram(**asdict(fitted[control].config)).config == fitted[control].config


def test_gate_over_a_rollout_is_that_of_the_frames_it_made(data, fitted) -> None:
    model, prompt = fitted["none"], torch.stack([u.x[:10] for u in data[2]])
    gates = gate_over_rollout(model, prompt, 6, rng())
    made = torch.cat([prompt, model.rollout(prompt, 6, 1, rng())[:, 0]], 1)
    state = model.network.backbone.read(model.network.white(prompt))[1]
    for t in range(6):
        assert float(gates[t]) == pytest.approx(float(model.gates(made[:, : 11 + t])[:, -1].mean()), abs=1e-5)
        state = model.network.backbone.step(model.network.white(made[:, 10 + t]), state)[1]
    assert bool((gates > 0).all()) and bool((gates < 1).all())


@pytest.mark.parametrize("control", CONTROLS)
def test_rules_hold(control: str) -> None:
    values = {**TINY, "control": control, "fit": {**TINY["fit"], "steps": 3}}
    results = checked_on_toy(f"engram, {control}", lambda: Engram(**values))
    assert passed(results), [r for r in results if r.outcome == "failed"]


def test_impossible_sizes_name_the_field(data) -> None:
    for values, said in [
        ({"memory": {"order": 1}}, "engram: parameter memory.order: .*greater than or equal to 2, got 1"),
        ({"memory": {"heads": 0}}, "engram: parameter memory.heads: .*greater than or equal to 1, got 0"),
        ({"memory": {"width": 30}}, "engram: parameter memory.width: 8 tables do not divide 30"),
        ({"memory": {"merged": 300}}, "memory.merged: expected 0 or 2 to 256 classes of centres, got 300"),
        ({"memory": {"after": [2]}}, r"memory.after: expected layers in rising order, from 1 to 1, got \[2\]"),
        ({"memory": {"gate": "open"}}, "engram: parameter memory.gate: .*'root' or 'plain', got 'open'"),
        ({"head": {"start": "centres"}}, "head.components: a start at the centres needs as many, got 8 .* for 256"),
        ({"control": "both"}, "engram: parameter control"),
    ]:
        with pytest.raises(CardError, match=said):
            Engram(**values)
    model = Engram(**{**TINY, "memory": MEMORY | {"centres": 2000}})
    with pytest.raises(BenchError, match="memory.centres: expected at most .* training frames, 1440, got 2000"):
        model.fit(data[0], data[1], fit_context(DIM))


# --- cards and self-test -----------------------------------------------------------------------------------


def on_card(name: str, dim: int) -> tuple[Engram, Network]:
    card = read_card(ROOT / "submissions" / f"{name}.toml", SubmissionCard)
    model = Engram(**card.resolved("full"))
    with torch.device("meta"):
        return model, model.build(CodecInfo("codec", 24_000, 1920, dim))


@pytest.mark.parametrize(
    ("name", "control"),
    [
        ("engram_v1", "none"),
        ("engram_no_memory_total_v1", "no_memory_total"),
        ("engram_no_memory_active_v1", "no_memory_active"),
        ("engram_shuffled_key_v1", "shuffled_key"),
        ("engram_random_table_v1", "random_table"),
    ],
)
def test_cards_differ_by_their_control_alone(name: str, control: str) -> None:
    (model, network), (plain, _) = on_card(name, 32), on_card("engram_v1", 32)
    assert model.config == replace(plain.config, control=control)
    assert (model.config.memory.centres, model.config.memory.order, model.config.memory.heads) == (256, 3, 4)
    assert total_parameters(network) < 1_000_000


def test_large_cards_are_of_the_published_size() -> None:
    _, network = on_card("engram_paper", 512)
    tables = sum(m.table.numel() for m in memories(network))
    assert tables == pytest.approx(2 * 2_262_400 * 1280, rel=1e-3)
    # 12 W² a layer, and little beside
    dense = total_parameters(network) - tables
    assert 30 * 12 * 2560**2 < dense < 1.05 * 30 * 12 * 2560**2
    assert [len(p.blocks) for p in network.backbone.parts] == [1, 13, 16]
    _, base = on_card("engram_base", 512)
    assert active_parameters(base) < 1.5e8 < total_parameters(base) < 2.5e8


def test_selftest_measures_what_it_names() -> None:
    short = {"steps": 2, "evaluate_every": 2}
    assert [m.unit for m in selftest.lookup(0, **short)] == ["nats/frame", "nats/frame", "1"]
    rows = selftest.linear(0, **short)
    assert all(math.isfinite(row.measured) and row.absolute == selftest.NATS for row in rows)
