"""CALM: its two contexts, its noise, its three heads and their losses, each against what it must be."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from baselines import calm
from baselines.calm import CALM, LongShort, injected, reaches
from baselines.consistency import LSD, SCM, HeadConfig, TrigFlow, head, on_circle
from baselines.layers import BackboneConfig
from baselines.selftests import calm as f2
from bench import registry
from bench.calibration.bimodal import Bimodal
from bench.calibration.lab import fit_context
from bench.conformance import report
from bench.contract import missing_capability
from bench.errors import CardError
from bench.metrics.energy import energy_score
from tests.lab import OracleAR, ar1

DIM, A = 3, 0.8
LONG, SHORT = BackboneConfig(width=16, dropout=0.0), BackboneConfig(kind="transformer", width=8, heads=2, dropout=0.0)
MUSIC = {
    "noise_injection": True,
    "short_context": 3,
    "backbone": {"width": 24, "dropout": 0.0},
    "short": {"kind": "transformer", "width": 16, "heads": 2, "layers": 2, "dropout": 0.0},
    "head": {"width": 32, "layers": 2, "multiplier": 4},
    "fit": {"steps": 6, "batch": 8, "crop_frames": 16, "evaluate_every": 3},
}


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=rng(seed))


def random_head(kind: str, seed: int = 0, **values) -> nn.Module:
    """A head whose zeroed layers are not, so that everything in it acts; in float64."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        own = head(5, DIM, HeadConfig(kind=kind, width=16, layers=2, **values)).double()
        for parameter in own.parameters():
            nn.init.normal_(parameter, std=0.3)
    return own.requires_grad_(False)


@pytest.fixture(scope="module")
def data():
    return ar1(A, DIM, 60, 24, 0), ar1(A, DIM, 20, 24, 1), ar1(A, DIM, 40, 24, 2)


# --- contexts ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frames", "layers"), [(1, 1), (1, 3), (4, 2), (10, 4), (5, 2)])
def test_the_short_context_is_the_last_frames_before_the_target(frames: int, layers: int) -> None:
    """Its features of frame s move with x_{s−K} … x_{s−1}, every one of them, and with nothing else: not with x_s."""
    assert sum(c - 1 for c in reaches(frames, layers)) == frames - 1
    both = LongShort(DIM, LONG, replace(SHORT, layers=layers), frames).double().eval()
    x, at = normal(1, 20, DIM).double(), 14
    both.short.first.data.zero_()
    moved = []
    for changed in range(20):
        other = x.clone()
        other[:, changed] += 1.0
        with torch.no_grad():
            moved.append(not torch.equal(both.short.shifted(x)[:, at], both.short.shifted(other)[:, at]))
    assert [i for i, m in enumerate(moved) if m] == list(range(at - frames, at))


@pytest.mark.parametrize("frames", [0, 3])
@pytest.mark.parametrize("kind", ["gru", "transformer", "window"])
def test_one_by_one_gives_what_all_at_once_does(kind: str, frames: int) -> None:
    long = replace(LONG, kind=kind, context=4 if kind == "window" else 0)
    both = LongShort(DIM, long, replace(SHORT, layers=2), frames).double().eval()
    x = normal(2, 12, DIM).double()
    with torch.no_grad():
        whole, _ = both.read(x)
        features, state = both.start(2)
        torch.testing.assert_close(both.shifted(x)[:, 0], features)
        torch.testing.assert_close(both.shifted(x)[:, 1:], whole[:, :-1])
        for t in range(12):
            features, state = both.step(x[:, t], state)
            torch.testing.assert_close(features, whole[:, t])
        _, cut = both.read(x[:, :7])
        torch.testing.assert_close(both.read(x[:, 7:], cut)[0], whole[:, 7:])


def test_noise_reaches_the_long_context_alone() -> None:
    both = LongShort(DIM, LONG, SHORT, 3).eval()
    x, noisy = normal(2, 9, DIM), normal(2, 9, DIM, seed=1)
    with torch.no_grad():
        sum_of_both = both.long.shifted(noisy) + both.join(both.short.shifted(x))
        torch.testing.assert_close(both.shifted(x, noisy), sum_of_both)


