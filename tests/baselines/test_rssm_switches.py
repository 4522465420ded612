"""Every switch of the RSSM's recipe changes what it says, and nothing where it must not."""

import logging
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from baselines.rssm import RSSM
from baselines.rssm_alarms import AHEAD, PROMPT, alarms, movement_ratio
from baselines.rssm_laws import Mixed, Normal, divergence
from baselines.rssm_losses import Recipe, budget, loss
from baselines.rssm_network import Network
from bench.calibration.lab import fit_context
from bench.calibration.process import utterances
from bench.calibration.state_space import StateSpace
from bench.config import SubmissionCard, read_card
from bench.contract import CodecInfo, LatentUtterance
from bench.errors import CardError
from bench.metrics.gaussian import kl_diagonal
from tests.lab import ar1

DIM, STATE, REC = 4, 6, 3
GRU = {"width": 12, "dropout": 0.0}
BARE = Recipe(
    warmup=0.0,
    free_nats=0.0,
    lambda_=0.0,
    horizons=(),
    horizon_weight=0.0,
    prior_weight=0.0,
    rollout_weight=0.0,
)
MASK = torch.ones(5, 10, dtype=torch.bool)
CARDS = Path(__file__).parents[2] / "submissions"


def model(recipe: dict[str, Any] | None = None, **values: Any) -> RSSM:
    sizes = {"width": 12, "state": STATE, "innovation": REC, "dropout": 0.0}
    fixed = {"encoder": GRU, "dynamics": GRU, "sizes": sizes, "noise": 0.0, "importance_samples": 1}
    mode = values.get("mode", "strict")
    return RSSM(**(fixed | {"recipe": {"lambda_": 1.0 if mode == "note" else 0.0} | (recipe or {})} | values))


def network(recipe: dict[str, Any] | None = None, **values: Any) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return model(recipe, **values).build(CodecInfo("lab", 16_000, 1280, DIM))


def frames(seed: int = 0) -> torch.Tensor:
    return torch.randn(5, 10, DIM, generator=torch.Generator().manual_seed(seed))


