"""What the pool of processes is worth in scoring, and what the cache is: `benchmarks.scoring` says how.

    python -m benchmarks.score --write docs/scoring_speed.md

A worker process imports the module that was run. This one loads nothing, as the command `bench` does not, so that a
process has settled its number of threads before numpy is there: otherwise its linear algebra takes all cores.
"""

import argparse
import tempfile
from pathlib import Path

PAIRS = 100


def main() -> None:
    from bench.markers import replace_block
    from benchmarks.scoring import measured

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--write", type=Path, help="file with the markers <!-- score:start --> and :end")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        text = measured(args.pairs, args.repeats, Path(folder))
    print(text)
    if args.write:
        replace_block(args.write, "score", text)


if __name__ == "__main__":
    main()
