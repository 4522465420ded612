"""Small recordings in the forms in which datasets come: files, Parquet, tar."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf


def tone(number: int, seconds: float = 0.6, rate: int = 16_000, form: str = "FLAC") -> bytes:
    """An audio file with a tone of its own pitch."""
    file = io.BytesIO()
    wave = 0.5 * np.sin(2 * np.pi * (200 + 3 * number) * np.arange(int(seconds * rate)) / rate)
    sf.write(file, wave, rate, format=form)
    return file.getvalue()


def rows(count: int, speakers: int = 4, start: int = 0) -> list[dict[str, Any]]:
    """Rows with the columns of LibriSpeech on the hub."""
    return [
        {
            "audio": {"bytes": tone(i), "path": f"{i}.flac"},
            "speaker_id": i % speakers,
            "text": f"text {i}",
            "id": f"u{i:03d}",
        }
        for i in range(start, start + count)
    ]


def write_parquet(path: Path, listed: Sequence[Mapping[str, Any]], group: int = 8) -> Path:
    """Rows as `datasets` writes them, `audio` an Audio feature."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datasets import Audio, Features, Value

    kinds = {str: "string", int: "int64"}
    features = Features(
        {name: Audio() if name == "audio" else Value(kinds[type(value)]) for name, value in listed[0].items()}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(list(listed), schema=features.arrow_schema)
    pq.write_table(table, path, row_group_size=group)
    return path


def streams(load: Callable[..., Any], files: Mapping[str, Path | str]) -> Mapping[str, Any]:
    """Split → the stream that `datasets.load_dataset` gives of one Parquet file."""
    return {
        name: load(
            "parquet", data_files=str(file), split="train", streaming=True, cache_dir=str(Path(file).parent / "locks")
        )
        for name, file in files.items()
    }


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """A tar of members in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def members(count: int) -> list[tuple[str, bytes]]:
    """A WebDataset of 4 speakers."""
    return [
        member
        for i in range(count)
        for member in (
            (f"u{i:03d}.flac", tone(i)),
            (f"u{i:03d}.json", json.dumps({"speaker_id": f"s{i % 4}"}).encode()),
            (f"u{i:03d}.txt", f"text {i}".encode()),
        )
    ]


def write_files(root: Path, files: Mapping[str, bytes | str]) -> Path:
    """Files below `root`, by relative path."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
    return root
