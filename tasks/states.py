"""A submission's exposed states on every utterance, and the same put in the wrong place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bench.contract import Context, LatentUtterance, Represents, Submission


def exposed(
    submission: Submission, context: Context, utterances: Sequence[LatentUtterance], what: str, key: str = "represent"
) -> dict[str, Tensor]:
    """Utterance id → exposed states (T, Dz) on the CPU, each utterance on its own.

    Args:
        what: name for the progress bar.
        key: with the utterance's id it seeds the noise of states that are exposed with theirs.
    """
    assert isinstance(submission, Represents)
    out = {}
    with context.track(what, utterances) as each:
        for u in each:
            z = submission.represent(u.x[None].to(context.device), context.generator(key, u.id))
            out[u.id] = z[0].float().cpu()
    return out


def shuffled(states: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Each utterance gets the states of a random other one, turned by half its length: no true past, no position.

    The other one is of any voice: a neighbour in a sorted list would be of the same, and its states would tell the
    voice, which alone is worth nats.
    """
    ids = list(states)
    order = [ids[int(i)] for i in torch.randperm(len(ids), generator=generator)]
    out = {}
    for i, other in zip(order, order[1:] + order[:1], strict=True):
        z = states[other].roll(len(states[other]) // 2, 0)
        length = len(states[i])
        out[i] = z.repeat(-(-length // len(z)), 1)[:length]
    return out


def permuted(utterances: Sequence[LatentUtterance], generator: torch.Generator) -> list[LatentUtterance]:
    """The same frames in a random order over all utterances: the marginal stays, and nothing is predictable."""
    frames = torch.cat([u.x for u in utterances])
    frames = frames[torch.randperm(len(frames), generator=generator)]
    parts = frames.split([len(u.x) for u in utterances])
    return [LatentUtterance(u.id, u.speaker, x) for u, x in zip(utterances, parts, strict=True)]
