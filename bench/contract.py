"""What a plug-in is: Codec, Dataset, Submission (by capabilities) and Task.

Axes: `B` batch, `C` channel, `N` sample, `T` frame, `D` latent, `Q` codebook, `S` draw. Audio is (B, C, N)
in [-1, 1]; latents are (B, T, D); codes are (B, T, Q). Natural logarithms throughout.

Batches are padded on the right. Everything here is causal, so that padding changes nothing before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from bench.config import TaskCard

Split = Literal["train", "valid", "test"]
Source = Literal["posterior", "prior"]
Likelihood = Literal["exact", "bound", "joint bound"]


# --- datasets ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Utterance:
    """One recording. `text` is its transcript, where there is one."""

    id: str
    speaker: str
    split: Split
    text: str | None = None


class Dataset(Protocol):
    """Audio with speakers and splits.

    Attributes:
        name: as given to `--dataset`.
        digest: sha256 of everything that decides the audio, the texts and the splits.
        refused: file → reason, for what could not be used.
        converted: reason → count, for what was resampled, mixed down or otherwise changed.
        grammar: JSGF file of a closed vocabulary that covers the transcripts, or None.
        speakers_known: False where each utterance stands for its own speaker.

    It may have `notes`: name → what a reader of its numbers should know, such as where its splits come from.

    It is built with the argument of `--dataset NAME:ARGUMENT`, and where it takes keywords of these names with a
    callback `progress(what, done, total)` and the directory `cache`, for what it fetches or converts.
    """

    name: str
    digest: str
    refused: Mapping[str, str]
    converted: Mapping[str, int]
    grammar: Path | None
    speakers_known: bool

    def utterances(self, split: Split) -> Sequence[Utterance]:
        """Utterances of a split, in a fixed order."""
        ...

    def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
        """Mono float32 samples (N,) at `sample_rate`."""
        ...


# --- codecs ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CodecInfo:
    """What a codec states about its latents.

    `lookahead` is how many frames of audio beyond its own a latent has seen (0: causal). `codebooks` holds the
    sizes of the codebooks, first stage first; empty for a codec without codes. `trained` is False for random
    weights, whose rows are never ranked.
    """

    name: str
    sample_rate: int
    hop: int
    dim: int
    lookahead: int = 0
    codebooks: tuple[int, ...] = ()
    weights_digest: str = ""
    trained: bool = True

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.hop


@runtime_checkable
class Codec(Protocol):
    """Audio to continuous latents and back.

    It may state `batches = False`: that utterances side by side are encoded one by one all the same. Without it a
    codec that does not look ahead is given utterances of several lengths in one call, silence filling them up.
    """

    info: CodecInfo

    def to(self, device: torch.device) -> Codec:
        """The same codec on `device`."""
        ...

    def encode(self, audio: Tensor) -> Tensor:
        """Audio (B, 1, N) → latents (B, ceil(N / hop), D), float32."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, T, D) → audio (B, 1, T · hop), float32."""
        ...


@runtime_checkable
class HasCodes(Protocol):
    """A codec with a discrete view of its latents."""

    def codes(self, latents: Tensor) -> Tensor:
        """Latents (B, T, D) → codes (B, T, Q), int64."""
        ...

    def from_codes(self, codes: Tensor) -> Tensor:
        """Codes (B, T, Q') of the first Q' ≤ Q stages → latents (B, T, D)."""
        ...


# --- submissions -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LatentUtterance:
    """Latents `x` (T, D) of one utterance."""

    id: str
    speaker: str
    x: Tensor


class Checkpoint(Protocol):
    """Where a fit keeps its progress. A run that was killed finds the last state again."""

    def load(self) -> dict[str, Any] | None:
        """The last state saved, or None."""
        ...

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the state, atomically."""
        ...


def unheard(step: int, values: Mapping[str, float]) -> None:
    """Scalars that nobody listens to."""
    del step, values


@dataclass(frozen=True)
class FitContext:
    """What `fit` may use beside the latents."""

    codec: CodecInfo
    device: torch.device
    seed: int
    checkpoint: Checkpoint
    progress: Callable[[str, int, int], None]
    """Called with (what, done, total)."""
    scalars: Callable[[int, Mapping[str, float]], None] = unheard
    """Called with a step and what was measured at it, by name: losses, gradient norms, rates."""
    decoder: Codec | None = None
    """The codec of `codec`, for losses of what is heard; its `decode` need not pass gradients on."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """Utterance id → transcript, of the training and validation utterances that have one."""


class Submission(Protocol):
    """A model of latents. Built with its card's parameters as keyword arguments.

    Beside these two methods it offers any of the capabilities below; a task that needs one that is missing is
    skipped with a reason.
    """

    def fit(
        self,
        train: Sequence[LatentUtterance],
        valid: Sequence[LatentUtterance],
        context: FitContext,
    ) -> None:
        """Train. The test split is never given.

        Raises:
            bench.errors.Diverged: a loss that is no longer finite.
        """
        ...

    def state(self) -> dict[str, Tensor]:
        """Everything that `fit` made, as tensors. Those whose names begin with `history.` are no parameters."""
        ...

    def load_state(self, state: Mapping[str, Tensor], codec: CodecInfo, device: torch.device) -> None:
        """Become the fitted submission that `state` came from."""
        ...


@runtime_checkable
class Represents(Protocol):
    """Exposes a state."""

    def represent(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Latents (B, T, D) → states (B, T, Dz); state t has seen x_≤t and nothing later.

        A state that pays for its precision by a noisy posterior is exposed with that noise, drawn from
        `generator`: its mean would say more than was paid for.
        """
        ...


