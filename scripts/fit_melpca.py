"""Fit the basis of the codec `melpca`: principal components of stacked log-mel spectra.

    python scripts/fit_melpca.py --librispeech DIR [--out DIR]

Data: the files that `minicodec` was trained on, as `bench/codecs/weights/minicodec-data.tsv` lists them with sha256:
the training split of `synthspeech`, and LibriSpeech train-clean-100 utterances (Panayotov et al. 2015, CC BY 4.0) of
the training speakers. Every frame of 80 ms counts alike. Nothing is random: mean and covariance are summed in
float64, and a component's largest entry is positive.

`--out` ends with `melpca.safetensors` (mean, basis, variance) and the card `melpca.md`.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import soundfile as sf
import torch
from safetensors.torch import save_file
from torch import Tensor

from bench.codecs.melpca import DIM, SAMPLE_RATE, SIZE, stacked_log_mel

WEIGHTS = Path(__file__).parents[1] / "bench/codecs/weights"
SYNTHSPEECH = Path(__file__).parents[1] / "bench/datasets/data/synthspeech/audio"
LISTING = WEIGHTS / "minicodec-data.tsv"
SHOWN = (16, 32, 64, 128, 256)
CARD = """# melpca

The basis of the codec `melpca`: mean, all {size} principal components (a row each, by falling variance) and their
variances, of five stacked log10-mel frames of 80 bands; fp32.

Made by `scripts/fit_melpca.py` on {frames} frames of 80 ms ({hours:.2f} h) in the {files} files of
`minicodec-data.tsv`, where each stands with its sha256: the training split of `synthspeech`, and LibriSpeech
train-clean-100 utterances (Panayotov et al. 2015, CC BY 4.0) of the training speakers. No random number is drawn.

Share of the variance in the first components: {shares}. The codec keeps {dim} where no tap is given.

Licence: Apache-2.0; fitted on audio under the licences named above.
"""


def components(mean: Tensor, covariance: Tensor) -> dict[str, Tensor]:
    """Mean, basis (a component a row, by falling variance) and variances."""
    variance, vectors = torch.linalg.eigh(covariance)
    basis = vectors.T.flip(0)
    largest = basis.gather(1, basis.abs().argmax(1, keepdim=True))
    return {"mean": mean, "basis": basis * largest.sign(), "variance": variance.flip(0)}


def read(path: Path, sha256: str) -> Tensor:
    """Audio (1, N) of the file that the listing means."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise SystemExit(f"{path}: not the file of {LISTING.name}")
    audio, rate = sf.read(path, dtype="float32")
    if rate != SAMPLE_RATE or audio.ndim != 1:
        raise SystemExit(f"{path}: expected mono at {SAMPLE_RATE} Hz, got {audio.shape} at {rate}")
    return torch.from_numpy(audio)[None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--librispeech", type=Path, required=True, help="folder of the FLAC files")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    given = parser.parse_args()
    lines = [line.split("\t") for line in LISTING.read_text("utf-8").splitlines()[1:]]
    count, total, products = 0, torch.zeros(SIZE).double(), torch.zeros(SIZE, SIZE).double()
    for name, sha256 in lines:
        folder = SYNTHSPEECH if name.endswith(".ogg") else given.librispeech
        x = stacked_log_mel(read(folder / name, sha256))[0].double()
        count, total, products = count + len(x), total + x.sum(0), products + x.T @ x
    mean = total / count
    found = components(mean, products / count - mean[:, None] * mean)
    save_file({name: t.float().contiguous() for name, t in found.items()}, given.out / "melpca.safetensors")
    share = found["variance"].cumsum(0) / found["variance"].sum()
    shares = ", ".join(f"{100 * float(share[d - 1]):.1f} % in {d}" for d in SHOWN)
    text = CARD.format(size=SIZE, frames=count, hours=count * 0.08 / 3600, files=len(lines), shares=shares, dim=DIM)
    (given.out / "melpca.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
