"""Rates at matched distortion: codes of uniform noise and optimal channels of an AR(1), against closed forms."""

import math

import pytest
import torch

from bench.calibration.var1 import VAR1
from bench.contract import HasCodes, LatentUtterance, Skipped
from bench.metrics.rate_distortion import same_support
from tasks.matched_rate import SUPPORTS, MatchedRate, spaced
from tasks.selftests.innovation_rate import OptimalChannel
from tests.lab import LabCodec, LabContext, ar1, estimates

A, DIM, FRAMES = 0.8, 3, 60
LEVELS = (0.2, 0.14, 0.07, 0.04, 0.02)


class Bits(LabCodec):
    """Stage q holds bit q of every dimension of x in [−1, 1]: 2^D symbols, an error of 4^{−Q'} / 3."""

    def __init__(self, dim: int, stages: int) -> None:
        super().__init__(dim)
        self.stages = stages
        object.__setattr__(self.info, "codebooks", (2**dim,) * stages)

    def codes(self, latents):
        cell = ((latents + 1) / 2 * 2**self.stages).long().clamp(0, 2**self.stages - 1)
        place = 2 ** torch.arange(latents.shape[-1])
        return torch.stack([(((cell >> (self.stages - 1 - q)) & 1) * place).sum(-1) for q in range(self.stages)], -1)

    def from_codes(self, codes):
        used = codes.shape[-1]
        bits = (codes[..., None] >> torch.arange(self.info.dim)) & 1
        cell = (bits * 2 ** torch.arange(used - 1, -1, -1)[:, None]).sum(-2)
        return (cell + 0.5) / 2**used * 2 - 1


PROCESS = VAR1.isotropic(A, DIM)


class Channels(OptimalChannel):
    """Several budgets of one channel."""

    def budgets(self):
        return [OptimalChannel(PROCESS, level) for level in LEVELS]


def rate(level: float) -> float:
    """½ ln (1 − a²) / θ a dimension, and the first frame, without a past, ½ ln 1 / θ."""
    return -0.5 * DIM * (math.log(level) - math.log(1 - A * A) * (FRAMES - 1) / FRAMES)


def uniform(n: int, seed: int):
    x = 2 * torch.rand(n, FRAMES, DIM, generator=torch.Generator().manual_seed(seed)) - 1
    return [LatentUtterance(f"{seed}-{i}", f"speaker{i % 2}", one) for i, one in enumerate(x)]


def scored(submission, data, codec, **parameters):
    context = LabContext(MatchedRate.card, data, codec, {"minutes": 100.0, **parameters})
    scores = MatchedRate().score(submission, context)
    assert {s.column for s in scores} == {c.name for c in MatchedRate.card.columns}
    reasons = {s.column: s.reason for s in scores if isinstance(s, Skipped)}
    return estimates(scores, data["test"]), context.notes, reasons


@pytest.fixture(scope="module")
def coded():
    codec = Bits(DIM, 5)
    assert isinstance(codec, HasCodes)
    data = {"train": uniform(200, 0), "test": uniform(20, 1)}
    return scored(object(), data, codec, target_mel=0.02)


def test_stages_cost_their_alphabet_and_halve_the_error(coded) -> None:
    """Errors 4^{−Q'} / 3 over a variance of 1/3."""
    for q, row in enumerate(coded[1]["codec_curve"]):
        assert row["rate"] == pytest.approx(q * DIM * math.log(2), abs=1e-4)
        assert row["mse"] == pytest.approx(4.0**-q, rel=0.03)
        assert row["gaussian_rate"] == pytest.approx(q * DIM * math.log(2), abs=0.05)


def test_code_lengths_of_uniform_symbols_are_the_alphabet(coded) -> None:
    for row in coded[1]["codec_curve"]:
        assert row["code_length"] == pytest.approx(row["rate"], rel=0.002)
    assert coded[0]["codec_code_length"].value == pytest.approx(coded[0]["codec_rate"].value, rel=0.01)


def test_the_rate_lies_between_the_stages_around_the_target(coded) -> None:
    curve = coded[1]["codec_curve"]
    after = next(q for q, row in enumerate(curve) if row["mel"] <= 0.02)
    found = coded[0]["codec_rate"]
    assert curve[after - 1]["rate"] < found.value < curve[after]["rate"] and found.low < found.high


