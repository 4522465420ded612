"""How predictable a codec's latents are, and what of the recording they keep: one row a codec and tap.

No model is asked: the state is the latent itself, x_≤t, which is what every autoregressive model of the codec reads.

* `gain_<h>ms`: NLL[null-context twin] − NLL[probe on x_≤t] of the latent h milliseconds on, as `delta_nll` has it.
* `order_<h>ms`: the same above a probe that reads, at every t, a frame drawn at random from those before. What that
  one gains is what an utterance keeps for its whole length, such as the voice and the level; above it is order. Where
  it gains nothing over all frames, having learned its training frames by heart, the twin stands in for it: order is
  never more than the gain.
* direction and magnitude of Δx, cells, the capacity ladder: the tasks `direction`, `clusters` and `ladder`, at the
  parameters that this card lays over theirs. Where the order of frames adds nothing, direction is not 0 but its `null`.
* `effective_rank`: exp of the entropy of the covariance's eigenvalues, of the training frames.
* `pesq`, `stoi`, `mel`, `wer_…`: decode(encode(audio)) against the recording, as `reconstruction` has it.
* `lookahead`: audio beyond its own frame that moves a latent, measured (`tasks/lookahead.py`). A codec that has seen
  more than it states is refused: its horizons would not be what they say.

A codec with more in its latents has more to predict, and bit/s are unbounded for a continuous latent: the gain says how
much of the next frame is told, never how much is left. So no column ranks, and gains are read beside fidelity.

Every target is dithered with the same share of its standard deviation, so that taps with and without a quantiser
answer one question, I(x_≤t; x_{t+k} + σ_n n), and none gains without bound for taking few values. A frame rate
that makes a horizon no whole number of frames (86.13 Hz) takes the nearest number, and a note says what it is.

A probe of wide latents is starved of data sooner than one of narrow ones: every gain is a lower bound, and the note
`half_data_nats` says what half the training utterances give. Gains of codecs of unlike width compare only as far as
the two agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from bench.config import TaskCard, parameters, task_card
from bench.contract import Context, LatentUtterance, Score, Skipped, Split, Submission
from bench.errors import DataError, PluginError
from bench.metrics.spectrum import effective_rank
from tasks.clusters import Clusters
from tasks.columns import scored
from tasks.direction import Direction
from tasks.ladder import Ladder
from tasks.lookahead import CUTS, Ahead, measured_ahead
from tasks.parts import Part, chosen
from tasks.probes.probe import ProbeConfig, Reader
from tasks.probes.together import Fit, fit_probes
from tasks.resynthesis import resynthesis
from tasks.states import exposed
from tasks.targets import SPLITS, Targets, targets

PARTS: Mapping[str, type[Direction | Clusters | Ladder]] = {
    "direction": Direction,
    "clusters": Clusters,
    "ladder": Ladder,
}
RENAMED = {"codec_pesq": "pesq", "codec_stoi": "stoi", "codec_mel": "mel",
           "codec_wer_open": "wer_open", "codec_wer_closed": "wer_closed"}  # fmt: skip
"""Column of `reconstruction` → column here."""
States = Mapping[Split, Mapping[str, Tensor]]


class CodecPredictability:
    """Task plug-in `codec_predictability`."""

    card: ClassVar[TaskCard] = task_card(__file__)

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """Needs `represent`, of a submission that exposes x.

        Raises:
            DataError: latents without extent, splits that are too short, or a codec that sees more than it states.
            PluginError: a submission that exposes anything but x.
        """
        out = [self._lookahead(context), *self.on_latents(submission, context)]
        found = resynthesis(submission, context, float(context.parameters["open_wer_minutes"]))
        for score in chosen(found, list(RENAMED)):
            name = RENAMED[str(score.column)]
            out.append(
                Skipped(score.reason, name)
                if isinstance(score, Skipped)
                else Score(name, score.values, score.weights, score.unscored)
            )
        return out

    def on_latents(self, submission: Submission, context: Context) -> list[Score | Skipped]:
        """All columns that need no audio."""
        states: States = {s: exposed(submission, context, context.latents(s), f"states of {s}") for s in SPLITS}
        for u in context.latents("test"):
            if not torch.equal(states["test"][u.id], u.x):
                raise PluginError("codec_predictability: expected a submission that exposes the codec's own latents")
        out = gains(states, context, self.card.horizons_ms)
        out.append(_rank(context))
        for name, part in PARTS.items():
            out += self._part(name, part(), submission, context)
        return out

    def _part(
        self, name: str, task: Direction | Clusters | Ladder, submission: Submission, context: Context
    ) -> list[Score | Skipped]:
        """The columns that this card takes over from another task, or why that one cannot answer here."""
        known = {column.name for column in task.card.columns}
        columns = [column.name for column in self.card.columns if column.name in known]
        part = Part(context, task.card, context.parameters[name])
        try:
            found = chosen(task.score(submission, part), columns)
        except DataError as error:
            return [Skipped(f"{name}: {error}", column) for column in columns]
        context.note(name, part.notes)
        return found

    def _lookahead(self, context: Context) -> Score | Skipped:
        """Measured on a few test recordings; the most of them is the codec's, and so every utterance's."""
        info, test = context.codec.info, context.latents("test")
        known = {u.id: u for u in context.dataset.utterances("test")}
        long = [u for u in test if len(u.x) > CUTS[0] + 1][: int(context.parameters["lookahead_utterances"])]
        if not long:
            return Skipped(f"no test utterance has more than {CUTS[0] + 1} frames", "lookahead")
        found: list[Ahead] = []
        with context.track("look-ahead", long) as each:
            for u in each:
                audio = torch.from_numpy(context.dataset.audio(known[u.id], info.sample_rate)).float()
                found.append(measured_ahead(context.codec, audio, context.device))
        ahead, whole = max(one.frames for one in found), any(one.whole for one in found)
        if ahead > info.lookahead:
            raise DataError(
                f"codec {info.name}: states a look-ahead of {info.lookahead} frames, and audio {ahead} frames "
                "ahead moves its latents"
            )
        context.note("lookahead_frames", {"stated": info.lookahead, "measured": ahead, "bidirectional": whole})
        if whole:
            context.note("bounds", {"lookahead": "lower"})
        return Score("lookahead", dict.fromkeys((u.id for u in test), 1000 * ahead / info.frame_rate))


def gains(states: States, context: Context, horizons_ms: Sequence[int]) -> list[Score | Skipped]:
    """`gain` and `order` at every horizon."""
    horizons = _horizons(horizons_ms, context)
    found = targets(context, float(context.parameters["dither"]), 1 + max(horizons.values()))
    context.note("flags", found.flags)
    config = parameters(ProbeConfig, context.parameters["probe"], "codec_predictability")
    past: States = {s: _earlier(states[s], context, s) for s in SPLITS}
    train = found.splits["train"]
    jobs = [_job(context, what, given, train) for what, given in (("twin", None), ("frames", states), ("past", past))]
    if context.parameters["half"]:
        jobs.append(_job(context, "half", states, train[::2]))
    fitted = fit_probes(jobs, found.splits["valid"], tuple(horizons.values()), config, context.device, context.progress)
    context.note("probe", fitted[1].note())
    nothing = {u.id: u.x.new_zeros(len(u.x), 0) for u in found.splits["test"]}
    given = (nothing, states["test"], past["test"], states["test"])
    twin, probe, kept, *half = (
        _nll(reader, what, found, horizons, context) for reader, what in zip(fitted, given, strict=False)
    )
    for one in half:
        context.note("half_data_nats", {str(ms): _mean(twin[ms]) - _mean(one[ms]) for ms in horizons})
    out = []
    better = {ms: kept[ms] if _mean(kept[ms]) < _mean(twin[ms]) else twin[ms] for ms in horizons}
    for name, above in (("gain", twin), ("order", better)):
        for ms, k in horizons.items():
            values = {i: float((above[ms][i] - nll).double().mean()) for i, nll in probe[ms].items() if len(nll)}
            out.append(scored(f"{name}_{ms}ms", values, found.splits["test"], k))
    return out


def _horizons(horizons_ms: Sequence[int], context: Context) -> dict[int, int]:
    """Milliseconds → frames ahead, rounded where the frame rate leaves no choice."""
    info = context.codec.info
    frames = {ms: max(1, round(ms * info.frame_rate / 1000)) for ms in horizons_ms}
    context.note("horizons_ms", {str(ms): 1000 * k / info.frame_rate for ms, k in frames.items()})
    return {ms: k + info.lookahead for ms, k in frames.items()}


def _job(context: Context, what: str, states: States | None, train: Sequence[LatentUtterance]) -> Fit:
    known = None if states is None else {**states["train"], **states["valid"]}
    return Fit(f"fit {what}", known, train, context.generator(what).initial_seed() % 2**31)


def _mean(nlls: Mapping[str, Tensor]) -> float:
    return float(torch.cat(list(nlls.values())).double().mean())


@torch.no_grad()
def _nll(
    reader: Reader, states: Mapping[str, Tensor], found: Targets, horizons: Mapping[int, int], context: Context
) -> dict[int, dict[str, Tensor]]:
    """Horizon → utterance → NLL of every frame that has a target."""
    out: dict[int, dict[str, Tensor]] = {ms: {} for ms in horizons}
    for u in found.splits["test"]:
        nlls = reader.nll(states[u.id].to(context.device), u.x.to(context.device))
        for ms, nll in zip(horizons, nlls, strict=True):
            out[ms][u.id] = nll.cpu()
    return out


def _earlier(states: Mapping[str, Tensor], context: Context, split: Split) -> dict[str, Tensor]:
    """At every t a frame drawn from x_<t, at the first one zeros: what an utterance keeps, in no order."""
    out = {}
    for i, x in states.items():
        time = torch.arange(1, len(x))
        drawn = (torch.rand(len(time), generator=context.generator("past", split, i)) * time).long()
        out[i] = torch.cat([x.new_zeros(1, x.shape[1]), x[drawn]])
    return out


def _rank(context: Context) -> Score:
    """One number of the codec on the training frames, and so every utterance's."""
    value = effective_rank(torch.cat([u.x for u in context.latents("train")]))
    test: Sequence[LatentUtterance] = context.latents("test")
    return Score("effective_rank", dict.fromkeys((u.id for u in test), value))
