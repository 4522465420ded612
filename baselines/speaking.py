"""What lets an autoregressive family speak: a text and a voice before the frames, an end, and weights that ship.

    p(x_t | x_<t, text, voice),    P(the utterance has ended before frame t | the same)

A family mixes `Speaking` in before its head. Training takes whole utterances from their first frame; the voice is that
of another utterance of the same speaker, so that any recording may stand for one (`text_prefix` says how both are
read). A share of utterances is trained without text and voice, which is what the model is asked for wherever a task
gives it none. Early stop is by the head's loss on the validation split, whose sentences the training split should not
have.

References:
    Wang et al. 2023 (text and a recording as a prompt, VALL-E, arXiv 2301.02111); Rouard et al. 2025 (CALM, arXiv
    2509.06926).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from baselines import packaged
from baselines.autoregressive import ARConfig, Autoregressive, Network
from baselines.family import VALIDATED_AT_ONCE
from baselines.heads import Head
from baselines.layers import BackboneConfig
from baselines.text_prefix import PrefixTransformer, Prompt, padded, symbols, voice_of
from baselines.training import TrainConfig, train
from bench.contract import CodecInfo, FitContext, LatentUtterance
from bench.errors import CardError, DataError
from bench.fitting import Frames, initialised
from bench.seeding import derive_seed

SPOKEN_AT_ONCE = 32
"""Utterances that are decoded side by side."""
ENDED = 0.5
"""An utterance ends where the probability that it has is above this."""


@dataclass(frozen=True)
class SpeechConfig(ARConfig):
    """What every family that speaks has beside the rest.

    `text_layers` of convolutions read the text; `untold` is the share of training utterances without text and voice;
    `speech_temperature` is that of `speak`, `temperature` that of all other sampling; `weights` names a packaged
    checkpoint, of `sha256`, that `fit` takes instead of training.
    """

    backbone: BackboneConfig = field(default_factory=lambda: BackboneConfig(kind="transformer", layers=4))
    text_layers: Annotated[int, Field(ge=0)] = 3
    untold: Annotated[float, Field(ge=0, lt=1)] = 0.1
    speech_temperature: Annotated[float, Field(ge=0)] = 0.7
    weights: str = ""
    sha256: str = ""


class SpeakingNetwork(Network):
    """The network of an autoregressive family, and the logit of the end, which reads what the head does."""

    backbone: PrefixTransformer

    def __init__(self, dim: int, backbone: PrefixTransformer, head: Head, dropout: float) -> None:
        super().__init__(dim, backbone, head, dropout)
        self.end = nn.Linear(backbone.width, 1)

    def told(self, u: Tensor, prompt: Prompt) -> tuple[Tensor, Tensor]:
        """Features (B, T, H) of every frame, from u_<t (B, T, D) and the prompt, and the log pace (B,)."""
        features, pace = self.backbone.shifted_and_paced(u, prompt)
        return self.trunk(features), pace


class Speaking(Autoregressive):
    """A submission that speaks. A subclass says which head it has (`head`) and what that one's loss is."""

    unfitted: ClassVar[Any] = None
    """A task that fits a model again has no transcripts for it."""

    @abstractmethod
    def head(self, features: int, dim: int) -> Head:
        """The head over `features` channels."""

    def validate(self) -> None:
        super().validate()
        config = self.config.backbone
        if config.kind != "transformer" or config.context:
            got = f"kind {config.kind!r}, context {config.context}"
            raise CardError(f"{self.plugin}: parameter backbone: expected a transformer of context 0, got {got}")
        packaged.validate(self.plugin, self.config.weights, self.config.sha256)

    def build(self, codec: CodecInfo) -> SpeakingNetwork:
        config = self.config
        backbone = PrefixTransformer(codec.dim, config.backbone, config.text_layers)
        head = self.head(config.backbone.width, codec.dim)
        return SpeakingNetwork(codec.dim, backbone, head, config.backbone.dropout)

    def fit(
        self, train_set: Sequence[LatentUtterance], valid_set: Sequence[LatentUtterance], context: FitContext
    ) -> None:
        """Load the packaged weights where the card names them; else train on whole utterances, early-stopped.

        Raises:
            CardError: packaged weights of another codec.
            DataError: an utterance without a transcript.
        """
        if self.config.weights:
            state = packaged.load(self.plugin, self.config.weights, self.config.sha256, context.codec)
            try:
                self.load_state(state, context.codec, context.device)
            except (RuntimeError, KeyError) as error:
                why = f"are of other sizes than the card's: {str(error).splitlines()[-1].strip()}"
                raise CardError(f"{self.plugin}: weights {self.config.weights!r} {why}") from error
            return
        if self.config.seed_offset:
            context = replace(context, seed=derive_seed(context.seed, "replicate", self.config.seed_offset))
        config: TrainConfig = self.config.fit
        network = initialised(lambda: self.build(context.codec), context.seed)
        assert isinstance(network, SpeakingNetwork)
        self.prepare(network, torch.cat([u.x for u in train_set]))
        spoken, held = (Spoken(self.plugin, part, context.texts, network) for part in (train_set, valid_set))
        network.backbone.pace.fill_(spoken.pace())
        network.to(context.device)

        def loss(step: int, generator: torch.Generator) -> Tensor:
            pick = torch.randint(len(train_set), (config.batch,), generator=generator)
            told = torch.rand(config.batch, generator=generator) >= self.config.untold
            batch = spoken.batch(pick, spoken.mates(pick, generator), told, config.crop_frames)
            return self.spoken_loss(network, batch.to(context.device), step)

        def validate() -> float:
            total, count = 0.0, 0
            for pick in torch.arange(len(valid_set)).split(VALIDATED_AT_ONCE):
                batch = held.batch(pick, held.mates(pick), torch.ones(len(pick), dtype=torch.bool), config.crop_frames)
                value = self.spoken_held_out(network, batch.to(context.device))
                total, count = total + float(value.sum()), count + len(value)
            return total / count

        self._history = train(network, loss, validate, config, context, f"fit {self.plugin}", self.groups(network))
        self.network = self._settled(network)

    def spoken_loss(self, network: SpeakingNetwork, batch: Batch, step: int) -> Tensor:
        """Of the head a frame, of the end a frame, and of the pace: the squared error of its logarithm."""
        u = network.white(batch.x)
        noisy = F.pad(u + self.config.noise * torch.randn_like(u), (0, 0, 0, 1))
        features, pace = network.told(noisy, batch.prompt)
        # padding is left out before the head, which is most of the cost
        mask = batch.mask
        own = self.frame_loss(network, features[:, :-1][mask], u[mask], step).mean()
        heard = batch.whole & batch.prompt.told
        off = ((pace - batch.pace().log()).square() * heard).sum() / heard.sum().clamp(min=1)
        ended, known = batch.ends()
        end = F.binary_cross_entropy_with_logits(network.end(features).squeeze(-1)[known], ended[known])
        return own + end + off

    def spoken_held_out(self, network: SpeakingNetwork, batch: Batch) -> Tensor:
        """Validation loss of the head at every real frame of the batch, (n,)."""
        u = network.white(batch.x)
        features = network.told(u, batch.prompt)[0]
        return self.frame_loss(network, features[batch.mask], u[batch.mask], None)

    @torch.no_grad()
    def speak(
        self, texts: Sequence[str], references: Sequence[Tensor], frames: int, generator: torch.Generator
    ) -> list[Tensor]:
        """Ancestral sampling, each text under a seed of its own, until its end is more probable than not."""
        if len(texts) != len(references):
            got = f"{len(references)} for {len(texts)}"
            raise DataError(f"{self.plugin}: expected a reference for each text, got {got}")
        read = [_read(self.plugin, text) for text in texts]
        seeds = torch.randint(2**62, (len(texts),), generator=generator).tolist()
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        out: list[Tensor] = []
        for start in range(0, len(texts), SPOKEN_AT_ONCE):
            part = slice(start, start + SPOKEN_AT_ONCE)
            out += self._spoken(read[part], references[part], frames, draws[part])
        return out

    def _spoken(
        self, texts: Sequence[Tensor], references: Sequence[Tensor], frames: int, draws: Sequence[torch.Generator]
    ) -> list[Tensor]:
        network = self.network
        assert isinstance(network, SpeakingNetwork)
        device = network.white.shift.device
        voices = torch.stack([voice_of(network.white(one.to(device))) for one in references])
        told = torch.ones(len(texts), dtype=torch.bool, device=device)
        features, state = network.backbone.start(len(texts), Prompt(padded(texts).to(device), voices, told))
        lengths, said = [frames] * len(texts), []
        for time in range(frames):
            read = network.trunk(features)
            if time:
                over = (network.end(read).squeeze(-1).sigmoid() > ENDED).tolist()
                lengths = [min(n, time) if done else n for n, done in zip(lengths, over, strict=True)]
            if max(lengths) <= time:
                break
            each = zip(read.split(1), draws, strict=True)
            u = torch.cat([network.head.sample(one, own, self.config.speech_temperature) for one, own in each])
            said.append(u)
            features, state = network.backbone.step(u, state)
        x = network.white.invert(torch.stack(said, 1))
        return [one[:n].clone() for one, n in zip(x, lengths, strict=True)]