def test_code_lengths_see_skewed_symbols() -> None:
    """Only the first of two stages varies, and is 1 with probability 0.1."""
    torch.manual_seed(0)
    draw = lambda n, seed: [  # noqa: E731
        LatentUtterance(f"{seed}-{i}", "s", torch.where(torch.rand(200, 1) < 0.1, 0.3, -0.7)) for i in range(n)
    ]
    data = {"train": draw(50, 0), "test": draw(20, 1)}
    row = scored(object(), data, Bits(1, 2))[1]["codec_curve"][-1]
    entropy = -0.1 * math.log(0.1) - 0.9 * math.log(0.9)
    assert row["rate"] == pytest.approx(2 * math.log(2), abs=1e-4) and row["code_length"] == pytest.approx(
        entropy, abs=0.02
    )


@pytest.fixture(scope="module")
def channel():
    data = {"train": ar1(A, DIM, 200, FRAMES, 0), "test": ar1(A, DIM, 40, FRAMES, 1)}
    return scored(Channels(PROCESS, 0.05), data, LabCodec(DIM), target_mse=0.05)


def test_an_optimal_channel_pays_the_rate_distortion_function(channel) -> None:
    found = channel[0]["rate_mse"]
    assert (
        found.value == pytest.approx(rate(0.05), abs=(found.high - found.low) * 0.75) and found.high - found.low < 0.3
    )
    for row, level in zip(channel[1]["own_curve"], LEVELS, strict=True):
        assert row["rate"] == pytest.approx(rate(level), rel=0.02, abs=0.05)
        assert row["mse"] == pytest.approx(level, rel=0.04)


def test_a_past_that_is_known_saves_what_a_memoryless_code_pays(channel) -> None:
    """½ ln 1 / (1 − a²) a dimension."""
    for row in channel[1]["own_curve"]:
        saved = -0.5 * DIM * math.log(1 - A * A) * (FRAMES - 1) / FRAMES
        assert row["gaussian_rate"] - row["rate"] == pytest.approx(saved, abs=0.05)


def test_one_budget_brackets_nothing_and_still_has_its_point() -> None:
    data = {"train": ar1(A, DIM, 50, FRAMES, 0), "test": ar1(A, DIM, 20, FRAMES, 1)}
    found, _, reasons = scored(OptimalChannel(PROCESS, 0.05), data, LabCodec(DIM))
    assert reasons["rate"] == reasons["rate_mse"] == "not reached: one budget, target not bracketed"
    assert reasons["codec_rate"] == reasons["codec_rate_here"] == "the codec has no codes"
    assert found["point_rate"].value == pytest.approx(rate(0.05), rel=0.05)


def test_the_codec_at_the_point_of_a_submission_is_the_codec_at_that_distance() -> None:
    class Stage:
        """Its posterior is the codec's third stage, so that the codec must cost three stages there."""

        def innovation(self, x, generator):
            return OptimalChannel(PROCESS, 0.5).innovation(x, generator)

        def reconstruct(self, x, source, generator):
            return codec.from_codes(codec.codes(x)[..., :3])

    codec = Bits(DIM, 5)
    data = {"train": uniform(50, 0), "test": uniform(5, 1)}
    found, _, _ = scored(Stage(), data, codec)
    assert found["codec_rate_here"].value == pytest.approx(3 * DIM * math.log(2), abs=1e-4)
    # the same stage on both sides: no sampling error is left
    assert found["codec_rate_here"].high - found["codec_rate_here"].low < 1e-4


def test_a_submission_without_a_channel_leaves_the_codec_its_columns(coded) -> None:
    assert coded[2] == dict.fromkeys(
        ("rate", "rate_mse", "point_rate", "point_mel", "codec_rate_here"), "needs innovation"
    )


def test_no_ranked_columns_mix_supports() -> None:
    same_support(SUPPORTS[c.name] for c in MatchedRate.card.columns if c.ranked and c.name in SUPPORTS)
    for column in MatchedRate.card.columns:
        if column.name in SUPPORTS:
            assert column.help.startswith(f"Support: {SUPPORTS[column.name]}.")


def test_spaced_utterances_fit_the_budget_and_span_the_split() -> None:
    every = uniform(20, 0)
    assert spaced(every, 20 * FRAMES) == every
    assert [u.id for u in spaced(every, 7 * FRAMES)] == [u.id for u in every[::3]]
    assert spaced(every, 1) == every[:1]
