"""Discrete autoregression: probabilities of a codec's residual codes, frame by frame and stage by stage.

A causal backbone reads the sum of a frame's code embeddings; the first stage's logits are linear in what it says, the
others come from a decoder over the stages before them. The loss is the cross-entropy summed over stages. Its
probabilities are of codes, not a density over x: what it says about the two is not comparable.

With `delay` d the stages after the first come d frames later, so that the first may be known d frames ahead of them.
The sum over an utterance is then still ln p of all its codes, but a frame's terms have seen the first stage of d later
frames. A rollout goes on from the rows of its prompt: what the last d frames' later stages say of the next first
stage is not asked. In training a crop ends as an utterance does, so that the end says nothing but that no more is
known.

`mean` feeds back the likeliest code of each stage given those chosen before it: the mean of codes is none of them.

References:
    Lee et al. 2022 (RQ-Transformer, arXiv 2203.01941); Défossez et al. 2024 (Moshi, arXiv 2410.00037); Rouard et al.
    2025 (CALM, arXiv 2509.06926).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from baselines.autoregressive import ARConfig
from baselines.family import Family
from baselines.layers import masked_mean, repeated
from baselines.rvq_network import CodeNetwork, DepthConfig, Picker
from bench.contract import CodecInfo, FitContext, HasCodes, LatentUtterance, Source
from bench.errors import CardError
from bench.metrics.mixture import Whitening

CODED_AT_ONCE = 4096
"""Frames."""


@dataclass(frozen=True)
class Config(ARConfig):
    """`start`: tables and classifiers begin at the codec's codebooks or at random. `noise` is in units of the root
    mean square of the summed embeddings. `stages` is how many stages are modelled (0: all); those after them are
    given their frequencies in training, and samples do without them."""

    depth: DepthConfig = field(default_factory=DepthConfig)
    start: Literal["codebooks", "random"] = "codebooks"
    delay: Annotated[int, Field(ge=0)] = 0
    stages: Annotated[int, Field(ge=0)] = 0


class RVQAR(Family[CodeNetwork]):
    """Submission plug-in `rvq_ar`. The state it exposes is x itself."""

    plugin = "rvq_ar"
    configuration = Config

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)
        self._codec: HasCodes | None = None
        self._device = torch.device("cpu")

    def validate(self) -> None:
        for name in ("backbone", "depth"):
            if problem := getattr(self.config, name).problem():
                raise CardError(f"{self.plugin}: parameter {name}.{problem}")

    # --- fit -----------------------------------------------------------------------------------------------

    def read_codes(self, codec: HasCodes) -> None:
        """Keep the codec: its codes are what is modelled."""
        self._codec = codec

    def unfitted(self, replicate: int, noise: float | None = None) -> RVQAR:
        other = super().unfitted(replicate, noise)
        assert isinstance(other, RVQAR)
        other._codec = self._codec
        return other

    def build(self, codec: CodecInfo) -> CodeNetwork:
        if not codec.codebooks:
            raise CardError(f"{self.plugin}: needs a codec with codes, got {codec.name!r}")
        config = self.config
        stages = config.stages or len(codec.codebooks)
        if stages > len(codec.codebooks):
            has = f"codec {codec.name!r} has {len(codec.codebooks)}"
            raise CardError(f"{self.plugin}: parameter stages: {has}, got {stages}")
        sizes, rest = codec.codebooks[:stages], codec.codebooks[stages:]
        return CodeNetwork(sizes, config.backbone, config.depth, config.delay, rest)

    def fit(self, train_set: Any, valid_set: Any, context: FitContext) -> None:
        self._device = context.device
        super().fit(train_set, valid_set, context)

    def prepare(self, network: CodeNetwork, frames: Tensor) -> None:
        codec, sizes = self._coded(), (*network.sizes, *network.rest)
        codes = torch.cat([codec.codes(part[None].to(self._device))[0].cpu() for part in frames.split(CODED_AT_ONCE)])
        network.expect([torch.bincount(codes[:, q], minlength=size) for q, size in enumerate(sizes)])
        if self.config.start == "codebooks":
            white = Whitening(frames.shape[1]).set_from(frames)
            network.start_at(whitened(self.codebooks(network.sizes), white))

    def codebooks(self, sizes: tuple[int, ...]) -> list[Tensor]:
        """What each entry adds to a latent, (V_q, D) of each stage; those of the first hold any constant."""
        codec = self._coded()
        tables = []
        for stage, size in enumerate(sizes):
            codes = torch.zeros(1, size, stage + 1, dtype=torch.int64, device=self._device)
            before = codec.from_codes(codes[..., :-1])[0] if stage else 0.0
            codes[0, :, -1] = torch.arange(size)
            tables.append((codec.from_codes(codes)[0] - before).cpu())
        return tables

    def parts(self, utterance: LatentUtterance) -> list[Tensor]:
        codes = self._coded().codes(utterance.x[None].to(self._device))[0].cpu()
        return [codes[:, : self.config.stages or None]]

    def loss(self, network: CodeNetwork, parts: list[Tensor], mask: Tensor, step: int) -> Tensor:
        return masked_mean(self._cross_entropy(network, parts, mask, self.config.noise), mask)

    def held_out(self, network: CodeNetwork, parts: list[Tensor], mask: Tensor) -> Tensor:
        return self._cross_entropy(network, parts, mask, 0.0)

    def _cross_entropy(self, network: CodeNetwork, parts: list[Tensor], mask: Tensor, noise: float) -> Tensor:
        # the last rows of a delayed layout read beyond the end of a frame
        codes = torch.where(mask[..., None], parts[0], network.none)
        return -network.log_prob(codes, noise).sum(-1)

    # --- answers -------------------------------------------------------------------------------------------

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """x itself: (B, T, D)."""
        del generator
        return x

    @torch.no_grad()
    def code_log_prob(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Exact: (B, T, D) → (B, T, Q), nats; stage q of frame t given frames < t and stages < q."""
        del generator
        codes, stages = self._coded().codes(x), len(self.network.sizes)
        return torch.cat([self.network.log_prob(codes[..., :stages]), self.network.frequency(codes[..., stages:])], -1)

    @torch.no_grad()
    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        """Ancestral sampling of codes, dequantised: (B, T, D) → (B, S, frames, D)."""
        network, given = self.network, prompt.shape[1]
        rows = network.rows(self._codes(prompt))
        read, state = network.backbone.read(network.embedded(rows[:, :given]))
        # what draws nothing is the same in every draw
        times = 1 if mean else draws
        last, known = (part.repeat_interleave(times, dim=0) for part in (read[:, -1], rows[:, given:, 1:]))
        pick = self._picker(generator, mean)
        codes = network.continued(last, repeated(state, times), known, frames, pick)
        x = self._coded().from_codes(codes).unflatten(0, (len(prompt), times))
        return x.expand(-1, draws, -1, -1)

    @torch.no_grad()
    def generate(self, frames: int, draws: int, generator: torch.Generator) -> Tensor:
        """From the start: (S, frames, D)."""
        network = self.network
        read, state = network.backbone.start(draws)
        known = network.none[1:].expand(draws, network.delay, -1)
        return self._coded().from_codes(network.continued(read, state, known, frames, self._picker(generator)))

    @torch.no_grad()
    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        """Posterior: x. Prior: the dequantised sample of p(codes_t | codes_<t) at every frame."""
        if source == "posterior":
            return x
        network, pick = self.network, self._picker(generator)
        codes = self._codes(x)
        if not network.delay:
            drawn = network.drawn(network.features(codes).flatten(0, 1), pick).unflatten(0, codes.shape[:2])
            return self._coded().from_codes(drawn)
        rows, out = network.rows(codes), []
        read, state = network.backbone.start(len(x))
        for t in range(x.shape[1]):
            out.append(network.continued(read, state, rows[:, t : t + network.delay, 1:], 1, pick))
            read, state = network.backbone.step(network.embedded(rows[:, t]), state)
        return self._coded().from_codes(torch.cat(out, 1))

    def _picker(self, generator: torch.Generator, likeliest: bool = False) -> Picker:
        return Picker(generator, self.config.temperature, likeliest)

    def _coded(self) -> HasCodes:
        assert self._codec is not None, "it was given no codec"
        return self._codec

    def _codes(self, x: Tensor) -> Tensor:
        """Of the stages that are modelled."""
        return self._coded().codes(x)[..., : len(self.network.sizes)]


def whitened(tables: list[Tensor], white: Whitening) -> list[Tensor]:
    """Tables in units in which latents are white; the constant of the mean leaves the first stage."""
    first, *rest = tables
    return [white(first), *(table @ white.matrix.T for table in rest)]
