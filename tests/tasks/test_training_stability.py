"""Spikes, tails and rebounds of made histories; refits that diverge, that cannot roll out, that read codes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench.calibration.var1 import VAR1
from bench.checked import Checked
from bench.contract import Score, Skipped, TrainingHistory
from bench.errors import PluginError
from bench.metrics.stability import rebound, spikes, tail_ratio
from tasks.selftests.training_stability import Toy, _context, checks
from tasks.training_stability import NOISE, REFITTED, TrainingStability

PROCESS = VAR1.isotropic(0.95, 4)


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.name)
def test_its_self_test_passes(one_thread: None, check: Any) -> None:
    assert [row for row in check.run(0) if not row.passed] == []


# --- measures ----------------------------------------------------------------------------------------------


def test_a_straight_line_has_no_spike_and_a_step_above_it_is_one() -> None:
    loss = torch.linspace(9, 1, 101)
    assert not spikes(loss, 31, 6.0).any()
    loss[50] += 0.5
    assert spikes(loss, 31, 6.0).nonzero().tolist() == [[50 - 15]]


def test_spikes_know_no_unit_and_no_spike_downward() -> None:
    loss = torch.rand(200, generator=torch.Generator().manual_seed(0))
    loss[[40, 80]] += 5.0
    loss[120] -= 5.0
    found = spikes(loss, 31, 6.0)
    assert found.nonzero()[:, 0].tolist() == [40 - 15, 80 - 15]
    assert torch.equal(spikes(100 * loss - 7, 31, 6.0), found)


@pytest.mark.parametrize(("count", "window"), [(30, 31), (100, 30)])
def test_what_has_no_window_is_refused(count: int, window: int) -> None:
    with pytest.raises(ValueError, match="expected an odd window and as many losses"):
        spikes(torch.ones(count), window, 6.0)


def test_tails_and_rebounds() -> None:
    assert tail_ratio(torch.linspace(0, 100, 101)) == pytest.approx(99 / 50)
    assert tail_ratio(torch.zeros(9)) == float("inf")
    assert rebound(torch.tensor([5.0, 1.0, 2.0])) == 0.25
    assert rebound(torch.tensor([5.0, 1.0])) == 0.0
    assert rebound(torch.tensor([1.0, 5.0])) == 1.0
    assert rebound(torch.ones(3)) == 0.0


# --- what the task says ------------------------------------------------------------------------------------


def scored(submission: Any, **parameters: Any) -> tuple[dict[str, Score | Skipped], dict[str, Any]]:
    context = _context(PROCESS, 0, **parameters)
    results = TrainingStability().score(Checked(submission, "toy"), context)  # type: ignore[arg-type]
    return {str(result.column): result for result in results}, context.notes


def test_every_column_is_answered_and_every_refit_is_told() -> None:
    found, notes = scored(Toy(PROCESS, diverges=(1, 0.1)))
    assert found.keys() == {column.name for column in TrainingStability.card.columns}
    assert [(one["replicate"], one["noise"], one["diverged"] != "") for one in notes["refits"]] == [
        (0, None, False),
        (1, None, True),
        (0, 0.0, False),
        (0, 0.1, True),
        (0, 0.3, False),
    ]
    assert notes["refits"][1]["diverged"].endswith("the loss is nan at step 3")
    assert found["seed_spread"] == Skipped("1 of 2 replicates diverged", "seed_spread")
    assert set(found["diverged"].values.values()) == {2 / 5}  # type: ignore[union-attr]
    assert notes["skill_by_noise"].keys() == {"0", "0.3"}


def test_noise_cannot_be_judged_where_the_least_diverges() -> None:
    found, _ = scored(Toy(PROCESS, diverges=(0.0,)))
    assert [found[name] for name in NOISE] == [Skipped("the refit with noise 0 diverged", name) for name in NOISE]


def test_weights_that_are_not_finite_count_as_divergence() -> None:
    class Broken(Toy):
        def unfitted(self, replicate: int, noise: float | None = None) -> Any:
            made = Broken(self.process, replicate=replicate, noise=noise)
            if replicate:
                made.state = lambda: {"w": torch.tensor([float("inf")])}  # type: ignore[method-assign]
            return made

    found, notes = scored(Broken(PROCESS))
    assert notes["refits"][1]["diverged"] == "w is not finite"
    assert set(found["diverged"].values.values()) == {1 / 5}  # type: ignore[union-attr]


def test_another_error_of_a_refit_is_no_divergence() -> None:
    class Fails(Toy):
        def unfitted(self, replicate: int, noise: float | None = None) -> Any:
            made = Toy(self.process, replicate=replicate, noise=noise)
            made.fit = None if replicate == 0 else lambda *_: 1 / 0  # type: ignore[assignment, method-assign]
            return made

    with pytest.raises(PluginError, match="toy, replicate 0: unfitted must be a submission"):
        scored(Fails(PROCESS))


def test_what_is_not_offered_is_skipped_by_name() -> None:
    class Remembers:
        def history(self) -> TrainingHistory:
            return TrainingHistory(torch.ones(3), torch.zeros(3), torch.ones(1), torch.ones(1))

    found, _ = scored(Remembers())
    assert {name: found[name].reason for name in found} == {  # type: ignore[union-attr]
        "spikes": "3 steps; a window has 31",
        "grad_ratio": "half of the gradients are zero",
        "rebound": "1 validation losses; needs 2",
        **dict.fromkeys(REFITTED, "needs unfitted"),
    }


def test_a_refit_that_reads_codes_is_given_the_codec() -> None:
    given: list[Any] = []

    class Reads(Toy):
        def unfitted(self, replicate: int, noise: float | None = None) -> Any:
            return Reads(self.process, replicate=replicate, noise=noise)

        def read_codes(self, codec: Any) -> None:
            given.append(codec.info.name)

    scored(Reads(PROCESS))
    assert given == ["lab"] * 10
