"""How often the regression gate cries wolf, and how often it sees a planted worsening.

    python benchmarks/gate.py --write docs/gate_evidence.md

A change is simulated on a committed row that was also made under a second seed. Every utterance gets the difference
that the two seeds show on some utterance, the same for all columns of a task's set, so that tails and correlations are
those of the real values; their means are taken away. To that comes a shift of each column, Gaussian with √2 times a
standard deviation over seeds and the correlation that the columns' differences have. The standard deviations are drawn
for each change, from what the shipped card leaves open of them: σ² = s² df / χ²(df). The check is the real one, and it
does not know the truth: for each change its card of noise is measured anew, from as many simulated replicates as the
shipped one has.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import beta, binom

from bench.markers import replace_block
from bench.progress import Bar
from bench.record import Record
from leaderboard.gate.change import Change, Outcome
from leaderboard.gate.judge import compare
from leaderboard.gate.margins import FALSE_ALARMS, POWER, Seeds
from leaderboard.gate.noise import ColumnNoise, Measured, NoiseCard, file_of, read, steadied
from leaderboard.shown import factor
from leaderboard.store import committed_folder, read_rows

SUITE = "mini"
FAMILIES = ("raw_ar_v1", "rvq_ar_v1", "calm_v1", "rssm_v1", "engram_v1")
CHANGES = 500
LIMIT = 0.99
SEED = 1
"""Other draws than those on which the limit of `leaderboard.gate.moderated` was chosen (0)."""
FEW = 0.1
"""Share of utterances below which a resample may hold no trace of what differs: no t test is of use there."""
Column = tuple[str, str]


@dataclass(frozen=True)
class Template:
    """A committed row, the differences that another seed makes, and what is known of its columns' noise.

    `differences`: column → (utterances,), centred. `noise`: column → its line of the shipped card; `seeds`: the same,
    steadied. `root`: (columns, columns), a root of the shifts' correlation.
    """

    row: Record
    columns: Sequence[Column]
    differences: dict[Column, np.ndarray]
    noise: dict[Column, ColumnNoise]
    seeds: dict[Column, Seeds]
    root: np.ndarray


def template(row: Record, again: Record, card: NoiseCard) -> Template:
    """A row and the same recipe under another seed."""
    used = steadied(card)
    differences, noise, seeds = dict[Column, np.ndarray](), dict[Column, ColumnNoise](), dict[Column, Seeds]()
    for measured in card.columns:
        at = (measured.task, measured.column)
        before, after = (
            r.tasks[measured.task].columns.get(measured.column) if measured.task in r.tasks else None
            for r in (row, again)
        )
        if before is None or after is None or before.column.margin is None:
            continue
        moved = np.array([after.values[u] - before.values[u] for u in sorted(before.values)])
        differences[at] = moved - moved.mean()
        noise[at], seeds[at] = measured, used[(measured.dataset, measured.codec, *at)]
    columns = list(differences)
    return Template(row, columns, differences, noise, seeds, _root(columns, differences))


def _root(columns: Sequence[Column], differences: dict[Column, np.ndarray]) -> np.ndarray:
    """A root of the correlation of the columns that have all utterances; the others are independent."""
    most = max(len(d) for d in differences.values())
    out = np.eye(len(columns))
    whole = [i for i, c in enumerate(columns) if len(differences[c]) == most and differences[c].std() > 0]
    found = np.corrcoef(np.array([differences[columns[i]] for i in whole]))
    values, vectors = np.linalg.eigh(found)
    out[np.ix_(whole, whole)] = vectors * np.sqrt(np.clip(values, 0.0, None))
    return out


@dataclass(frozen=True)
class Drawn:
    """One simulated change: σ of every column, what every value moves by, and the card that the check is given."""

    truth: dict[Column, float]
    moves: dict[Column, np.ndarray]
    card: NoiseCard


def draw(of: Template, rng: np.random.Generator, seeds: bool = True) -> Drawn:
    """Noise alone. Without `seeds` only the scorer ran: no shift, no card is asked for, and a column in which hardly
    an utterance differs does not move at all."""
    picked = {n: rng.integers(n, size=n) for n in sorted({len(d) for d in of.differences.values()})}
    truth = {c: s.sd * float(np.sqrt(s.df / rng.chisquare(s.df))) for c, s in of.seeds.items()}
    most = max(c.df for c in of.noise.values())
    # the first shift is the change's, the others the replicates'
    shifts = rng.normal(size=(most + 1, len(of.columns))) @ of.root.T * np.sqrt(2.0)
    shifts *= np.array([truth[c] for c in of.columns])
    moves, columns = {}, []
    for i, c in enumerate(of.columns):
        moves[c] = of.differences[c][picked[len(of.differences[c])]] + (shifts[0, i] if seeds else 0.0)
        if not seeds and moving(of.differences[c]) < FEW:
            moves[c] = np.zeros_like(moves[c])
        again = shifts[1 : 1 + of.noise[c].df, i]
        columns.append(of.noise[c].model_copy(update={"sd": float(np.sqrt(np.mean(again**2) / 2))}))
    return Drawn(truth, moves, NoiseCard(suite=SUITE, records=(), columns=tuple(columns)))


def moving(differences: np.ndarray) -> float:
    """The share of utterances whose difference is not the usual one."""
    return float(np.mean(np.abs(differences - np.median(differences)) > 1e-12))


def checked(of: Template, drawn: Drawn, worse: dict[Column, float] | None = None, seeds: bool = True) -> Outcome:
    """The gate's outcome on that change. `worse`: column → a worsening in its own unit on top."""
    tasks = dict(of.row.tasks)
    for (task, name), moves in drawn.moves.items():
        old = of.row.tasks[task].columns[name]
        values = np.array([old.values[u] for u in sorted(old.values)])
        amount = (worse or {}).get((task, name), 0.0)
        if old.column.better == "one":
            mean = float(np.average(values + moves))
            amount *= 1.0 if mean > 1.0 else -1.0
        elif old.column.better == "higher":
            amount = -amount
        moved = dict(zip(sorted(old.values), (values + moves + amount).tolist(), strict=True))
        columns = tasks[task].columns | {name: old.model_copy(update={"values": moved})}
        digest = tasks[task].scorer_digest if seeds else "another scorer"
        tasks[task] = tasks[task].model_copy(update={"columns": columns, "scorer_digest": digest})
    weights = of.row.submission.model_copy(update={"weights_digest": "other weights"}) if seeds else of.row.submission
    fresh = of.row.model_copy(update={"tasks": tasks, "submission": weights})
    # values that noise carries beyond what is possible are no finding here
    return compare([of.row], [fresh], Measured({SUITE: drawn.card}), rules=())


