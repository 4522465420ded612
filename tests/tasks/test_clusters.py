"""Variance ratios of the cluster suite on sources whose answers are known, on unseen voices, and recurring motifs."""

import math

import pytest
import torch

from bench.calibration.bimodal import Bimodal
from bench.calibration.lab import LabCodec, LabContext
from bench.calibration.process import splits
from bench.calibration.var1 import VAR1
from bench.contract import LatentUtterance, Score, Skipped
from tasks.clusters import Clusters
from tasks.contexts import KEYS
from tests.lab import estimates

A = 0.8
FAST = {"key": {"width": 32, "candidates": 64, "fit": {"steps": 100, "evaluate_every": 50}}}


class Raw:
    def represent(self, x, generator):
        return x


def scored(data, dim: int, **parameters):
    context = LabContext(Clusters.card, data, LabCodec(dim), {**FAST, **parameters})
    return Clusters().score(Raw(), context), context.notes


def close(measured, truth: float, floor: float) -> None:
    error = (measured.high - measured.low) / (2 * 1.96)
    assert abs(measured.value - truth) <= max(3 * error, floor), f"{measured} against {truth}"


@pytest.fixture(scope="module")
def f1():
    process = VAR1.isotropic(A, 1)
    # the means of the cells have a sampling error of their own, which no interval over test frames holds
    data = splits(process, train=500, valid=20, test=200, frames=100, seed=0)
    return process, estimates(scored(data, 1, window=1, cells=[2, 4, 8])[0], data["test"])


@pytest.mark.parametrize("cells", [2, 4, 8])
def test_the_ratio_is_f1_s(f1, cells: int) -> None:
    process, found = f1
    for key in ("pooled", "pca"):
        close(found[f"{key}_{cells}"], process.truth("cluster_ratio", cells=cells), 4e-3)
        close(found[f"{key}_next_{cells}"], process.truth("cluster_ratio_x", cells=cells), 6e-3)


@pytest.mark.parametrize(("cells", "distortion"), [(2, 0.3634), (4, 0.1389), (8, 0.0554)])
def test_quantile_cells_have_their_own_distortion(f1, cells: int, distortion: float) -> None:
    close(f1[1][f"quantile_{cells}"], 1 - 0.5 * (1 - A) * (1 - distortion), 4e-3)


@pytest.mark.parametrize("cells", [2, 4, 8])
def test_no_key_beats_all_of_x_and_permuted_steps_have_none(f1, cells: int) -> None:
    _, found = f1
    assert found[f"learned_{cells}"].value > 1 - 0.5 * (1 - A) - 3 * found[f"learned_{cells}"].error
    close(found[f"null_{cells}"], 1.0, 2e-3)
    assert found[f"reference_{cells}"].value == pytest.approx(cells**-2)
    assert found[f"excluded_{cells}"].value == 0.0


POINTS, STAY = 64, 0.9


def lookup(n: int, speakers: int, seed: int, split: str, dim: int = 16, frames: int = 60):
    """64 points in a ring: with probability .9 the next one on it, else any."""
    table = torch.randn(POINTS, dim, generator=torch.Generator().manual_seed(99))
    rng = torch.Generator().manual_seed(seed)
    at = [torch.randint(POINTS, (n,), generator=rng)]
    for _ in range(frames - 1):
        jump = torch.rand(n, generator=rng) > STAY
        at.append(torch.where(jump, torch.randint(POINTS, (n,), generator=rng), (at[-1] + 1) % POINTS))
    x = table[torch.stack(at, 1)] + 0.01 * torch.randn(n, frames, dim, generator=rng)
    own = "s" if split == "train" else "t"
    return table, [LatentUtterance(f"{split}{i}", f"{own}{i % speakers}", one) for i, one in enumerate(x)]


@pytest.fixture(scope="module")
def repeating():
    made = {
        split: lookup(n, 3, i, split) for i, (split, n) in enumerate({"train": 150, "valid": 20, "test": 60}.items())
    }
    data = {split: utterances for split, (_, utterances) in made.items()}
    scores, notes = scored(data, 16, window=1, cells=[64, 256], motif_cells=64)
    return made["train"][0], scores, estimates(scores, data["test"]), notes