def value(recipe: Recipe, net: Network, done: float = 1.0, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return loss(recipe, net, frames(), MASK, done, 0.0)[0]


def gradients(recipe: Recipe, net: Network, done: float = 1.0) -> dict[str, float]:
    """Largest gradient of each component under the loss."""
    net.zero_grad()
    value(recipe, net, done).backward()
    out: dict[str, float] = {}
    for name, parameter in net.named_parameters():
        largest = 0.0 if parameter.grad is None else float(parameter.grad.abs().max())
        part = name.split(".")[0]
        out[part] = max(out.get(part, 0.0), largest)
    return out


def number(value: torch.Tensor) -> float:
    return float(value.detach())


def normals() -> tuple[Normal, Normal]:
    """Two frames of two dimensions with unit scales: KLs of (2, ½) and (0, ½)."""
    q = Normal(torch.tensor([[[2.0, 1.0], [0.0, 1.0]]], requires_grad=True), torch.ones(1, 2, 2))
    return q, Normal(torch.zeros(1, 2, 2, requires_grad=True), torch.ones(1, 2, 2))


# --- schedules -----------------------------------------------------------------------------------------------


def test_beta_warms_up_linearly() -> None:
    recipe = Recipe(beta=4.0, warmup=0.5)
    assert [recipe.beta_at(d) for d in (0.125, 0.25, 0.5, 1.0)] == [1.0, 2.0, 4.0, 4.0]
    assert Recipe(beta=4.0, warmup=0.0).beta_at(1e-3) == 4.0


def test_the_rollout_grows_from_one_frame_to_all_from_its_start_on() -> None:
    recipe = Recipe(rollout_frames=16)
    assert [recipe.rollout_at(d) for d in (0.01, 1 / 15, 0.5, 0.99, 1.0)] == [1, 2, 8, 15, 16]
    late = replace(recipe, rollout_after=0.5)
    assert [late.rollout_at(d) for d in (0.01, 0.5, 0.51, 0.75, 1.0)] == [0, 0, 1, 8, 16]


def test_the_loss_rolls_out_as_many_frames_as_scheduled(monkeypatch) -> None:
    net, steps = network(), []
    true = net.encoder.step
    monkeypatch.setattr(net.encoder, "step", lambda u, state: steps.append(1) or true(u, state))
    recipe = replace(BARE, rollout_weight=1.0, rollout_frames=6, rollout_after=0.5)
    counts = []
    for done in (0.4, 0.51, 1.0):
        steps.clear()
        value(recipe, net, done)
        counts.append(len(steps))
    # the last frame rolled out is not read again
    assert counts == [0, 0, 5]


# --- budget --------------------------------------------------------------------------------------------------


def test_free_bits_by_frame_and_by_dimension() -> None:
    """KLs (2, ½) and (0, ½) nats. A frame's allowance of 1 lifts the second to 1; a dimension's of ½ lifts its 0."""
    q, p = normals()
    mask = torch.ones(1, 2, dtype=torch.bool)
    assert number(budget(BARE, q, p, mask)) == pytest.approx((2.5 + 0.5) / 2)
    assert number(budget(replace(BARE, free_nats=1.0), q, p, mask)) == pytest.approx((2.5 + 1.0) / 2)
    assert number(budget(replace(BARE, free_nats_dim=0.5), q, p, mask)) == pytest.approx((2.5 + 1.0) / 2)
    assert number(budget(replace(BARE, free_nats_dim=1.0), q, p, mask)) == pytest.approx((3.0 + 2.0) / 2)


@pytest.mark.parametrize("weights", [(1.0, 0.1), (0.3, 2.0)])
def test_kl_balance_weighs_the_gradient_of_each_side(weights) -> None:
    """d KL / d mean is ±(q − p) with unit scales, half of it for each of two frames."""
    q, p = normals()
    budget(replace(BARE, balance=weights), q, p, torch.ones(1, 2, dtype=torch.bool)).backward()
    torch.testing.assert_close(p.mean.grad, -weights[0] * q.mean.detach() / 2)
    torch.testing.assert_close(q.mean.grad, weights[1] * q.mean.detach() / 2)


def test_an_even_balance_has_the_gradient_of_the_kl() -> None:
    one, other = network(mode="note"), network(mode="note")
    recipe = replace(BARE, lambda_=1.0)
    value(recipe, one).backward()
    value(replace(recipe, balance=(1.0, 1.0)), other).backward()
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        if a.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, atol=1e-5, rtol=1e-4)


def test_a_target_pulls_from_both_sides() -> None:
    q, p = normals()
    mask = torch.ones(1, 2, dtype=torch.bool)
    for target, sign in ((1.0, 1.0), (2.0, -1.0)):
        q.mean.grad = None
        distance = budget(replace(BARE, target_nats=target, free_nats=9.0), q, p, mask)
        assert number(distance) == pytest.approx(abs(1.5 - target))
        distance.backward()
        torch.testing.assert_close(q.mean.grad, sign * q.mean.detach() / 2)


def test_the_target_is_reached_on_f5() -> None:
    """The bound alone buys 0.7 nats of this process; the penalty of 5 a nat holds 1.5."""
    matrices = ([[0.9]], [[1.0], [-0.5], [0.8], [0.3]], [[0.5]])
    process = StateSpace(*(torch.tensor(m) for m in matrices), 0.4 * torch.eye(4))
    train, valid = utterances(process, 400, 24, 0, "train"), utterances(process, 64, 24, 0, "valid")
    recipe = {"beta": 5.0, "warmup": 0.0, "target_nats": 1.5, "prior_weight": 0.0, "horizon_weight": 0.0}
    fit = {"steps": 100, "batch": 32, "crop_frames": 16, "lr": 1e-2, "patience": 0, "evaluate_every": 100}
    submission = model(recipe | {"rollout_weight": 0.0}, fit=fit)
    submission.fit(train, valid, fit_context(process.dim))
    x = torch.stack([u.x for u in valid])
    assert float(submission.innovation(x, torch.Generator()).kl_rec.mean()) == pytest.approx(1.5, abs=0.15)


# --- gradients into the state ----------------------------------------------------------------------------------