# --- batches -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Utterances x (B, T, D) from their first frame, which frames are real (B, T), what is said, and whether an
    utterance is there to its end (B,)."""

    x: Tensor
    mask: Tensor
    prompt: Prompt
    whole: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same batch there."""
        return Batch(self.x.to(device), self.mask.to(device), self.prompt.to(device), self.whole.to(device))

    def pace(self) -> Tensor:
        """Frames a character (B,)."""
        return self.mask.sum(1) / (self.prompt.symbols > 0).sum(1)

    def ends(self) -> tuple[Tensor, Tensor]:
        """Whether the utterance has ended before each of T + 1 frames, as numbers, and where that is known."""
        length, time = self.mask.sum(1, keepdim=True), torch.arange(self.mask.shape[1] + 1, device=self.mask.device)
        return (time >= length).float(), (time < length) | ((time == length) & self.whole[:, None])


class Spoken:
    """Utterances with what they say and whose voice they are in.

    Raises:
        DataError: an utterance has no transcript, or one without letters.
    """

    def __init__(
        self, who: str, utterances: Sequence[LatentUtterance], texts: Mapping[str, str], network: SpeakingNetwork
    ) -> None:
        self.frames = Frames([[u.x] for u in utterances])
        if silent := [u.id for u in utterances if u.id not in texts]:
            raise DataError(f"{who}: expected a transcript of every utterance, got none of {silent[0]}")
        self.symbols = padded([_read(who, texts[u.id]) for u in utterances])
        self.voices = torch.stack([voice_of(network.white(u.x)) for u in utterances])
        groups: dict[str, list[int]] = {}
        for index, utterance in enumerate(utterances):
            groups.setdefault(utterance.speaker, []).append(index)
        self._mates = [groups[u.speaker] for u in utterances]
        self._place = [self._mates[i].index(i) for i in range(len(utterances))]

    def pace(self) -> float:
        """Frames a character over all utterances."""
        return float(self.frames.lengths.sum() / (self.symbols > 0).sum())

    def mates(self, pick: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """For each of the utterances `pick` another of its speaker, or itself where there is none; without a generator
        the one after it."""
        out = []
        for index in pick.tolist():
            group, others = self._mates[index], max(len(self._mates[index]) - 1, 1)
            away = 1 if generator is None else 1 + int(torch.randint(others, (), generator=generator))
            out.append(group[(self._place[index] + away) % len(group)])
        return torch.tensor(out)

    def batch(self, pick: Tensor, mates: Tensor, told: Tensor, frames: int) -> Batch:
        """The first `frames` frames of the utterances `pick`, each in the voice of its mate."""
        (x,), mask = self.frames.whole(pick, frames)
        symbols = self.symbols[pick]
        symbols = symbols[:, : int((symbols > 0).sum(1).max())]
        prompt = Prompt(symbols, self.voices[mates], told)
        return Batch(x, mask, prompt, self.frames.lengths[pick] <= frames)


def _read(who: str, text: str) -> Tensor:
    found = symbols(text)
    if not len(found):
        raise DataError(f"{who}: expected a text with letters, got {text!r}")
    return found
