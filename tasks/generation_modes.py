"""What a submission generates for a listener, as waveforms: continuations, resampled utterances, spoken texts.

* `continuation`: the true frames up to `prompt_s`, then `continue_s` of the submission's own; what is kept is decoded
  after the prompt, by a decoder that has heard it.
* `resampled`: every frame drawn given the true past (`reconstruct(x, "prior")`), the whole utterance decoded: do words
  survive when only the innovation is drawn?
* `text`: the transcript spoken in the voice of another utterance of its speaker, up to `text_cap` times as long as the
  recording.

An utterance for which a submission gave nothing finite has a waveform of no samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from bench.contract import CanRollout, LatentUtterance, Reconstructs, RowContext, Utterance
from bench.errors import PluginError
from bench.outputs import Waveform, quantised

Mode = Literal["continuation", "resampled", "text"]
Route = Literal["original", "codec", "marginal"]
MODES: dict[Mode, str] = {"continuation": "rollout", "resampled": "reconstruct", "text": "speak"}
"""Mode → the capability that it needs."""
BATCH = 16
"""Prompts continued at once."""


@dataclass(frozen=True)
class Plan:
    """Which utterances are generated, and how much.

    Attributes:
        latents, spoken: of the same utterances, in the same order.
        others: ids of another utterance of each one's speaker; its own where there is no other.
        references: latents (T, D) of these.
        prompt, ahead: frames of a continuation.
        capped: frames that a spoken text may have, by utterance id.
    """

    latents: tuple[LatentUtterance, ...]
    spoken: tuple[Utterance, ...]
    others: tuple[str, ...]
    references: tuple[Tensor, ...]
    prompt: int
    ahead: int
    capped: Mapping[str, int]

    @property
    def ids(self) -> list[str]:
        return [u.id for u in self.latents]

    def first(self, count: int) -> Plan:
        """Of the first `count` utterances alone."""
        return replace(
            self,
            latents=self.latents[:count],
            spoken=self.spoken[:count],
            others=self.others[:count],
            references=self.references[:count],
        )


def plan(context: RowContext, count: int, prompt_s: float, continue_s: float, text_cap: float) -> Plan:
    """The first `count` test utterances long enough for prompt and continuation, one of each speaker in turn."""
    rate = context.codec.info.frame_rate
    prompt, ahead = max(1, round(prompt_s * rate)), max(1, round(continue_s * rate))
    everything = context.latents("test")
    queues: dict[str, list[LatentUtterance]] = {}
    for one in everything:
        if len(one.x) >= prompt + ahead:
            queues.setdefault(one.speaker, []).append(one)
    turns = max(map(len, queues.values()), default=0)
    chosen = [queue[turn] for turn in range(turns) for queue in queues.values() if turn < len(queue)][:count]
    spoken = {u.id: u for u in context.dataset.utterances("test")}
    same: dict[str, list[LatentUtterance]] = {}
    for one in everything:
        same.setdefault(one.speaker, []).append(one)

    def another(one: LatentUtterance) -> LatentUtterance:
        own = same[one.speaker]
        at = next(i for i, u in enumerate(own) if u.id == one.id)
        return own[(at + 1) % len(own)]

    others = [another(one) for one in chosen]

    return Plan(
        tuple(chosen),
        tuple(spoken[one.id] for one in chosen),
        tuple(one.id for one in others),
        tuple(one.x for one in others),
        prompt,
        ahead,
        {one.id: math.ceil(text_cap * len(one.x)) for one in chosen},
    )


def generated(mode: Mode, submission: Any, plan: Plan, context: RowContext) -> dict[str, Waveform]:
    """Utterance id → what the submission made of it; of no samples where it gave nothing finite.

    Raises:
        PluginError: it gave nothing finite for any utterance.
    """
    make = {"continuation": _continued, "resampled": _resampled, "text": _spoken}[mode]
    found: dict[str, Waveform] = {}
    problems: list[PluginError] = []

    def attempt(picked: Sequence[int]) -> None:
        try:
            made = make(submission, plan, picked, context)
            found.update(_decoded(made, plan, picked, mode, context))
        except PluginError as error:
            problems.append(error)
            if len(picked) > 1:
                # of a batch that failed the others may well be sound
                for one in picked:
                    attempt([one])

    batches = torch.arange(len(plan.latents)).split(BATCH if mode == "continuation" else 1)
    with context.track(mode, batches) as each:
        for batch in each:
            attempt(batch.tolist())
    if problems and not found:
        raise problems[0]
    nothing = quantised([], mode)
    return {name: found.get(name, nothing) for name in plan.ids}


def _continued(submission: CanRollout, plan: Plan, picked: Sequence[int], context: RowContext) -> list[Tensor]:
    prompts = torch.stack([plan.latents[i].x[: plan.prompt] for i in picked]).to(context.device)
    generator = context.generator("continuation", picked[0])
    return [x.cpu() for x in submission.rollout(prompts, plan.ahead, 1, generator)[:, 0]]


def _resampled(submission: Reconstructs, plan: Plan, picked: Sequence[int], context: RowContext) -> list[Tensor]:
    (one,) = picked
    x = plan.latents[one].x[None].to(context.device)
    return [submission.reconstruct(x, "prior", context.generator("resampled", plan.latents[one].id))[0].cpu()]


def _spoken(submission: Any, plan: Plan, picked: Sequence[int], context: RowContext) -> list[Tensor]:
    (one,) = picked
    utterance, generator = plan.latents[one], context.generator("text", plan.latents[one].id)
    text, reference = plan.spoken[one].text or "", plan.references[one].to(context.device)
    made = submission.speak([text], [reference], plan.capped[utterance.id], generator)
    return [x.cpu() for x in made]


def _decoded(
    made: Sequence[Tensor], plan: Plan, picked: Sequence[int], mode: Mode, context: RowContext
) -> dict[str, Waveform]:
    out = {}
    for i, x in zip(picked, made, strict=True):
        past = plan.latents[i].x[: plan.prompt] if mode == "continuation" else x[:0]
        out[plan.latents[i].id] = decoded(context, past, x, mode)
    return out


@torch.no_grad()
def decoded(context: RowContext, past: Tensor, x: Tensor, who: str) -> Waveform:
    """What is heard of latents x (T, D) after `past` (P, D): (T · hop,) int16.

    Raises:
        PluginError: the decoder gives another shape, or NaN.
    """
    codec, whole = context.codec, torch.cat([past, x])[None]
    audio = codec.decode(whole.to(context.device))
    expected = (1, 1, whole.shape[1] * codec.info.hop)
    if tuple(audio.shape) != expected:
        raise PluginError(f"{codec.info.name}: decode must return audio {expected}, got {tuple(audio.shape)}")
    return quantised(audio[0, 0, len(past) * codec.info.hop :].cpu().numpy(), who)


# --- what they are held against ----------------------------------------------------------------------------


def truth(mode: Mode, route: Route, plan: Plan, context: RowContext) -> dict[str, Waveform]:
    """Utterance id → waveform: the recording itself, what the codec makes of it, or of training frames without order.

    Of a continuation the part after the prompt, otherwise the whole utterance.
    """
    info, out = context.codec.info, dict[str, Waveform]()
    skip = plan.prompt if mode == "continuation" else 0
    frames = torch.cat([u.x for u in context.latents("train")]) if route == "marginal" else None
    with context.track(f"{route} of {mode}", plan.latents) as each:
        for one, spoken in zip(each, plan.spoken, strict=True):
            end = plan.prompt + plan.ahead if mode == "continuation" else len(one.x)
            if route == "original":
                audio = context.dataset.audio(spoken, info.sample_rate)
                out[one.id] = quantised(audio[skip * info.hop : end * info.hop], "dataset")
                continue
            x = one.x[skip:end]
            if frames is not None:
                drawn = torch.randint(len(frames), (len(x),), generator=context.generator("marginal", mode, one.id))
                x = frames[drawn]
            out[one.id] = decoded(context, one.x[:skip], x, route)
    return out
