"""Training curves of committed records whose fits are still in the cache; no record is touched and nothing is scored.

`bench run` leaves curves by itself; this is for records that are older than that:

    python scripts/recover_curves.py leaderboard/records
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import curves
from bench.cache import default_root
from bench.record import read_folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("records", type=Path)
    parser.add_argument("--cache", type=Path, default=default_root())
    given = parser.parse_args()
    records = read_folder(given.records)
    made = curves.from_cache(records, given.cache, given.records / curves.FOLDER)
    for record in records:
        print(f"{record.filename}: {'written' if record.filename in made else 'no fit in the cache, or no history'}")


if __name__ == "__main__":
    main()
