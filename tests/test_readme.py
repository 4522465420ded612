"""The README's example is a tested file, and its generated parts have their markers."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.config import SubmissionCard, read_card
from bench.contract import CodecInfo, FitContext, LatentUtterance, missing_capability
from tests.modules import module_at

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "tests/examples/marginal_gaussian.py"
README = (ROOT / "README.md").read_text("utf-8")


def between(marker: str) -> str:
    """The README's text between a pair of markers."""
    (block,) = re.findall(rf"<!-- {marker}:start -->\n(.*?)<!-- {marker}:end -->", README, flags=re.DOTALL)
    return str(block)


def code(block: str, language: str) -> str:
    """The fenced block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", block, flags=re.DOTALL)
    return str(found)


@pytest.fixture
def submission() -> Any:
    return module_at(EXAMPLE).MarginalGaussian()


class NoCheckpoint:
    def load(self) -> None:
        return None

    def save(self, state: Any) -> None:
        raise AssertionError("nothing to save")


def context(dim: int) -> FitContext:
    codec = CodecInfo("test", sample_rate=16_000, hop=1280, dim=dim)
    return FitContext(codec, torch.device("cpu"), 0, NoCheckpoint(), lambda what, done, total: None)


def gaussian(frames: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames (1, T, 4) of one Gaussian, and its covariance."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    x = torch.randn(1, frames, 4, generator=generator, dtype=torch.float64) @ mix.T + 3.0
    return x.float(), mix @ mix.T


def test_the_readme_shows_the_tested_file() -> None:
    assert code(between("example"), "python") == EXAMPLE.read_text("utf-8")


def test_the_readme_shows_a_valid_card(tmp_path: Path) -> None:
    card = tmp_path / "card.toml"
    card.write_text(code(between("card"), "toml"), encoding="utf-8")
    assert read_card(card, SubmissionCard).plugin == "marginal_gaussian"


def test_a_package_made_as_the_readme_says_is_found(tmp_path: Path) -> None:
    # what pip would install, written by hand: modules, card, and the metadata that holds the entry points
    package, metadata = tmp_path / "my_package", tmp_path / "my_package-1.0.dist-info"
    package.mkdir()
    metadata.mkdir()
    (package / "__init__.py").touch()
    (package / "marginal_gaussian.py").write_text(code(between("example"), "python"), encoding="utf-8")
    (package / "marginal_gaussian_v1.toml").write_text(code(between("card"), "toml"), encoding="utf-8")
    groups = tomllib.loads(code(between("entry-points"), "toml"))["project"]["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n", encoding="utf-8")
    ask = """
from bench import registry
card = registry.submission_card("marginal_gaussian_v1")
made = registry.load("submissions", card.plugin)(**card.resolved("mini"))
print(type(made).__module__, made.ridge)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["my_package.marginal_gaussian", "1e-06"]


@pytest.mark.parametrize("marker", ["leaderboard", "tasks"])
def test_the_readme_has_a_place_for_what_is_generated(marker: str) -> None:
    between(marker)


def test_nll_of_the_training_frames_is_the_entropy_of_the_fit(submission: Any) -> None:
    # for the maximum-likelihood Gaussian the two are equal exactly: (1/2) ln |2 pi e S|
    x, _ = gaussian(500, seed=1)
    submission.fit([LatentUtterance("u", "s", x[0])], [], context(4))
    entropy = 0.5 * torch.logdet(2 * math.pi * math.e * torch.cov(x[0].T.double(), correction=0))
    nll = -submission.log_prob(x, x, torch.Generator()).mean()
    torch.testing.assert_close(nll.double(), entropy, atol=1e-4, rtol=0)


@pytest.mark.parametrize("seed", [1, 2])
def test_nll_of_new_frames_is_the_entropy_of_the_source(submission: Any, seed: int) -> None:
    x, covariance = gaussian(100_000, seed)
    submission.fit([LatentUtterance("u", "s", x[0, :50_000])], [], context(4))
    nll = -submission.log_prob(x[:, 50_000:], x[:, 50_000:], torch.Generator()).mean()
    entropy = 0.5 * torch.logdet(2 * math.pi * math.e * covariance)
    # standard error of the mean NLL: sqrt(d / 2n) = 0.0063
    assert abs(float(nll) - float(entropy)) < 3 * 0.0063


def test_a_reloaded_state_gives_the_same_numbers(submission: Any) -> None:
    x, _ = gaussian(200, seed=3)
    submission.fit([LatentUtterance("u", "s", x[0])], [], context(4))
    again = type(submission)()
    again.load_state(submission.state(), context(4).codec, torch.device("cpu"))
    assert torch.equal(again.log_prob(x, x, torch.Generator()), submission.log_prob(x, x, torch.Generator()))


def test_offers_a_state_and_a_density(submission: Any) -> None:
    assert missing_capability(submission, ("represent", "log_prob")) is None
    assert missing_capability(submission, ("rollout",)) == "rollout"
    assert submission.represent(torch.ones(2, 5, 4), torch.Generator()).shape == (2, 5, 1)
