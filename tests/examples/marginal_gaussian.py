"""A whole submission: frames drawn from one Gaussian, whatever came before."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from bench.contract import CodecInfo, FitContext, LatentUtterance


class MarginalGaussian:
    likelihood = "exact"

    def __init__(self, ridge: float = 1e-6) -> None:
        self.ridge = ridge

    def fit(self, train: Sequence[LatentUtterance], valid: Sequence[LatentUtterance], context: FitContext) -> None:
        x = torch.cat([utterance.x for utterance in train])
        covariance = torch.cov(x.T, correction=0) + self.ridge * torch.eye(x.shape[1])
        state = {"mean": x.mean(0), "cholesky": torch.linalg.cholesky(covariance)}
        self.load_state(state, context.codec, context.device)

    def state(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "cholesky": self.cholesky}

    def load_state(self, state: Mapping[str, Tensor], codec: CodecInfo, device: torch.device) -> None:
        self.mean, self.cholesky = state["mean"].to(device), state["cholesky"].to(device)

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        return x.new_zeros(*x.shape[:2], 1)  # remembers nothing, so nothing can be read from it

    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        return MultivariateNormal(self.mean, scale_tril=self.cholesky).log_prob(target)
