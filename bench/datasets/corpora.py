"""Corpora by name: a pinned copy on the hub, or the folder in which they are published.

`--dataset librispeech` reads the hub at the revision below, `librispeech:@REVISION` at another, and
`librispeech:PATH` the folder. Options follow, as in `librispeech:minutes=60` or `librispeech:PATH,minutes=60`
(`bench.datasets.options`). The README has the licences. Revisions and columns are those that the copies' cards and
their published users name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path
from typing import ClassVar

from bench.datasets import layouts
from bench.datasets.hub import Place, on_hub
from bench.datasets.loaded import Loaded, Opened
from bench.datasets.local import existing, hashed, named, of_files
from bench.datasets.options import NONE, Options, read
from bench.datasets.rows import Listed


class Corpus(Loaded):
    """A corpus of a name.

    Args:
        argument: empty, @REVISION or PATH, each with [,key=value…].
        progress: called with (what, files or rows read, files or rows in all).
        cache: the cache directory; None: the user's.

    Attributes:
        NAME: of the plug-in.
        PLACE: on the hub.
        USUAL: splits and columns there.

    Raises:
        DataError: the hub cannot be reached, or PATH is not of that form.
    """

    NAME: ClassVar[str]
    PLACE: ClassVar[Place]
    USUAL: ClassVar[Options]

    def __init__(
        self, argument: str = "", progress: Callable[[str, int, int], None] = lambda *_: None, cache: Path | None = None
    ) -> None:
        text, options, written = read(self.NAME, argument, self.USUAL)
        if not text or text.startswith("@"):
            place = replace(self.PLACE, revision=text[1:] or self.PLACE.revision)
            opened = on_hub(self.NAME, place, options, written, cache)
        elif (layout := self.layout(path := existing(self.NAME, text))) is None:
            opened = of_files(self.NAME, "parquet", path, (".parquet",), options, written, cache, progress)
        else:
            _, options, _ = read(self.NAME, argument, layout.usual)
            opened = _in_folder(f"{self.NAME}:{named(path)}{written}", layout, options, progress)
        super().__init__(opened, cache, progress)

    @staticmethod
    def layout(path: Path) -> layouts.Layout | None:
        """The folder in which it is published; None: `path` holds copies of the hub's Parquet files."""
        return None


class LibriSpeech(Corpus):
    """Dataset plug-in `librispeech`: 100 hours of 251 voices to train on, 40 others each in valid and test.

    References:
        Panayotov, Chen, Povey and Khudanpur 2015, LibriSpeech: an ASR corpus based on public domain audio books.
    """

    NAME = "librispeech"
    PLACE = Place("openslr/librispeech_asr", "clean", "71cacbfb7e2354c4226d01e70d77d5fca3d04ba1")
    USUAL = Options(
        train=("train.100",),
        valid=("validation",),
        test=("test",),
        audio="audio",
        speaker="speaker_id",
        text="text",
        id="id",
    )

    @staticmethod
    def layout(path: Path) -> layouts.Layout:
        """`layouts.librispeech`."""
        return layouts.librispeech(path)


class LJSpeech(Corpus):
    """Dataset plug-in `ljspeech`: 24 hours of one voice, so that splits are over utterances.

    The revision is the one at which the corpus lies there in Parquet; later ones hold a loading script.

    References:
        Ito and Johnson 2017, The LJ Speech dataset.
    """

    NAME = "ljspeech"
    PLACE = Place("keithito/lj_speech", "main", "7611c363b2e66bbd7ab3d1dce7afa6d1883f834d")
    USUAL = Options(split=("train",), audio="audio", speaker="=LJ", text="normalized_text", id="id")

    @staticmethod
    def layout(path: Path) -> layouts.Layout:
        """`layouts.ljspeech`."""
        return layouts.ljspeech(path)


class VCTK(Corpus):
    """Dataset plug-in `vctk`: 44 hours of 110 voices, the first of two microphones; many read the same sentences.

    References:
        Yamagishi, Veaux and MacDonald 2019, CSTR VCTK Corpus, version 0.92.
    """

    NAME = "vctk"
    PLACE = Place("sanchit-gandhi/vctk", "", "73ef4ee7d49a6fed4ea1efd65f82b4c95faeb9de")
    USUAL = Options(split=("train",), audio="audio", speaker="speaker_id", text="text", id="file", keep="_mic1")

    @staticmethod
    def layout(path: Path) -> layouts.Layout:
        """`layouts.vctk`."""
        return layouts.vctk(path)


class FMA(Corpus):
    """Dataset plug-in `fma`: 8802 tracks of music at 16 kHz, split by artist, without transcripts.

    Those tracks of the Free Music Archive whose licences allow commercial use; the column `license` names each.

    References:
        Defferrard, Benzi, Vandergheynst and Bresson 2017, FMA: a dataset for music analysis (arXiv 1612.01840).
    """

    NAME = "fma"
    PLACE = Place(
        "benjamin-paine/free-music-archive-commercial-16khz-full", "", "4fad7a587e80adca671184bd017d1d6ae8ea9a1d"
    )
    USUAL = Options(split=("train",), audio="audio", speaker="artist", text=NONE)


def _in_folder(
    name: str, layout: layouts.Layout, options: Options, progress: Callable[[str, int, int], None]
) -> Opened:
    rows = [row for listed in layout.splits.values() for row in listed]
    files = hashed(layout.root, [layout.root / row.path for row in rows], progress)
    listed = {split: [astuple(row) for row in rows] for split, rows in layout.splits.items()}
    return Opened(name, Listed(layout.root, layout.splits), {"rows": listed, "files": files}, options)
