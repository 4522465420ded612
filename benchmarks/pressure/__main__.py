"""Does quantisation pressure make latents more predictable? The whole experiment, or its document alone.

    python -m benchmarks.pressure --librispeech DIR --work DIR
    python -m benchmarks.pressure --report

The first trains and measures what is not in DIR yet and writes docs/rate_distortion.json; both then draw the figure and
fill the tables of docs/rate_distortion.md from it. A killed run goes on where it
stopped. A variant takes about six minutes on one slow core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.errors import BenchError
from bench.progress import Bar
from benchmarks.pressure import document, figure
from benchmarks.pressure.summary import Results

DOCS = Path(__file__).parents[2] / "docs"


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--librispeech", type=Path, help="folder of SPEAKER-CHAPTER-NUMBER.flac")
    parser.add_argument("--work", type=Path, help="weights and measurements are kept here")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--variants", nargs="+", default=[], help="these alone; default: all")
    parser.add_argument("--replicated", nargs="+", default=[], help="of them, these at further seeds; default: all")
    parser.add_argument("--json", type=Path, default=DOCS / "rate_distortion.json")
    parser.add_argument("--report", action="store_true", help="document and figure from --json, nothing else")
    parser.add_argument("--no-report", action="store_true", help="measure and write --json alone")
    given = parser.parse_args(arguments)
    try:
        if not given.report:
            if given.librispeech is None or given.work is None:
                parser.error("--librispeech and --work are needed, or --report")
            with Bar() as bar:
                _measure(given, bar)
        if not given.no_report:
            results = Results.read(given.json)
            figure.draw(results, DOCS / "figures" / "rate_distortion.svg")
            document.write(results, DOCS / "rate_distortion.md")
    except BenchError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from None


def _measure(given: argparse.Namespace, bar: Bar) -> None:
    # the report needs no torch
    import torch

    from bench.cache import Cache
    from benchmarks.pressure.corpora import corpora, training_data, training_digest
    from benchmarks.pressure.experiment import Settings, run
    from benchmarks.pressure.train import VARIANTS, Budget

    torch.set_num_threads(1)
    found = corpora(given.librispeech, bar.update)
    read, data = training_data(given.librispeech, given.work), training_digest(found)
    names = given.variants or list(VARIANTS)
    # a whole seed before the next
    which = [(name, given.seeds[0]) for name in names]
    which += [(name, seed) for seed in given.seeds[1:] for name in given.replicated or names]
    run(found, read, data, which, Budget(), Settings(), Cache(given.work), given.json, bar)


if __name__ == "__main__":
    main()