@runtime_checkable
class HasLogProb(Protocol):
    """Has a density over the codec's latents.

    `likelihood` says what `log_prob` is: "exact"; a per-frame lower "bound"; or a "joint bound", whose sum
    over an utterance bounds log p(x_1:T) while its single terms bound nothing.
    """

    likelihood: Likelihood

    def log_prob(self, context: Tensor, target: Tensor, generator: torch.Generator) -> Tensor:
        """log p(target_t | context_<t) in nats, in the units of x: two (B, T, D) → (B, T).

        Teacher forcing is `target = context = x`; a rollout is scored by putting its frames into `context`
        and the true ones into `target`.
        """
        ...


@runtime_checkable
class CanRollout(Protocol):
    """Continues latents."""

    def rollout(
        self, prompt: Tensor, frames: int, draws: int, generator: torch.Generator, mean: bool = False
    ) -> Tensor:
        """Prompt (B, T, D), T ≥ 1 → continuations (B, S, frames, D); `mean` feeds back means, not samples."""
        ...


@dataclass(frozen=True)
class InnovationRate:
    """What the posterior adds over the prior, raw and unclamped, in nats per frame, each (B, T)."""

    kl_rec: Tensor
    kl_dyn: Tensor
    kl_rec_by_dim: Tensor
    """(B, T, dim of z_rec)."""


@runtime_checkable
class HasInnovation(Protocol):
    """Separates what is predicted from what each frame adds."""

    def innovation(self, x: Tensor, generator: torch.Generator) -> InnovationRate:
        """Latents (B, T, D) → the rate of the innovation channel, at states drawn from their posterior."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Gives x back from its own variables, with the innovation from the posterior or from the prior.

    With "prior", frame t is a sample given the true past, x_<t or the true state: for an autoregressive
    model a teacher-forced one-step sample.
    """

    def reconstruct(self, x: Tensor, source: Source, generator: torch.Generator) -> Tensor:
        """Latents (B, T, D) → latents (B, T, D)."""
        ...


@runtime_checkable
class ReconstructsFrom(Protocol):
    """Gives x back with its predictable state replaced by another, so that what the state carries can be told."""

    def reconstruct_from(self, x: Tensor, states: Tensor, generator: torch.Generator) -> Tensor:
        """Latents (B, T, D) → latents (B, T, D), the innovation from the posterior given x and `states`.

        `states` (B, T, Dz) are what `represent` gave, of this or of another utterance.
        """
        ...


@runtime_checkable
class Generates(Protocol):
    """Makes latents from nothing."""

    def generate(self, frames: int, draws: int, generator: torch.Generator) -> Tensor:
        """→ latents (S, frames, D)."""
        ...


@runtime_checkable
class Speaks(Protocol):
    """Says a text in the voice of a recording: zero-shot, the voice need not have been heard in training."""

    def speak(
        self, texts: Sequence[str], references: Sequence[Tensor], frames: int, generator: torch.Generator
    ) -> list[Tensor]:
        """One utterance a text, whichever others are asked for beside it.

        Args:
            texts: B transcripts, as a dataset gives them.
            references: B latents (T, D), T ≥ 1, of another utterance of each wanted speaker.
            frames: at most as many; a model that never stops gives exactly these, at least 1.

        Returns:
            B latents (T, D), 1 ≤ T ≤ `frames`.

        Raises:
            bench.errors.DataError: not one reference a text, or a text with nothing to say.
        """
        ...


@runtime_checkable
class ReadsCodes(Protocol):
    """Works on a codec's codes: it is given the codec before `fit` and before `load_state`."""

    def read_codes(self, codec: HasCodes) -> None:
        """Keep the codec; a run on one without codes is refused before this."""
        ...