def test_injected_noise_is_of_every_share_and_keeps_the_variance() -> None:
    """Unit variance; E[x̃ x] = E√(1 − k) = 2/3; k is one number a frame: the squares of a frame's parts go together."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        u = torch.randn(400, 100, 2)
        noisy = injected(u)
    assert float(noisy.var()) == pytest.approx(1.0, abs=0.02)
    assert float((noisy * u).mean()) == pytest.approx(2 / 3, abs=0.02)
    # E(x̃ x)_1 (x̃ x)_2 = E(1 − k) = 1/2 where k is shared, (2/3)² = .444 where it is not
    assert float((noisy * u).prod(-1).mean()) == pytest.approx(0.5, abs=0.025)


def test_noise_is_injected_in_training_and_nowhere_else(data, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(calm, "injected", lambda u: calls.append(len(u)) or u)
    own = CALM(**MUSIC)
    own.fit(data[0], data[1], fit_context(DIM))
    assert calls == [8] * 6
    x = torch.stack([u.x for u in data[2]])[:3]
    own.rollout(x, 2, 2, rng()), own.reconstruct(x, "prior", rng()), own.generate(3, 2, rng())
    assert len(calls) == 6
    CALM(**{**MUSIC, "noise_injection": False}).fit(data[0], data[1], fit_context(DIM))
    assert len(calls) == 6


# --- heads: their formulas ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lsd", "scm"])
def test_derivatives_are_those_of_finite_differences(kind: str) -> None:
    own, x, features = random_head(kind), normal(7, DIM).double(), normal(7, 5, seed=1).double()
    t, h = torch.linspace(0.1, 1.4, 7).double(), 1e-5
    times = (t, 0.7 * t)[: own.times]
    later, earlier = ((*times[:-1], times[-1] + d) for d in (h, -h))
    slow = (own.field(x, features, *later) - own.field(x, features, *earlier)) / (2 * h)
    ones = (torch.zeros_like(x), *(torch.zeros_like(t) for _ in times[1:]), torch.ones_like(t))
    _, fast = torch.func.jvp(lambda x, *times: own.field(x, features, *times), (x, *times), ones)
    torch.testing.assert_close(fast, slow, atol=1e-7, rtol=1e-6)


def test_the_tangent_is_the_consistency_functions_derivative_along_the_path() -> None:
    """cos t · df/dt of f(x_t, t) with x_t = cos t · u + sin t · ε, differentiated as one function of t."""
    own, u, noise, features = random_head("scm"), *(normal(7, d, seed=s).double() for s, d in enumerate((3, 3, 5)))
    t = torch.linspace(0.05, 1.5, 7).double()

    def along(t: Tensor) -> Tensor:
        return own.consistency(t.cos()[:, None] * u + t.sin()[:, None] * noise, features, t)

    slope = torch.func.jvp(along, (t,), (torch.ones_like(t),))[1]
    x, velocity = t.cos()[:, None] * u + t.sin()[:, None] * noise, t.cos()[:, None] * noise - t.sin()[:, None] * u
    field, tangent = own.tangent(x, velocity, features, t, 1.0)
    torch.testing.assert_close(tangent, t.cos()[:, None] * slope)
    torch.testing.assert_close(field, own.field(x, features, t))
    # before the warm-up it is the error of flow matching
    torch.testing.assert_close(
        own.tangent(x, velocity, features, t, 0.0)[1], -t.cos().square()[:, None] * (field - velocity)
    )


def test_the_tangent_warms_up_with_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    own, seen = random_head("scm", warmup=100), []
    tangent = own.tangent
    monkeypatch.setattr(own, "tangent", lambda *args: seen.append(args[-1]) or tangent(*args))
    for step in (0, 25, 100, 300):
        own.loss(normal(2, 5).double(), normal(2, DIM).double(), step)
    assert seen == [0.0, 0.25, 1.0, 1.0]


class Exact(nn.Module):
    """In the place of a head's network: the fields of u ~ N(m, s² I), for which every path is known."""

    def __init__(self, kind: str, m: float, s: float) -> None:
        super().__init__()
        self.kind, self.m, self.s = kind, m, s

    def path(self, x: Tensor, t: Tensor, s: Tensor) -> Tensor:
        """From t to s on the probability flow: x_t ~ N(a m, a² s² + b²), whose standard score stays."""
        (mean, std), (mean_s, std_s) = self.law(t), self.law(s)
        return mean_s + std_s * (x - mean) / std

    def law(self, t: Tensor) -> tuple[Tensor, Tensor]:
        a, b = (1 - t, t) if self.kind == "lsd" else (t.cos(), t.sin())
        return (a * self.m)[..., None], (a * self.s).square().add(b.square()).sqrt()[..., None]

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.func.jvp(lambda s: self.path(x, t, s), (t,), (torch.ones_like(t),))[1]

    def field(self, x: Tensor, features: Tensor, *times: Tensor) -> Tensor:
        del features
        if self.kind == "lsd":
            t, s = times
            there = (self.path(x, t, s) - x) / torch.where(s == t, 1.0, s - t)[..., None]
            return torch.where((s == t)[..., None], self.velocity(x, t), there)
        (t,) = times
        if self.kind == "trigflow":
            return self.velocity(x, t)
        end = self.path(x, t, torch.zeros_like(t))
        return (t.cos()[..., None] * x - end) / t.sin()[..., None]


