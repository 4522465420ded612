"""The RSSM where its answers are known: a linear-Gaussian state space, its units, its budget and its state."""

import math

import pytest
import torch

from baselines.rssm import RSSM
from baselines.selftests import rssm as f5
from bench.calibration.lab import fit_context
from bench.calibration.process import utterances
from bench.calibration.state_space import StateSpace
from bench.contract import LatentUtterance
from bench.errors import CardError
from tests.lab import ar1

DIM = 3
SIZES = {"width": 32, "state": 16, "innovation": 3, "dropout": 0.0}
GRU = {"width": 32, "dropout": 0.0}
PLAIN = {"warmup": 0.0} | dict.fromkeys(f5.OFF, 0.0)
FIT = {"steps": 3, "batch": 32, "crop_frames": 24, "evaluate_every": 3}
QUICK = {"steps": 250, "lr": 1.5e-2, "crop_frames": 16}
"""For one direction instead of three."""


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def stacked(sequences: list[LatentUtterance]) -> torch.Tensor:
    return torch.stack([u.x for u in sequences])


def small(mode: str = "strict", **values) -> RSSM:
    recipe = PLAIN | {"lambda_": 1.0 if mode == "note" else 0.0} | values.pop("recipe", {})
    fixed = {"mode": mode, "encoder": GRU, "dynamics": GRU, "sizes": SIZES, "noise": 0.0, "fit": FIT}
    return RSSM(**(fixed | {"recipe": recipe} | values))


@pytest.fixture(scope="module")
def data():
    mixing = torch.tensor([[2.0, 0.0, 0.0], [1.5, 0.7, 0.0], [0.0, 0.3, 0.2]])
    return [ar1(0.8, DIM, n, 24, seed, mixing) for seed, n in enumerate((200, 40, 60))]


@pytest.fixture(scope="module", params=["strict", "note"])
def fitted(request, data):
    submission = small(request.param, fit={**FIT, "steps": 60, "evaluate_every": 20})
    submission.fit(data[0], data[1], fit_context(DIM))
    return submission


@pytest.fixture(scope="module")
def process() -> StateSpace:
    """One slow state in four dimensions: of the self-test's kind, and learned in seconds."""
    matrices = ([[0.9]], [[1.0], [-0.5], [0.8], [0.3]], [[0.5]])
    return StateSpace(*(torch.tensor(m) for m in matrices), 0.4 * torch.eye(4))


@pytest.fixture(scope="module")
def learned(process) -> tuple[RSSM, torch.Tensor]:
    return f5.fitted(process, 0, **QUICK), f5.held_out(process, 0)


def test_noise_bound_and_rate_are_those_of_the_process(process, learned) -> None:
    """The self-test's bars: σ_x² within 2 %, −ELBO within .03 nats of the filter's NLL, the KL within .03."""
    submission, x = learned
    assert [m for m in f5.noise_bound_and_rate(process, submission, x, 0) if not m.passed] == []


def test_the_noise_is_isotropic_in_units_of_x(process, learned) -> None:
    noise = learned[0].network.noise_covariance()
    torch.testing.assert_close(noise, noise[0, 0] * torch.eye(process.dim))


def test_the_kl_is_what_the_budget_buys(process) -> None:
    """λ(S) / σ² is 4.1: at β = 2 the direction is worth ½ ln 2.05 nats."""
    truth = process.truth("kl_budget", beta=2.0)
    assert truth == pytest.approx(0.5 * math.log(math.exp(2 * process.truth("innovation_kl")) / 2))
    found = f5.rate(f5.fitted(process, 0, 2.0, fixed=True, **QUICK), f5.held_out(process, 0), truth, 0)
    assert found.passed, found


def test_the_kept_step_is_the_best_at_its_own_weight(process) -> None:
    """At β = 6 the channel must close; under the bare bound the best step lies in the warm-up, with it open."""
    submission = small(
        observation={"units": "latent", "sigma": math.sqrt(process.noise)},
        recipe={"beta": 6.0, "warmup": 0.7},
        fit=f5.FIT | QUICK | {"evaluate_every": 25, "patience": 0},
    )
    train, valid = utterances(process, 400, 32, 0, "train"), utterances(process, 64, 32, 0, "valid")
    submission.fit(train, valid, fit_context(process.dim))
    assert float(submission.innovation(stacked(valid), rng()).kl_rec.mean()) < 0.02


def test_its_own_states_give_its_own_reconstruction(fitted, data) -> None:
    x = stacked(data[2])
    own = fitted.reconstruct_from(x, fitted.represent(x, rng(1)), rng(2))
    again_x = fitted.reconstruct(x, "posterior", rng(2))
    error, again = ((y - x).square().mean() for y in (own, again_x))
    assert float(error) == pytest.approx(float(again), rel=0.03)
    if fitted.config.mode == "strict":
        # `reconstruct` draws a state first, whose scale is zero
        same = rng(2)
        torch.randn(*x.shape[:-1], SIZES["state"], generator=same)
        assert torch.equal(fitted.reconstruct_from(x, fitted.represent(x, rng(1)), same), again_x)


def test_another_state_changes_frames_from_its_own_on(fitted, data) -> None:
    """State t decodes frame t (note) or t + 1 (strict), and no other."""
    x = stacked(data[2])[:4]
    states = fitted.represent(x, rng(1))
    other = states.clone()
    other[:, 7] = states[:, 15]
    changed = (fitted.reconstruct_from(x, other, rng(2)) != fitted.reconstruct_from(x, states, rng(2))).any(-1).any(0)
    assert changed.nonzero().flatten().tolist() == [8 if fitted.config.mode == "strict" else 7]


def test_impossible_noise_names_the_field() -> None:
    with pytest.raises(CardError, match=r"rssm: parameter observation.units: .*'whitened' or 'latent', got 'mel'"):
        RSSM(observation={"units": "mel"})
    with pytest.raises(CardError, match=r"rssm: parameter observation.sigma: .*greater than 0"):
        RSSM(observation={"sigma": 0.0})


def test_the_checks_are_declared_for_the_full_preset() -> None:
    checks = f5.checks()
    assert len({c.name for c in checks}) == len(checks) == 2 + len(f5.BETAS)
    assert {c.preset for c in checks} == {"full"} and {c.seeds for c in checks} == {(0, 1)}