def test_stopped_readers_send_nothing_into_the_state() -> None:
    net = network()
    everyone = ("prior", "posterior", "reconstructor")
    assert gradients(BARE, net)["to_state"] > 0
    for reader in everyone:
        others = tuple(r for r in everyone if r != reader)
        assert gradients(replace(BARE, stop_gradient=others), net)["to_state"] > 0
    found = gradients(replace(BARE, stop_gradient=everyone), net)
    assert found["to_state"] == found["encoder"] == 0 < found["prior_net"]
    early = replace(BARE, stop_gradient=everyone, stop_until=0.25)
    assert gradients(early, net, 0.25)["to_state"] == 0 < gradients(early, net, 0.26)["to_state"]


def test_the_state_term_trains_the_dynamics_at_lambda() -> None:
    net = network(mode="note")
    one, double = (gradients(replace(BARE, lambda_=w, state_term="density"), net) for w in (0.5, 1.0))
    assert double["dynamics_head"] == pytest.approx(2 * one["dynamics_head"], rel=1e-4)
    assert gradients(BARE, net)["dynamics_head"] == 0


# --- what z_rec and the state may be used for --------------------------------------------------------------------


@pytest.mark.parametrize("switch", ["drop_rec", "drop_state", "mask_frames"])
def test_what_is_dropped_is_dropped_in_training_alone(switch) -> None:
    net, recipe = network(), replace(BARE, **{switch: 0.5})
    assert not torch.equal(value(BARE, net), value(recipe, net))
    held = []
    for strength in (0.0, 0.5):
        submission = model({switch: strength, "horizons": [], "feature_rank": 0})
        torch.manual_seed(0)
        held.append(submission.held_out(net, [frames()], MASK))
    assert torch.equal(*held)


def test_dropped_channels_are_whole_crops_and_the_rest_is_scaled(monkeypatch) -> None:
    net, seen = network(), []
    true = net.reconstruct
    monkeypatch.setattr(net, "reconstruct", lambda z, r: seen.append(z) or true(z, r))
    value(BARE, net)
    value(replace(BARE, drop_state=0.5), net)
    whole, dropped = seen
    ratio = dropped / whole
    assert set(ratio.round(decimals=3).unique().tolist()) == {0.0, 2.0}
    assert torch.equal(ratio.round(), ratio[:, :1].round().expand_as(ratio))


def test_dropped_innovations_come_from_the_prior(monkeypatch) -> None:
    """With all of them dropped nothing of x_t reaches the reconstructor but the state."""
    net = network()
    found = gradients(replace(BARE, beta=0.0, drop_rec=1.0), net)
    assert found["posterior_net"] == 0 < found["prior_net"]


def test_all_frames_masked_leave_the_state_nothing_to_read(monkeypatch) -> None:
    net, seen = network(), []
    true = net.states
    monkeypatch.setattr(net, "states", lambda u: seen.append(u) or true(u))
    value(replace(BARE, mask_frames=0.3), net)
    zero = (seen[0] == 0).all(-1)
    assert 0 < int(zero.sum()) < zero.numel() and torch.equal(seen[0][~zero], frames()[~zero])


# --- rollouts ------------------------------------------------------------------------------------------------------


def test_a_rollout_scored_from_the_prior_asks_nothing_of_the_posterior() -> None:
    net = network()
    recipe = replace(BARE, beta=0.0, rollout_frames=4)
    alone = gradients(recipe, net)["posterior_net"]
    prior = gradients(replace(recipe, rollout_weight=1.0, rollout_score="prior"), net)
    bound = gradients(replace(recipe, rollout_weight=1.0), net)
    assert prior["posterior_net"] == pytest.approx(alone) != pytest.approx(bound["posterior_net"])
    assert prior["log_sigma_prior"] > 0 == bound["log_sigma_prior"]


def test_features_are_the_leading_directions_with_a_mean_variance_of_one() -> None:
    values = torch.tensor([9.0, 4.0, 0.25, 0.01])
    basis = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(1)))[0]
    x = torch.randn(4000, DIM, generator=torch.Generator().manual_seed(2)) * values.sqrt() @ basis.T
    net = network({"feature_rank": 2, "feature_weight": 0.1})
    net.set_units(x)
    features = net.features(net.white(x))
    torch.testing.assert_close(features.var(0), torch.tensor([4.0, 9.0]) / 6.5, atol=0.05, rtol=0.05)
    # along the least of directions nothing is seen
    moved = net.features(net.white(x + 0.5 * basis[:, 3])) - features
    assert float(moved.abs().max()) < 0.05
    recipe = replace(BARE, rollout_frames=4)
    first = value(replace(recipe, feature_rank=2, feature_weight=1.0), net) - value(recipe, net)
    second = value(replace(recipe, feature_rank=2, feature_weight=2.0), net) - value(recipe, net)
    assert 0 < number(first) == pytest.approx(number(second) / 2, rel=1e-3)