@pytest.mark.parametrize(("kind", "steps"), [("lsd", 1), ("lsd", 4), ("scm", 1), ("scm", 3), ("trigflow", 200)])
def test_samplers_end_at_the_law_when_the_field_is_exact(kind: str, steps: int, monkeypatch) -> None:
    """N(m, s²): one step is enough for both flow maps, however many are taken; the flow needs many."""
    own, truth = random_head(kind, steps=steps), Exact(kind, 0.7, 0.5)
    monkeypatch.setattr(own, "field", truth.field)
    noise = normal(5, own.dim).double()
    out = own.draw(normal(5, 5).double(), noise)
    if kind == "lsd" or steps == 1:
        torch.testing.assert_close(out, 0.7 + 0.5 * noise)
    elif kind == "scm":
        samples = own.sample(torch.zeros(20_000, 5).double(), rng())
        assert samples.shape == (20_000, DIM)
        assert float(samples.mean()) == pytest.approx(0.7, abs=0.02)
        assert float(samples.std()) == pytest.approx(0.5, abs=0.01)
    else:
        torch.testing.assert_close(out, 0.7 + 0.5 * noise, atol=0.02, rtol=0)
        own.steps = 1
        assert float((own.draw(normal(5, 5).double(), noise) - 0.7).abs().max()) < 0.01, "one step is the mean"


def test_the_exact_fields_are_where_the_losses_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """LSD's distillation and sCM's tangent vanish there; flow matching keeps the variance that no field explains."""
    u, features = (0.7 + 0.5 * normal(4000, DIM)).double(), torch.zeros(4000, 5).double()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        own = random_head("lsd", multiplier=4, adaptive=False)
        monkeypatch.setattr(own, "field", Exact("lsd", 0.7, 0.5).field)
        parts = own.loss(features, u, 0)
        assert parts.shape == (4, 4000)
        assert float(parts[3].max()) < 1e-20
        # Var(ε − u | x_t) = s² / (s² (1 − t)² + t²), and its mean over t ~ U(0, 1) is s π / 2
        assert float(parts[:3].mean()) == pytest.approx(0.5 * math.pi / 2, rel=0.04)

        # given u and ε the velocity is no field's, so that sCM's tangent vanishes in the mean alone
        own = random_head("scm")
        exact = Exact("scm", 0.7, 0.5)
        monkeypatch.setattr(own, "field", exact.field)
        x, _, t = on_circle(u, torch.randn_like(u))
        _, tangent = own.tangent(x, Exact("trigflow", 0.7, 0.5).velocity(x, t), features, t, 1.0)
        assert float(tangent.abs().max()) < 1e-9


def test_learned_weights_are_the_logarithms_of_the_losses() -> None:
    """e^w v − w and e^−w v + w are least at e^±w = 1 / v^±1, where they are 1 + ln v; without them the loss is v."""
    v = torch.tensor([0.2, 3.0]).double()
    for kind, sign in (("lsd", -1), ("scm", 1), ("trigflow", 1)):
        own = random_head(kind)
        times = (torch.full((2,), 0.4).double(),) * own.times
        own.log_weight.weight.zero_()
        for best in v:
            own.log_weight.bias.fill_(-sign * math.log(best))
            torch.testing.assert_close(own.weighted(best.expand(2), sign, *times), (1 + best.log()).expand(2))
        own.log_weight.bias.zero_()
        torch.testing.assert_close(own.weighted(v, sign, *times), v)
        plain = random_head(kind, adaptive=False)
        assert plain.log_weight is None and torch.equal(plain.weighted(v, sign, *times), v)