@runtime_checkable
class HasCodeLogProb(Protocol):
    """Has probabilities of the codec's codes."""

    def code_log_prob(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """Latents (B, T, D) → ln p(code of stage q at t | codes before it) in nats, (B, T, Q).

        Frame t sees the codes of frames < t and, where the model says so, of earlier stages of its own.
        """
        ...


@dataclass(frozen=True)
class TrainingHistory:
    """What a fit went through: `loss` and `grad_norm` (before clipping) of every step, each (n,); validation losses
    `valid_loss` after the steps `valid_step`, each (m,)."""

    loss: Tensor
    grad_norm: Tensor
    valid_step: Tensor
    valid_loss: Tensor


@runtime_checkable
class HasHistory(Protocol):
    """Remembers its fit."""

    def history(self) -> TrainingHistory:
        """Of the fit that made it."""
        ...


@runtime_checkable
class Refits(Protocol):
    """Can be fitted again otherwise."""

    def unfitted(self, replicate: int, noise: float | None = None) -> Submission:
        """The same model with nothing learned.

        Args:
            replicate: 0 for the seeds of the original, n > 0 for others.
            noise: standard deviation of the noise on its inputs in training, in whitened units; None: its own.
        """
        ...


CAPABILITIES: dict[str, type] = {
    "represent": Represents,
    "log_prob": HasLogProb,
    "rollout": CanRollout,
    "innovation": HasInnovation,
    "reconstruct": Reconstructs,
    "reconstruct_from": ReconstructsFrom,
    "generate": Generates,
    "speak": Speaks,
    "code_log_prob": HasCodeLogProb,
    "history": HasHistory,
    "unfitted": Refits,
}
"""The names that a task card's `needs` may use."""


# --- tasks -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """One column of a task: raw values per utterance; aggregates are recomputed from them.

    Attributes:
        column: a column that the task's card declares.
        values: utterance id → value, in the column's unit.
        weights: utterance id → weight of its value in the mean (frames, words); None for equal weights.
        unscored: utterance id → why it has no value.
    """

    column: str
    values: Mapping[str, float]
    weights: Mapping[str, float] | None = None
    unscored: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Skipped:
    """A task or column without a value, and why. Never a score."""

    reason: str
    column: str | None = None


class Context(Protocol):
    """What a task may use. One is made for each task of a run.

    Attributes:
        codec, dataset: the pair the row is for.
        device: where tensors go.
        parameters: the task card's parameters with the suite's laid over them.
    """

    codec: Codec
    dataset: Dataset
    device: torch.device
    parameters: Mapping[str, Any]

    def latents(self, split: Split) -> Sequence[LatentUtterance]:
        """Cached latents of a split; x on the CPU."""
        ...

    def generator(self, *keys: str | int) -> torch.Generator:
        """A CPU generator derived from the root seed, the task's name and `keys`."""
        ...

    def cached_json(self, key: Mapping[str, Any], make: Callable[[], Any]) -> Any:
        """JSON value of `make`, kept under `key` and the code, codec and dataset; shared by submissions."""
        ...

    def cached_tensors(self, key: Mapping[str, Any], make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
        """The same for a dictionary of tensors."""
        ...

    def track(self, what: str, items: Sequence[Any]) -> AbstractContextManager[Iterator[Any]]:
        """Iterate over `items` under the run's progress bar."""
        ...

    def progress(self, what: str, done: int, total: int) -> None:
        """Move the run's progress bar."""
        ...

    def note(self, key: str, value: Any) -> None:
        """Put a JSON value beside the scores into the record (loss curves, R², settings as resolved)."""
        ...


class RowContext(Context, Protocol):
    """What a task of a row may use beyond that: its own outputs, kept, and the fitted model under other settings.

    Attributes:
        knobs: parameter, dotted as in `head.steps` → values that the card names for a sweep; of generation alone, so
            that nothing has to be fitted again.
    """

    knobs: Mapping[str, Sequence[Any]]

    def outputs(
        self, mode: str, key: Mapping[str, Any], make: Callable[[], Mapping[str, Tensor]]
    ) -> Mapping[str, Tensor]:
        """Utterance id → waveform (N,) int16 of `make`, kept for this row under `mode`, `key`, and what fitted it.

        The scorer's code is no part of the key, so that what was generated once can be scored again by another; `key`
        names whatever decides the waveforms.
        """
        ...

    def keep(self, waveforms: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Mode → utterance id → waveform (N,) int16, to lie beside the record for listeners."""
        ...

    def parts(self, submission: Any) -> Mapping[str, Sequence[torch.nn.Module]]:
        """Part → modules of the submission, as its card's `parts` name them; empty where it names none."""
        ...

    def variant(self, settings: Mapping[str, Any]) -> Any:
        """The fitted submission with other parameters, dotted as in `head.steps`; nothing is fitted again."""
        ...


class Task(Protocol):
    """One question. Its card, `<module>.toml` beside the module, declares everything but the code."""

    card: ClassVar[TaskCard]

    def score(self, submission: Submission, context: Context) -> Sequence[Score | Skipped]:
        """Answer the question for a fitted submission."""
        ...


def missing_capability(submission: object, needs: Sequence[str]) -> str | None:
    """The first capability of `needs` that `submission` lacks, or None."""
    for name in needs:
        if not isinstance(submission, CAPABILITIES[name]):
            return name
    return None