def test_a_mel_projection_needs_a_decoder_and_follows_what_is_heard() -> None:
    """A codec whose first dimension alone is heard, as level: the loss sees that one and no other."""
    data = [
        LatentUtterance(u.id, u.speaker, torch.randn(40, DIM, generator=torch.Generator().manual_seed(i)))
        for i, u in enumerate(ar1(0.8, DIM, 24, 40, 0))
    ]
    submission = model({"feature_kind": "mel", "feature_rank": 2, "feature_weight": 1.0}, fit={"steps": 2})
    with pytest.raises(CardError, match="rssm: parameter recipe.feature_kind: mel needs the codec's decoder"):
        submission.fit(data, data[:4], fit_context(DIM))
    submission.fit(data, data[:4], replace(fit_context(DIM), decoder=Level()))
    net, x = submission.network, torch.stack([u.x for u in data])
    seen = net.features(net.white(x)).flatten(0, 1)
    # the second direction is what the first leaves, which is next to nothing
    assert float(seen[:, 0].var()) == pytest.approx(2.0, rel=0.05) and float(seen[:, 1].var()) < 0.02
    assert abs(float(torch.corrcoef(torch.stack([seen[:, 0], x[..., 0].flatten()]))[0, 1])) > 0.99
    unheard = x.clone()
    unheard[..., 1:] += 1.0
    torch.testing.assert_close(net.features(net.white(unheard)).flatten(0, 1)[:, 0], seen[:, 0], atol=0.2, rtol=0.0)
    # what was loaded keeps its directions, with no decoder at hand
    again = model({"feature_kind": "mel", "feature_rank": 2, "feature_weight": 1.0})
    again.load_state(submission.state(), CodecInfo("lab", 16_000, 1280, DIM), torch.device("cpu"))
    assert torch.equal(again.network.directions, net.directions)


class Level:
    """Noise as loud as e to the first dimension; the decoder gives no gradient."""

    info = CodecInfo("level", 16_000, 1280, DIM)

    def to(self, device: torch.device) -> "Level":
        return self

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        size, frames, _ = latents.shape
        carrier = torch.randn(size, frames, 1280, generator=torch.Generator().manual_seed(int(1e6 * latents[0, 0, 0])))
        return (carrier * latents[..., :1].exp()).reshape(size, 1, -1)


# --- laws, encoders, dynamics ----------------------------------------------------------------------------------------


def test_a_mixture_has_its_density_and_samples_both_modes() -> None:
    law = Mixed(torch.tensor([0.25, 0.75]).log(), torch.tensor([[-2.0], [2.0]]), torch.tensor([[0.5], [0.3]]))
    grid = torch.linspace(-8, 8, 4001)[:, None]
    big = Mixed(*(part.expand(4001, *part.shape) for part in (law.log_weights, law.means, law.scales)))
    assert float(big.log_prob(grid).exp().sum() * 16 / 4000) == pytest.approx(1.0, abs=1e-3)
    draws = big.sample(torch.Generator().manual_seed(0))
    assert float((draws < 0).float().mean()) == pytest.approx(0.25, abs=0.03)
    assert float(law.mean) == pytest.approx(1.0)


