"""The code rate: known entropies, the baseline's arithmetic, and what it refuses."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.calibration.coded import BlockCodec, IIDCodes, echoed, iid
from bench.calibration.lab import LabCodec, LabContext
from bench.config import TaskCard
from bench.contract import Score, Skipped
from bench.errors import PluginError
from tasks.code_rate import CodeRate, unigram
from tasks.selftests.code_rate import checks
from tests.lab import ar1, estimates

SIZES = (4, 6)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def context(codec: Any, codes: dict[Any, Tensor]) -> LabContext:
    return LabContext(CodeRate.card, {split: codec.utterances(c, split) for split, c in codes.items()}, codec)


def answered(model: Any, where: LabContext) -> dict[str, Any]:
    found = CodeRate().score(model, where)  # type: ignore[arg-type]
    return {score.column: score for score in found}


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.process)
def test_exact_probabilities_have_the_entropies(check: Any) -> None:
    rows = check.run(0)
    assert rows and all(row.passed for row in rows), rows


class Echo:
    """Stage 1 uniform, stage 2 certain."""

    def code_log_prob(self, x: Tensor, generator: torch.Generator) -> Tensor:
        out = torch.zeros(*x.shape[:2], 2)
        out[..., 0] = -math.log(4)
        return out


def test_the_gain_of_an_echo_is_all_in_the_later_stage() -> None:
    codec = BlockCodec([4, 4])
    where = context(codec, {s: echoed(iid([4], 400, 20, rng(i)), 4) for i, s in enumerate(("train", "test"))})
    found = estimates(list(answered(Echo(), where).values()), where.latents("test"))
    assert found["gain_first"].value == pytest.approx(0.0, abs=0.01)
    assert found["gain_rest"].value == pytest.approx(math.log(4), abs=0.01)
    assert found["gain"].value == pytest.approx(found["unigram"].value - found["rate"].value)
    assert found["rate_first"].value + found["rate_rest"].value == pytest.approx(found["rate"].value)
    assert where.notes["fixed_length_nats"] == pytest.approx(2 * math.log(4))
    assert where.notes["rate_by_stage_nats"] == pytest.approx([math.log(4), 0.0], abs=1e-4)


def test_the_baseline_is_of_training_codes_with_one_added_to_each() -> None:
    log_p = unigram([torch.tensor([5, 2, 0])])
    torch.testing.assert_close(log_p[0].exp(), torch.tensor([6.0, 3.0, 1.0]) / 10)
    codec = BlockCodec([3])
    train, test = torch.tensor([0, 0, 0, 0, 0, 1, 1]), torch.tensor([2, 0])
    where = context(codec, {"train": train[None, :, None], "test": test[None, :, None]})
    found = answered(IIDCodes(codec), where)
    # an entry that training lacks is paid for, not infinite
    (value,) = found["unigram"].values.values()
    assert value == pytest.approx(-(math.log(0.1) + math.log(0.6)) / 2)
    assert isinstance(found["gain_first"], Skipped) and "one codebook" in found["gain_first"].reason
    assert isinstance(found["gain"], Score)


def test_utterances_weigh_by_their_frames() -> None:
    codec = BlockCodec(SIZES)
    where = context(codec, {"train": iid(SIZES, 50, 9, rng()), "test": iid(SIZES, 3, 9, rng(1))})
    assert set(answered(IIDCodes(codec), where)["rate"].weights.values()) == {9.0}


def test_a_codec_without_codes_is_no_score() -> None:
    splits: Any = {"train": ar1(0.5, 2, 4, 9, 0), "test": ar1(0.5, 2, 3, 9, 1)}
    (found,) = CodeRate().score(Echo(), LabContext(CodeRate.card, splits, LabCodec(2)))  # type: ignore[arg-type]
    assert isinstance(found, Skipped) and found.column is None and found.reason == "the codec lab has no codes"


@pytest.mark.parametrize(
    ("stages", "value", "said"),
    [(3, -1.0, "of the codec's 2 stages, got 3"), (2, 0.5, "must be at most 0, got 0.5")],
)
def test_what_is_no_probability_is_refused(stages: int, value: float, said: str) -> None:
    class Wrong:
        def code_log_prob(self, x: Tensor, generator: torch.Generator) -> Tensor:
            return torch.full((*x.shape[:2], stages), value)

    codec = BlockCodec(SIZES)
    where = context(codec, {"train": iid(SIZES, 5, 9, rng()), "test": iid(SIZES, 3, 9, rng(1))})
    with pytest.raises(PluginError, match=said):
        CodeRate().score(Wrong(), where)  # type: ignore[arg-type]


def test_only_the_gain_is_ranked_and_never_beside_a_density() -> None:
    card: TaskCard = CodeRate.card
    assert [c.name for c in card.columns if c.ranked] == ["gain"]
    assert card.needs == ("code_log_prob",)
