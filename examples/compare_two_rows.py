"""Two committed rows side by side: a pandas frame of their values, and the paired difference with its interval.

A script in percent format: Jupyter (by jupytext), VS Code and PyCharm open it as a notebook, Python runs it as it is.
"""

# %% The rows that ship with LatentBench, by name. Another folder: load_records("records").
from bench import load_records

rows = {record.submission.name: record for record in load_records() if record.suite == "mini"}
first, second = rows["calm_v1"], rows["rssm_v1"]

# %% One line an utterance, in the units of the tables. pip install 'latentbench[data]'
from leaderboard.export import values  # noqa: E402

frame = values([first, second]).to_pandas()
gains = frame[(frame.task == "delta_nll") & frame.column.isin([f"gain_{ms}ms" for ms in (80, 160, 320, 640)])]
means = (
    gains.assign(total=gains.value * gains.weight)
    .groupby(["name", "submission"])[["total", "weight"]]
    .sum()
    .eval("total / weight")
    .unstack()
)
print(means.round(1).to_string())

# %% The same utterances under both rows: the difference, its 95 % interval, and whether the utterances can tell.
from leaderboard.compare import covers_zero, difference  # noqa: E402
from leaderboard.shown import bounds, factor, number, scaled, unit  # noqa: E402

speakers = {utterance: entry.speaker for utterance, entry in second.dataset.utterances.items()}
for column, given in second.tasks["delta_nll"].columns.items():
    if column in set(gains.column):
        card = given.column
        change = difference(card, first.tasks["delta_nll"].columns[column], given, speakers)
        change = scaled(change, factor(card, second.codec.frame_rate))
        tells = "cannot be told apart" if covers_zero(change) else "differ"
        print(
            f"{second.submission.name} − {first.submission.name}: {card.title} "
            f"{number(change.value, card.decimals)} {bounds(change, card.decimals)} {unit(card)} ({tells})"
        )
print(change.label)