def test_a_temperature_narrows_every_law_and_at_zero_nothing_is_left_to_chance() -> None:
    wide = Normal(torch.zeros(20_000, 1), torch.full((20_000, 1), 2.0))
    assert float(wide.tempered(0.25).sample(torch.Generator().manual_seed(0)).std()) == pytest.approx(1.0, rel=0.03)
    law = Mixed(torch.tensor([0.25, 0.75]).log(), torch.tensor([[-2.0], [2.0]]), torch.tensor([[0.5], [0.3]]))
    cold = law.tempered(0.5)
    torch.testing.assert_close(cold.log_weights.exp(), torch.tensor([0.1, 0.9]))
    torch.testing.assert_close(cold.scales, law.scales / math.sqrt(2))
    for mode in ("strict", "note"):
        warm, frozen = (model(mode=mode, temperature=tau, fit={"steps": 2}) for tau in (1.0, 0.0))
        data = ar1(0.8, DIM, 24, 16, 0)
        warm.fit(data, data[:4], fit_context(DIM))
        frozen.load_state(warm.state(), CodecInfo("lab", 16_000, 1280, DIM), torch.device("cpu"))
        x = torch.stack([u.x for u in data])
        draws = [frozen.rollout(x, 4, 2, torch.Generator().manual_seed(s)) for s in (0, 1)]
        if mode == "strict":
            torch.testing.assert_close(*draws)
            torch.testing.assert_close(draws[0][:, 0], warm.rollout(x, 4, 1, torch.Generator(), mean=True)[:, 0])
        assert (
            frozen.rollout(x, 4, 9, torch.Generator()).std(1).mean()
            < warm.rollout(x, 4, 9, torch.Generator()).std(1).mean()
        )


def test_the_monte_carlo_kl_of_a_mixture_is_unbiased() -> None:
    """Two equal components are one Gaussian, whose KL is known."""
    q = Normal(torch.full((20_000, 2), 0.4), torch.full((20_000, 2), 0.7))
    one = Normal(torch.zeros(20_000, 2), torch.ones(20_000, 2))
    both = Mixed(torch.full((20_000, 2), math.log(0.5)), torch.zeros(20_000, 2, 2), torch.ones(20_000, 2, 2))
    truth = float(kl_diagonal(q.mean[0], q.scale[0], one.mean[0], one.scale[0]).sum())
    z = q.sample(torch.Generator().manual_seed(0))
    assert float(divergence(q, one, z).mean()) == pytest.approx(truth, rel=1e-5)
    assert float(divergence(q, both, z).mean()) == pytest.approx(truth, abs=0.02)


def test_mixture_dynamics_learn_a_bimodal_state() -> None:
    """z = ±1 with noise of .1, each with probability one half: ln 2 more than the entropy of one mode."""
    nlls = {}
    for components in (1, 2):
        net = network(mode="note", dynamics=GRU | {"components": components})
        optimiser = torch.optim.Adam(net.parameters(), 2e-2)
        generator = torch.Generator().manual_seed(0)
        for _ in range(100):
            signs = torch.randint(2, (32, 6, 1), generator=generator) * 2.0 - 1
            z = signs + 0.1 * torch.randn(32, 6, STATE, generator=generator)
            nll = -net.dynamics_prior(z).log_prob(z).mean()
            optimiser.zero_grad()
            nll.backward()
            optimiser.step()
        nlls[components] = number(nll)
    truth = math.log(2) + STATE * (math.log(0.1) + 0.5 * math.log(2 * math.pi * math.e))
    assert nlls[2] == pytest.approx(truth, abs=1.0)
    assert nlls[1] > nlls[2] + 8


def test_a_fixed_scale_is_kept() -> None:
    law = network(mode="note", dynamics=GRU | {"sigma": 1.0}).dynamics_prior(torch.randn(2, 3, STATE))
    assert torch.equal(law.scale, torch.ones(2, 3, STATE))


@pytest.mark.parametrize("mode", ["strict", "note"])
@pytest.mark.parametrize(
    "encoder",
    [GRU | {"kind": "window", "context": 3}, GRU | {"kind": "transformer", "heads": 2, "context": 3, "layers": 1}],
)
def test_a_windowed_encoder_forgets(mode, encoder) -> None:
    net = network(mode=mode, encoder=encoder).eval()
    x = frames()
    other = x.clone()
    other[:, 2] += 3.0
    with torch.no_grad():
        moved = (net.states(x).mean != net.states(other).mean).any(-1).any(0).nonzero().flatten().tolist()
    assert moved == ([3, 4, 5] if mode == "strict" else [2, 3, 4])


