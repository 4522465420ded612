"""F4: simulated increments against the closed forms."""

import math

import pytest
import torch

from bench.calibration.direction import Alternating, Directions, Magnitudes, polar
from bench.metrics import vmf


@pytest.mark.parametrize("seed", [0, 1])
def test_directions_turn_by_the_rotation_and_magnitudes_are_independent(seed) -> None:
    process = Directions()
    u, log_m = polar(process.sample(300, 40, torch.Generator().manual_seed(seed)).double())
    for k in (1, 2, 3):
        turned = u[:, :-k] @ torch.linalg.matrix_power(process.rotation, k).T
        assert float((u[:, k:] * turned).sum(-1).mean()) == pytest.approx(
            process.truth("direction_cosine", k=k), abs=0.01
        )
    turned = u[:, :-1] @ process.rotation.T
    gain = vmf.log_prob(u[:, 1:], process.kappa * turned) + vmf.log_area(process.dim)
    assert float(gain.mean()) == pytest.approx(process.truth("direction_gain", k=1), abs=0.05)
    assert abs(float(torch.corrcoef(torch.stack([log_m[:, 1:].flatten(), log_m[:, :-1].flatten()]))[0, 1])) < 0.03
    with pytest.raises(ValueError, match="expected k = 1, got 2"):
        process.truth("direction_gain", k=2)


@pytest.mark.parametrize("seed", [0, 1])
def test_log_magnitudes_are_an_autoregression(seed) -> None:
    process = Magnitudes()
    x = process.sample(400, 40, torch.Generator().manual_seed(seed)).double()
    u, log_m = polar(x)
    for k in (1, 4):
        pair = torch.stack([log_m[:, k:].flatten(), log_m[:, :-k].flatten()])
        assert float(torch.corrcoef(pair)[0, 1]) ** 2 == pytest.approx(process.truth("magnitude_r2", k=k), abs=0.03)
    assert abs(float((u[:, 1:] * u[:, :-1]).sum(-1).mean())) < 0.01
    assert float(x.square().sum(-1).mean()) == pytest.approx(process.dim, rel=0.05)


def test_the_forward_algorithm_gains_what_the_bounds_allow_and_single_regimes_gain_their_truth() -> None:
    process = Alternating()
    x = process.sample(200, 60, torch.Generator().manual_seed(0))
    gain = float((process.log_prob(x) - process.marginal_log_prob(x))[:, 1:].mean())
    assert process.truth("least_gain") < gain < process.truth("informed_gain") + 0.05
    for one, stay in ((Directions(), "direction_gain"), (Magnitudes(), "magnitude_gain")):
        x = one.sample(100, 60, torch.Generator().manual_seed(1))
        always = Alternating(stay=1.0)
        gain = float((always.log_prob(x) - always.marginal_log_prob(x))[:, 1:].mean())
        # the regime itself has to be found out once
        assert gain == pytest.approx(one.truth(stay, k=1), abs=0.06 + math.log(2) / 59)
