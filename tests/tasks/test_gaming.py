"""Ways to look predictable: each raises the state's prediction of itself, and none the ranked column."""

import math

import pytest
import torch

from tasks.delta_nll import DeltaNLL
from tests.lab import LabCodec, LabContext, ar1, estimates, gain

DIM = 2
FIT = {"steps": 60, "batch": 16, "crop_frames": 48, "lr": 3e-3, "evaluate_every": 20, "patience": 0}
PROBE = {"width": 24, "components": 1, "dropout": 0.0, "fit": FIT}


class Frame:
    def represent(self, x, generator):
        return x


class Recurrence:
    """Untrained: a fading memory of whatever came."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.gru = torch.nn.GRU(DIM, 32, batch_first=True)

    @torch.no_grad()
    def represent(self, x, generator):
        return self.gru(x)[0]


class DelayEmbedding:
    def represent(self, x, generator):
        padded = torch.nn.functional.pad(x, (0, 0, 3, 0))
        return torch.cat([padded[:, 3 - i : padded.shape[1] - i] for i in range(4)], -1)


class Duplicate:
    def represent(self, x, generator):
        return torch.cat([x, x], -1)


def scored(submission, a: float, change=lambda x: x, **over):
    made = {s: ar1(a, DIM, n, 48, seed) for s, n, seed in (("train", 200, 0), ("valid", 20, 1), ("test", 150, 2))}
    made = {s: [type(u)(u.id, u.speaker, change(u.x)) for u in us] for s, us in made.items()}
    context = LabContext(DeltaNLL.card, made, LabCodec(DIM), {"controls": False, "probe": {**PROBE, **over}})
    return estimates(DeltaNLL().score(submission, context), made["test"])


@pytest.mark.parametrize(
    ("submission", "a"),
    [(Recurrence(), 0.0), (DelayEmbedding(), 0.0), (Duplicate(), 0.8)],
    ids=lambda v: type(v).__name__,
)
def test_self_prediction_rises_and_the_ranked_column_does_not(submission, a: float) -> None:
    result, honest = scored(submission, a), scored(Frame(), a)
    assert result["self_gain_80ms"].low > honest["self_gain_80ms"].high + 0.3
    for ms, k in ((80, 1), (160, 2), (320, 4), (640, 8)):
        found = result[f"gain_{ms}ms"]
        assert found.value <= gain(a, DIM, k) + max(0.03, 1.5 * (found.high - found.low) / 2)


def test_a_diagonal_head_depends_on_the_coordinates_and_the_others_do_not() -> None:
    """One dimension predictable, one not. Turned by 45° a diagonal Gaussian sees two half-predictable ones:
    −½ · 2 ln((1 + 1 − a²) / 2) in the place of −½ ln(1 − a²)."""
    a, half = 0.9, math.sqrt(0.5)
    mixed = torch.tensor([[half, half], [-half, half]])

    def one_only(x):
        # the second dimension is drawn afresh: white, and of the same variance
        noise = torch.randn(len(x), 1, generator=torch.Generator().manual_seed(int(x[0, 0].abs() * 1e6)))
        return torch.cat([x[:, :1], noise], 1)

    exact = -0.5 * math.log(1 - a * a)
    seen_turned = -math.log((2 - a * a) / 2)
    for covariance, expected in (("diagonal", seen_turned), ("semi_tied", exact), ("full", exact)):
        turned = scored(Frame(), a, lambda x: one_only(x) @ mixed.T, covariance=covariance)
        assert turned["gain_80ms"].value == pytest.approx(expected, abs=0.05), covariance
    plain = scored(Frame(), a, one_only, covariance="diagonal")
    assert plain["gain_80ms"].value == pytest.approx(exact, abs=0.05)