@pytest.mark.parametrize("kind", [{"kind": "gru", "layers": 2}, {"kind": "transformer", "heads": 2}])
def test_every_backbone_states_targets_and_rolls_out_in_both_parts(kind) -> None:
    part = GRU | kind
    submission = model(mode="note", encoder=part, dynamics=part | {"components": 2}, fit={"steps": 2})
    data = ar1(0.8, DIM, 24, 16, 0)
    submission.fit(data, data[:4], fit_context(DIM))
    net, u = submission.network, frames()
    torch.testing.assert_close(net.states_of_targets(u, u).mean, net.states(u).mean, atol=1e-5, rtol=1e-4)
    later = u.clone()
    later[:, 4:] += 1.0
    same = submission.log_prob(u, u, torch.Generator().manual_seed(0))
    assert torch.equal(submission.log_prob(later, u, torch.Generator().manual_seed(0))[:, :5], same[:, :5])
    means = [submission.rollout(u, 3, 2, torch.Generator().manual_seed(i), mean=True) for i in (0, 1)]
    assert torch.equal(*means)
    rate = submission.innovation(u, torch.Generator().manual_seed(0))
    assert math.isfinite(float(rate.kl_dyn.mean()))


# --- alarms, logs, cards ---------------------------------------------------------------------------------------------


def test_a_still_state_is_called_so() -> None:
    encoder = GRU | {"kind": "window", "context": 1}
    submission = model(encoder=encoder, fit={"steps": 2, "evaluate_every": 2})
    data, heard = ar1(0.8, DIM, 24, PROMPT + AHEAD, 0), {}
    context = replace(fit_context(DIM), scalars=lambda step, values: heard.update(values))
    submission.fit(data, data[:4], context)
    assert {"KL of z_rec", "reconstruction NLL"} <= heard.keys()
    x = torch.stack([u.x for u in data])
    assert float(movement_ratio(submission, x, torch.Generator().manual_seed(0)).mean()) > 0.1
    assert not [a for a in alarms(submission, x, torch.Generator()) if "dead" in a]
    # nothing but the first frame after the prompt moves
    net = submission.network
    net.reconstructor[-1].weight.zero_()
    net.log_sigma_x.fill_(-9.0)
    net.white.inverse.mul_(1e-3)
    found = alarms(submission, x, torch.Generator().manual_seed(0))
    assert any(a.startswith("state stands still (sampled") for a in found), found
    net.to_state.weight[:2].zero_()
    net.normalised = False
    assert f"dead state dimensions (2 of {STATE})" in alarms(submission, x, torch.Generator())


def test_a_fit_logs_its_alarms(monkeypatch, caplog) -> None:
    monkeypatch.setattr("baselines.rssm.alarms", lambda submission, x, generator: [f"{tuple(x.shape)}"])
    data = ar1(0.8, DIM, 6, PROMPT + AHEAD + 4, 0)
    with caplog.at_level(logging.WARNING):
        model(fit={"steps": 1}).fit(data, data[:4], fit_context(DIM))
    assert caplog.messages == [f"rssm: (4, {PROMPT + AHEAD}, {DIM})"]


def test_impossible_recipes_name_the_field() -> None:
    for values, field in (
        ({"mode": "note", "recipe": {"lambda_": 0.01}}, "recipe.lambda_: note mode"),
        ({"dynamics": {"components": 2, "sigma": 1.0}}, "dynamics.sigma"),
        ({"recipe": {"feature_weight": 1.0}}, "recipe.feature_rank"),
        ({"recipe": {"stop_gradient": ["decoder"]}}, "recipe.stop_gradient"),
        ({"recipe": {"rollout_after": 1.0}}, "recipe.rollout_after"),
        ({"encoder": {"kind": "window"}}, "encoder.context"),
    ):
        with pytest.raises(CardError, match=f"rssm: parameter {field}"):
            RSSM(**values)


@pytest.mark.parametrize("name", sorted(p.stem for p in CARDS.glob("rssm*.toml")))
def test_every_card_builds(name) -> None:
    card = read_card(CARDS / f"{name}.toml", SubmissionCard)
    with torch.device("meta"):
        built = RSSM(**card.parameters).build(CodecInfo("mimi", 24_000, 1920, 512))
    millions = sum(p.numel() for p in built.parameters()) / 1e6
    assert (20 < millions < 60) if name == "rssm_base" else (millions < 5)