@pytest.mark.parametrize("kind", ["lsd", "scm", "trigflow"])
def test_the_multiplier_makes_draws_and_narrows_the_loss(kind: str) -> None:
    """As many draws of time and noise a frame, each its own: the standard deviation of their mean falls by √9."""
    features, u = normal(1, 5).double(), normal(1, DIM).double()
    spread = {}
    for times in (4, 36):
        own = random_head(kind, multiplier=times, adaptive=False)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            parts = own.loss(features, u, 10_000)
            assert parts.shape == (times, 1) and len(parts.unique()) == times
            spread[times] = float(torch.stack([own.loss(features, u, 10_000).mean() for _ in range(60)]).std())
    assert spread[4] / spread[36] == pytest.approx(3.0, rel=0.35)


@pytest.mark.parametrize(("kind", "steps"), [("lsd", 1), ("lsd", 3), ("scm", 1), ("scm", 2), ("trigflow", 3)])
def test_the_mean_draws_nothing_and_temperature_scales_the_variance(kind: str, steps: int, monkeypatch) -> None:
    own = random_head(kind, steps=steps)
    features = normal(4, 5).double()
    before = torch.random.get_rng_state()
    assert torch.equal(own.mean(features), own.mean(features))
    assert torch.equal(before, torch.random.get_rng_state())
    monkeypatch.setattr(own, "field", Exact(kind, 0.0, 0.5).field)
    hot, cold = (own.sample(torch.zeros(20_000, 5).double(), rng(), tau) for tau in (1.0, 0.36))
    assert float(cold.var() / hot.var()) == pytest.approx(0.36, rel=0.01)
    assert float(own.mean(features).abs().max()) < 1e-12


@pytest.mark.parametrize("kind", ["lsd", "scm", "trigflow"])
def test_gradients_reach_every_parameter(kind: str) -> None:
    own = random_head(kind).requires_grad_(True)
    own.loss(normal(6, 5).double(), normal(6, DIM).double(), 10_000).mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() and p.grad.any() for p in own.parameters())


def test_the_kinds_are_what_they_say() -> None:
    assert [type(random_head(k)) for k in ("lsd", "scm", "trigflow")] == [LSD, SCM, TrigFlow]
    assert [random_head(k).steps for k in ("lsd", "scm", "trigflow")] == [1, 1, 20]
    angles = random_head("trigflow").angles()
    assert angles[0] == pytest.approx(math.pi / 2) and angles[-1] == 0.0
    assert all(a > b for a, b in pairwise(angles))


# --- known answers -----------------------------------------------------------------------------------------


def test_a_head_keeps_both_modes() -> None:
    """F2 in 400 steps: MMD² far below that of a head that gives the mean, and both modes of even odds."""
    process = Bimodal()
    own = f2.taught(
        process, 0, HeadConfig(kind="lsd", width=48, layers=2, multiplier=4, adaptive=False), f2.Bar(1.0, 400)
    )
    distance, shares = f2.against_truth(process, own, 0)
    assert distance < 0.05
    assert shares == pytest.approx([0.5, 0.5], abs=0.06)
    announced, truth = f2.pairs(process, 4000, rng())
    assert f2._compared(announced[:, 0], torch.zeros_like(truth), announced[:, 0], truth)[0] > 0.5


@pytest.fixture(scope="module")
def fitted() -> CALM:
    head = {"width": 48, "layers": 2, "multiplier": 4}
    fit = {"steps": 250, "batch": 32, "crop_frames": 24, "evaluate_every": 50, "lr": 4e-3, "weight_decay": 0.0}
    own = CALM(backbone={"width": 24, "dropout": 0.0}, head=head, fit=fit)
    own.fit(ar1(A, DIM, 400, 24, 0), ar1(A, DIM, 30, 24, 1), fit_context(DIM))
    return own