def margins(of: Template) -> dict[Column, float]:
    """Every column worse by exactly what is tolerated."""
    return {(t, c): of.row.tasks[t].columns[c].column.margin or 0.0 for t, c in of.columns}


@dataclass
class Tally:
    """Of how many changes, how many were called a regression, or how many planted ones were found."""

    changes: int = 0
    hits: int = 0

    def add(self, hit: bool) -> None:
        self.changes += 1
        self.hits += hit

    @property
    def interval(self) -> tuple[float, float]:
        """Clopper and Pearson's 95 % interval of the rate."""
        k, n = self.hits, self.changes
        return float(beta.ppf(0.025, k, n - k + 1)) if k else 0.0, float(
            beta.ppf(0.975, k + 1, n - k)
        ) if k < n else 1.0


NAMES = {
    "noise": "made again, nothing worse: any regression",
    "margin": "made again, every column worse by exactly its margin: any regression",
    "scorer": "only the scorer ran, every column worse by exactly its margin: any regression",
    "once": "one column worse by what is detectable: found",
    "twice": "one column worse by twice that: found",
}


def templates(families: Sequence[str] = FAMILIES, tasks: Sequence[str] = ()) -> list[Template]:
    """The committed rows of the families, with their replicates; of these tasks alone, where any are named."""
    rows = {r.submission.name: r for r in read_rows(committed_folder()) if r.suite == SUITE}
    if tasks:
        rows = {n: r.model_copy(update={"tasks": {t: r.tasks[t] for t in tasks}}) for n, r in rows.items()}
    path = file_of(SUITE)
    assert path is not None
    return [template(rows[name], rows[f"{name}@seed1"], read(path)) for name in families]


def simulate(
    found: Sequence[Template], changes: int, seed: int = SEED, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, Tally]:
    """Tallies of `changes` changes of each kind, rows in turn."""
    out = {name: Tally() for name in NAMES}
    for i in range(changes):
        of, rng = found[i % len(found)], np.random.default_rng((seed, i))
        drawn = draw(of, rng)
        noise = checked(of, drawn)
        out["noise"].add(bool(noise.regressed))
        out["margin"].add(bool(checked(of, drawn, margins(of)).regressed))
        scorer = draw(of, rng, seeds=False)
        out["scorer"].add(bool(checked(of, scorer, margins(of), seeds=False).regressed))
        judged = [c for c in noise.changes if c.detectable]
        planted = judged[int(rng.integers(len(judged)))]
        for name, times in (("once", 1.0), ("twice", 2.0)):
            worse = {(planted.task, planted.column): times * _own_unit(of, planted)}
            found_again = checked(of, drawn, worse).regressed
            out[name].add(any((c.task, c.column) == (planted.task, planted.column) for c in found_again))
        if progress:
            progress("simulated changes", i + 1, changes)
    return out


def _own_unit(of: Template, change: Change) -> float:
    assert change.card and change.detectable is not None
    return change.detectable / factor(change.card, of.row.codec.frame_rate)


def table(found: dict[str, Tally], columns: int) -> str:
    """The figures, as they stand in the page."""
    lines = ["| simulated | changes | of these | rate | 95 % interval |", "|---|---:|---:|---:|---|"]
    for name, said in NAMES.items():
        tally = found[name]
        low, high = tally.interval
        rate = f"{100 * tally.hits / tally.changes:.1f} %"
        lines.append(f"| {said} | {tally.changes} | {tally.hits} | {rate} | [{100 * low:.1f} %, {100 * high:.1f} %] |")
    changes = found["noise"].changes
    most = int(binom.ppf(LIMIT, changes, FALSE_ALARMS))
    return "\n".join(
        [
            *lines,
            "",
            f"Rows in turn: {', '.join(FAMILIES)}; {columns} columns with a margin in all. "
            f"A rate of {100 * FALSE_ALARMS:g} % allows {most} false alarms among {changes} "
            f"changes (binomial, {100 * LIMIT:g} %). "
            f"What is detectable is what the check itself states, for a power of {100 * POWER:g} %.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the regression gate's false alarms and power.")
    parser.add_argument("--changes", type=int, default=CHANGES)
    parser.add_argument("--write", type=Path, help="write between the evidence markers of this file")
    given = parser.parse_args()
    found = templates()
    with Bar() as bar:
        text = table(simulate(found, given.changes, progress=bar.update), sum(len(t.columns) for t in found))
    if given.write:
        replace_block(given.write, "evidence", text)
    else:
        print(text)


if __name__ == "__main__":
    main()
