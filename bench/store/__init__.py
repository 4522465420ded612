"""The latent store: a folder of Arrow files with the latents of a dataset, one row an utterance.

    manifest.json           what it holds, of which codec and dataset, with a sha256 and counts of every file
    train-000000000.arrow   Arrow IPC files of about 64 MiB, named by their split and the first of its utterances
    pending/                ten minutes of audio a file, until there are enough for a shard

Columns: `id`, `speaker`, `split` and `text` (null where there is none), `samples`, `frames`, `latents`, a list of
`frames` lists of D halffloat or float, and, where they were asked for, `codes`, `frames` lists of Q integers.
Nothing is compressed, so that a file is read by mapping it into memory. `pyarrow.ipc.open_file` and
`datasets.load_dataset("arrow", data_files=…)` read the shards without this package.
"""

from bench.store.reader import LatentStore, Stored
from bench.store.writer import StoreWriter

__all__ = ["LatentStore", "StoreWriter", "Stored"]