def test_it_has_no_density(fitted) -> None:
    assert missing_capability(fitted, ["log_prob"]) == "log_prob"
    assert (
        missing_capability(fitted, ["represent", "rollout", "reconstruct", "generate", "history", "unfitted"]) is None
    )


def test_one_step_samples_are_of_the_process(fitted) -> None:
    """AR(1): mean a · x_{t−1}, standard deviation √(1 − a²), energy score near the oracle's."""
    x = torch.stack([u.x for u in ar1(A, DIM, 150, 24, 2)])
    prompt, truth = x[:, :20], x[:, 20]
    draws = fitted.rollout(prompt, 1, 32, rng())[:, :, 0]
    past = A * prompt[:, -1]
    slope = float((draws.mean(1) * past).sum() / past.square().sum())
    assert slope == pytest.approx(1.0, abs=0.15)
    assert float(draws.std(1).mean()) == pytest.approx(math.sqrt(1 - A * A), rel=0.12)
    oracle = OracleAR(A).rollout(prompt, 1, 32, rng())[:, :, 0]
    ratio = float(energy_score(draws, truth).mean() / energy_score(oracle, truth).mean())
    assert ratio == pytest.approx(1.0, abs=0.1)


def test_validation_asks_the_same_of_every_evaluation(fitted) -> None:
    x = torch.stack([u.x for u in ar1(A, DIM, 5, 24, 2)])
    with torch.no_grad():
        one, two = (fitted.held_out(fitted.network, [x], torch.ones(5, 24, dtype=torch.bool)) for _ in range(2))
    assert one.shape == (5, 24) and torch.equal(one, two)


@pytest.mark.parametrize("kind", ["lsd", "scm", "trigflow"])
def test_it_trains_in_bfloat16(kind: str, data) -> None:
    values = {**MUSIC, "head": {**MUSIC["head"], "kind": kind}, "fit": {**MUSIC["fit"], "precision": "bfloat16"}}
    own = CALM(**values)
    own.fit(data[0], data[1], fit_context(DIM))
    assert torch.isfinite(own.history().loss).all()


def test_saved_and_loaded_is_the_same(data) -> None:
    own, again = CALM(**MUSIC), CALM(**MUSIC)
    own.fit(data[0], data[1], fit_context(DIM))
    context = fit_context(DIM)
    again.load_state(own.state(), context.codec, context.device)
    x = torch.stack([u.x for u in data[2]])[:3]
    assert torch.equal(own.rollout(x, 3, 2, rng()), again.rollout(x, 3, 2, rng()))


# --- cards -------------------------------------------------------------------------------------------------


def test_the_music_card_keeps_the_rules() -> None:
    results = report.check("calm_music_v1", "submissions")
    assert report.passed(results), report.terminal("calm_music_v1", results)


@pytest.mark.parametrize(
    ("card", "backbone", "own"),
    [("calm_base", 38e6, 9e6), ("calm_paper", 1.93e9, 10e6), ("calm_music_paper", 1.5e9, 600e6)],
)
def test_large_cards_build_at_their_papers_sizes(card: str, backbone: float, own: float) -> None:
    """Parameters of the contexts and of the head, counted on no device."""
    found = registry.submission_card(card)
    submission = CALM(**found.resolved("mini"))
    with torch.device("meta"):
        network = submission.build(fit_context(512).codec)
    for part, expected in ((network.backbone, backbone), (network.head, own)):
        assert sum(p.numel() for p in part.parameters()) == pytest.approx(expected, rel=0.1)


def test_impossible_cards_name_the_field() -> None:
    with pytest.raises(
        CardError, match="calm: parameter head.multiplier: 1 draws cannot be split by a flow_share of 0"
    ):
        CALM(head={"multiplier": 1})
    with pytest.raises(CardError, match="calm: parameter short.kind: expected 'transformer', got 'gru'"):
        CALM(short={"kind": "gru"})
    with pytest.raises(CardError, match="calm: parameter short.context: short_context says it, got 3"):
        CALM(short={"kind": "transformer", "context": 3})
    with pytest.raises(CardError, match="calm: parameter short.heads: 4 heads do not divide a width of 6"):
        CALM(short={"kind": "transformer", "width": 6})
    with pytest.raises(CardError, match="calm: parameter head.kind: .*'scm'.*got 'gan'"):
        CALM(head={"kind": "gan"})
