"""The embedded corpus: 47 minutes of synthetic speech over a small grammar, in 12 voices, made by
`scripts/make_synthspeech.py`.

Files are Opus at 32 kbit/s; what they decode to is the reference signal. Two voices speak in the test split
only, and no sentence of the valid and test splits is spoken in the training split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast, get_args

import numpy as np

from bench.cache import digest, file_digest
from bench.contract import Split, Utterance
from bench.datasets.audio import load
from bench.errors import DataError

ROOT = Path(__file__).parent / "data" / "synthspeech"
HEADER = "id\tsplit\tspeaker\ttext\tsamples\tsha256"


class SynthSpeech:
    """Dataset plug-in `synthspeech`.

    Args:
        argument: what follows the colon of `--dataset`; must be empty.
        root: folder with `manifest.tsv`, `grammar.jsgf` and `audio/<id>.ogg`.

    Raises:
        DataError: an argument, or a manifest or grammar that is missing or malformed.
    """

    name = "synthspeech"

    def __init__(self, argument: str = "", *, root: Path = ROOT) -> None:
        if argument:
            raise DataError(f"synthspeech: expected no argument, got {argument!r}")
        self.refused: Mapping[str, str] = {}
        self.converted: Mapping[str, int] = {}
        self.grammar: Path | None = root / "grammar.jsgf"
        self.speakers_known = True
        self._audio = root / "audio"
        self._utterances: dict[Split, list[Utterance]] = {split: [] for split in get_args(Split)}
        self._sha256: dict[str, str] = {}
        manifest = root / "manifest.tsv"
        try:
            text = manifest.read_text(encoding="utf-8")
            # the manifest holds the sha256 of every audio file
            files = {"manifest": file_digest(manifest), "grammar": file_digest(root / "grammar.jsgf")}
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"synthspeech: manifest or grammar unreadable ({error}); reinstall the package") from error
        self.digest = digest(files)
        self._parse(text)

    def utterances(self, split: Split) -> Sequence[Utterance]:
        """Utterances in the manifest's order."""
        return self._utterances[split]

    def audio(self, utterance: Utterance, sample_rate: int) -> np.ndarray:
        """Samples (N,) float32.

        Raises:
            DataError: the file is missing, or not the one that the manifest describes.
        """
        if utterance.id not in self._sha256:
            raise DataError(f"synthspeech: no utterance {utterance.id!r}")
        return load(self._audio / f"{utterance.id}.ogg", sample_rate, self._sha256[utterance.id])

    def _parse(self, text: str) -> None:
        lines = text.splitlines()
        if not lines or lines[0] != HEADER:
            raise DataError(f"synthspeech: manifest.tsv: expected the header {HEADER!r}, got {lines[:1]}")
        for number, line in enumerate(lines[1:], start=2):
            row = line.split("\t")
            if len(row) != 6 or row[1] not in self._utterances:
                raise DataError(f"synthspeech: manifest.tsv line {number}: expected 6 columns and a split, got {row}")
            name, split, speaker, sentence, _samples, sha256 = row
            self._utterances[cast(Split, split)].append(Utterance(name, speaker, cast(Split, split), sentence))
            self._sha256[name] = sha256