def test_a_source_that_repeats_itself_goes_far_below_the_gaussian_reference(repeating) -> None:
    """Var(Δ | point) over Var Δ, from the table and the law of the ring."""
    table, _, found, _ = repeating
    law = torch.full((POINTS, POINTS), (1 - STAY) / POINTS)
    law[torch.arange(POINTS), (torch.arange(POINTS) + 1) % POINTS] += STAY
    mean = law @ table
    within = (law @ table.square() - mean.square()).sum(1).mean()
    steps = (mean - table).square().sum(1).mean() + within
    truth = float(within / steps)
    # k-means from one start may join two points or cut one; 256 cells leave each point a few of its own
    close(found["pca_256"], truth, 0.03)
    assert found["pooled_64"].value < 0.35 and found["reference_64"].value > 0.45
    assert truth < 0.15


def test_motifs_recur_where_the_order_is_ruled_and_not_when_shuffled(repeating) -> None:
    _, _, found, _ = repeating
    assert found["recurrence"].value > STAY**2 - 0.02
    assert found["recurrence_null"].value < 0.2


def test_bimodal_steps_gain_where_no_mean_moves() -> None:
    """The next frame of F2 has a density that the past tells, and no mean: cells of any key leave its variance."""
    process = Bimodal()
    data = splits(process, train=200, valid=20, test=200, frames=80, seed=0)
    flat = {s: [LatentUtterance(u.id, u.speaker, u.x[:, :2]) for u in us] for s, us in data.items()}
    full = {u.id: u.x for us in data.values() for u in us}

    class Announced:
        """Exposes the announcement too."""

        def represent(self, x, generator):
            return next(v[None] for v in full.values() if v.shape[0] == x.shape[1] and torch.equal(v[:, :2], x[0]))

    context = LabContext(Clusters.card, flat, LabCodec(2), {**FAST, "window": 1, "cells": [16]})
    found = estimates(Clusters().score(Announced(), context), flat["test"])
    assert process.truth("gain", k=1) > 0.3
    for key in KEYS:
        close(found[f"{key}_next_16"], 1.0, 3e-3)
        assert found[f"{key}_16"].value < 0.9, "Δ of iid frames is predictable from the last one"


def test_only_voices_that_training_lacks_count() -> None:
    process = VAR1.isotropic(A, 2)
    data = splits(process, train=30, valid=5, test=8, frames=60, seed=0)
    new = [LatentUtterance(u.id, "new" if i < 4 else u.speaker, u.x) for i, u in enumerate(data["test"])]
    scores, notes = scored({**data, "test": new}, 2, cells=[16])
    score = next(s for s in scores if s.column == "pooled_16")
    assert isinstance(score, Score) and score.weights is not None
    assert [score.weights[u.id] > 0 for u in new] == [True] * 4 + [False] * 4
    assert notes["unseen_speakers"] == ["new"] and math.isfinite(notes["ratios"]["pooled_16"]["known_voices"])


def test_every_column_is_answered_and_too_many_cells_are_refused() -> None:
    process = VAR1.isotropic(A, 2)
    data = splits(process, train=20, valid=5, test=4, frames=60, seed=0)
    scores, _ = scored(data, 2)
    assert {s.column for s in scores} == {c.name for c in Clusters.card.columns}
    reasons = {s.column: s.reason for s in scores if isinstance(s, Skipped)}
    assert "1024 cells need 20480" in reasons["learned_1024"] and "not among" in reasons["pooled_4096"]
    assert "pooled_16" not in reasons


def test_a_repeated_run_gives_the_same_bytes() -> None:
    data = splits(VAR1.isotropic(A, 3), train=40, valid=5, test=5, frames=60, seed=0)
    one, other = (scored(data, 3, cells=[16, 64])[0] for _ in range(2))
    assert one == other
