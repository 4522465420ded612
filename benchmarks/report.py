"""How long the report takes: the site of many records, and until its pages can be used in a browser.

    python benchmarks/report.py [--records 200] [--utterances 50] [--boards 4]

The records are synthetic, with values and intervals of the usual columns and samples of every utterance in four modes,
two of which are the same for all rows. Printed are seconds to build, and of each kind of page the seconds until it
answers a click in headless Chromium, the median of three loads.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import struct
import tempfile
import time
import zlib
from pathlib import Path

import numpy as np

from bench import record as records
from bench.config import ColumnCard
from bench.record import Record
from leaderboard.report.build import build

HORIZONS = (80, 160, 320, 640)
MODES = ("original", "codec", "resampled", "continuation")
PATIENCE = 0.3
"""Seconds after which a click is made again."""
CHROMIUM = "/usr/bin/chromium"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")


def columns() -> dict[str, list[ColumnCard]]:
    """Task → cards: 22 columns, 13 of them headlines, 15 ranked and 2 medians."""
    nats = {"unit": "nats/frame", "shown": "bit/s", "decimals": 1}

    def card(name: str, title: str, better: str = "higher", **more: object) -> ColumnCard:
        base = {"unit": "1", "ranked": True, "headline": True, "help": "What the column is, in a sentence or two."}
        return ColumnCard.model_validate({"name": name, "title": title, "better": better, **base, **more})

    return {
        "delta_nll": [
            *(card(f"gain_{h}ms", f"ΔNLL {h} ms", **nats) for h in HORIZONS),
            *(card(f"own_gain_{h}ms", f"own {h} ms", headline=False, **nats) for h in HORIZONS),
            card("gain_median_80ms", "median 80 ms", "none", ranked=False, headline=False, aggregate="median", **nats),
        ],
        "rollout_gap": [
            *(card(f"gap_{h}ms", f"gap {h} ms", "lower", **nats) for h in HORIZONS),
            card("movement", "movement", "one"),
            card("gap_median", "median gap", "lower", ranked=False, headline=False, aggregate="median", **nats),
        ],
        "reconstruction": [
            card("pesq", "PESQ", unit="MOS-LQO"),
            card("stoi", "STOI", headline=False, decimals=3),
            *(card(f"mel_{k}", f"log-mel {k}", "lower", ranked=False, headline=k == 0) for k in range(3)),
            card("wer", "WER", "lower", unit="share", shown="%"),
            card("rate", "rate", "none", ranked=False, **nats),
        ],
    }


def record(number: int, board: int, utterances: int, rng: np.random.Generator) -> Record:
    """One row with values for every utterance."""
    ids = [f"u{u:04d}" for u in range(utterances)]
    level = 1 + rng.normal(0, 0.1)
    tasks = {}
    for task, cards in columns().items():
        scored = {}
        for card in cards:
            values = dict(zip(ids, rng.normal(level, 0.3, utterances).tolist(), strict=True))
            weights = dict.fromkeys(ids, 40.0) if card.unit == "nats/frame" else None
            scored[card.name] = {"column": card.model_dump(), "values": values, "weights": weights}
        base = {"version": 1, "status": "scored", "scorer_digest": "s" * 64, "parameters": {"steps": 200}}
        tasks[task] = {**base, "columns": scored}
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    raw = {
        "suite": f"suite{board}",
        "suite_digest": "d" * 64,
        "seed": 0,
        "submission": {
            "name": f"model_{number:04d}",
            "title": f"Model {number}",
            "plugin": f"family_{number % 7}",
            "authors": "A. Author, B. Author",
            "paper": "",
            "training_data": "the training split",
            "control": "floor" if number % 20 == 19 else "",
            "parameters": {"width": 192, "fit": {"steps": 500, "lr": 0.004}},
            "code_digest": digest,
            "weights_digest": digest,
            "parameter_count": 700_000,
        },
        "codec": {
            "name": "minicodec",
            "sample_rate": 16000,
            "hop": 1280,
            "dim": 32,
            "lookahead": 0,
            "codebooks": (1024,) * 8,
            "weights_digest": "m" * 64,
            "trained": True,
        },
        "dataset": {
            "name": "synthetic",
            "digest": "a" * 64,
            "split": "test",
            "speakers_known": True,
            "utterances": {
                u: {"speaker": f"s{i % 10}", "frames": 40, "seconds": 3.2, "seen": True} for i, u in enumerate(ids)
            },
            "minutes": {"test": utterances * 3.2 / 60},
        },
        "tasks": tasks,
        "selftest": {"digest": "t" * 64, "preset": "full", "passed": True},
        "stages": {"fit": {"seconds": 100.0, "peak_mib": 500.0, "cached": False}},
        "environment": {
            "latentbench": "0.1.0",
            "commit": "0" * 40,
            "dirty": False,
            "python": "3.11.7",
            "platform": "Linux x86_64",
            "processor": "",
            "threads": 2,
            "device": "cpu",
            "packages": {"numpy": "2"},
        },
        "created": "2026-01-02T03:04:05Z",
        "command": f"bench run --submission model_{number:04d}",
    }
    return Record.model_validate(raw).sealed()


def picture(seed: int, width: int = 320, height: int = 128) -> bytes:
    """A grey PNG of noise under which nothing compresses better than a spectrogram does."""
    pixels = np.random.default_rng(seed).integers(0, 64, (height, width), dtype=np.uint8) & 0xF0
    rows = b"".join(b"\0" + line.tobytes() for line in pixels)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 6)) + chunk(b"IEND", b"")


def samples(made: Record, folder: Path, drawn: list[bytes], number: int) -> None:
    """Clips of every utterance: 30 kB each that look like FLAC, and differ where a row makes them."""
    here = folder / "samples" / made.filename.removesuffix(".json")
    files = {}
    for place, utterance in enumerate(made.dataset.utterances):
        for mode in MODES:
            own = mode not in ("original", "codec")
            (here / mode).mkdir(parents=True, exist_ok=True)
            key = f"{mode} {utterance} {number if own else ''}".encode()
            (here / mode / f"{utterance}.flac").write_bytes(b"fLaC" + hashlib.sha256(key).digest() * 940)
            (here / mode / f"{utterance}.png").write_bytes(drawn[place % len(drawn)] + (key if own else b""))
            entry = {"mode": mode, "utterance": utterance, "sha256": "", "thumbnail": f"{mode}/{utterance}.png"}
            files[f"{mode}/{utterance}.flac"] = entry
    about = {"texts": dict.fromkeys(made.dataset.utterances, "the enormous horse stumbled behind the library")}
    (here / "manifest.json").write_text(json.dumps({"about": about, "sample_rate": 16000, "files": files}))


def interactive(site: Path, page: str, click: str, then: str) -> float:
    """Seconds from the request of a page until a click on `click` has made `then` true."""
    from playwright.sync_api import sync_playwright

    taken = []
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        browser.new_page().goto("about:blank")
        for _ in range(3):
            tab = browser.new_page(viewport={"width": 1280, "height": 900})
            start = time.perf_counter()
            tab.goto((site / page).as_uri(), wait_until="commit")
            tab.locator(click).first.click()
            # the library's own waiting evaluates text in the page, which its policy forbids
            clicked = time.perf_counter()
            while not tab.evaluate(f"Boolean({then})"):
                tab.wait_for_timeout(5)
                if time.perf_counter() - clicked > PATIENCE:
                    # the first click may have come before the page listened
                    tab.locator(click).first.click()
                    clicked = time.perf_counter()
            taken.append(time.perf_counter() - start)
            tab.close()
        browser.close()
    return statistics.median(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--utterances", type=int, default=50)
    parser.add_argument("--boards", type=int, default=4)
    parser.add_argument("--figures", action="store_true", help="with the figures of every board")
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        folder, site = Path(temporary, "records"), Path(temporary, "site")
        folder.mkdir()
        drawn = [picture(seed) for seed in range(8)]
        for number in range(given.records):
            made = record(number, number % given.boards, given.utterances, rng)
            records.write(made, folder)
            samples(made, folder, drawn, number)
        start, worked = time.perf_counter(), time.process_time()
        built = build(site, folder, draw=None if given.figures else lambda board, views, curves: ())
        seconds, worked = time.perf_counter() - start, time.process_time() - worked
        size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) / 2**20
        print(f"{built.rows} rows × {given.utterances} utterances on {built.boards} boards")
        print(f"build: {seconds:.1f} s, of which {worked:.1f} s of processor; {built.pages} pages, {size:.0f} MiB")
        compare = sorted((site / "compare").glob("*.html"))[0].relative_to(site)
        heard = sorted((site / "samples").glob("*.html"))[0].relative_to(site)
        row = sorted((site / "rows").glob("*.html"))[0].relative_to(site)
        sorted_now = "document.querySelector('th[aria-sort=ascending],th[aria-sort=descending]')"
        table = interactive(site, "index.html", "th .sort", sorted_now)
        every = interactive(site, str(compare), "#every", "document.querySelectorAll('#compared tr').length > 20")
        themed = "document.documentElement.dataset.theme"
        print(f"index.html ({(site / 'index.html').stat().st_size / 1e6:.1f} MB): {table:.2f} s until a column sorts")
        print(f"compare: {every:.2f} s until every metric is compared")
        print(f"samples: {interactive(site, str(heard), '#theme', themed):.2f} s until a button answers")
        print(f"row: {interactive(site, str(row), '#theme', themed):.2f} s until a button answers")


if __name__ == "__main__":
    main()
