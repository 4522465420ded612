"""The codec's own way to a waveform and back, as `reconstruction` measures it, where there is no submission."""

from __future__ import annotations

from collections.abc import Sequence

from bench.contract import Context, Score, Skipped, Submission
from bench.metrics.fidelity import METRICS, fingerprint
from bench.workers import pool
from tasks.reconstruction import Config, _columns, _items, _measured, _skips


def resynthesis(submission: Submission, context: Context, open_wer_minutes: float) -> Sequence[Score | Skipped]:
    """Columns `codec_<metric>`, cached for the codec.

    Args:
        submission: of the row; it is not asked.
        open_wer_minutes: audio that the general-language recogniser hears; 0 for none.

    Raises:
        DataError: the test split is empty.
        PluginError: decoded audio of the wrong shape, or not finite.
    """
    config = Config(open_wer_minutes)
    items = _items(context, config)
    key = {
        "codec": [item.utterance.id for item in items],
        "open": [item.utterance.id for item in items if item.open_words],
        "metrics": fingerprint(),
    }
    with pool() as executor:
        found = context.cached_json(key, lambda: _measured("codec", items, submission, context, executor))
    context.note("metrics", {**fingerprint(), "columns": list(METRICS), "open_wer_utterances": len(key["open"])})
    return list(_columns("codec", found, _skips(context, config, items)))
