"""Train `minicodec`: encoder and decoder, then the residual codebooks, then the decoder on both.

    python scripts/train_minicodec.py --librispeech DIR --work DIR --minutes 60

Four phases, each resumable from `--work`:

1. *codec*: encoder and decoder, multi-resolution spectral losses and a KL weight on the latents;
2. *spread*: the same, with a term that fills the thin directions that the latents still have;
3. *codebooks*: residual k-means (scikit-learn) on the means of the training latents, encoder frozen;
4. *decoder*: the decoder alone, on means (70 %) and on the sum of a random number of codebooks (30 %).

Data: the training split of `synthspeech`, and the training speakers (by `bench.datasets.splits`) of a folder
of LibriSpeech train-clean-100 utterances (Panayotov et al. 2015, CC BY 4.0), each also at 0.92 and 1.08 times
its speed. `--work` ends with `minicodec.safetensors` (fp16), `curve.tsv` and `data.tsv` (what was read,
with sha256).
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import math
import time
from pathlib import Path

import numpy as np
import soundfile as sf
import soxr
import torch
from safetensors.torch import save_file
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor
from torch.nn import functional as F

from bench.codecs.minicodec_model import HOP, SAMPLE_RATE, Minicodec, mel_filterbank
from bench.datasets.splits import split_groups

SYNTHSPEECH = Path(__file__).parents[1] / "bench/datasets/data/synthspeech"
RESOLUTIONS = ((256, 40), (512, 64), (1024, 96), (2048, 128))
CROP_FRAMES, BATCH = 16, 12
KL_WEIGHT = 1e-3
FREE_NATS, FREE_FROM = 1.0, 2500
"""From step FREE_FROM on each dimension's first nat is free: charged in full, 9 of 32 dimensions collapsed
onto combinations of the others (covariance eigenvalues of 1e-4), which no density of the latents survives."""
SPREAD_FROM, SPREAD, SPREAD_WEIGHT, COVARIANCE_WEIGHT = 4500, 0.7, 0.5, 0.02
"""From step SPREAD_FROM on the variance and covariance terms of Bardes et al. 2022 (VICReg, arXiv 2105.04906):
free nats alone were met by small variances, and 6 dimensions still followed the others."""
LOG_DET_WEIGHT = 0.01
SPEEDS = (0.92, 1.0, 1.08)
HORIZON, TAIL = {"codec": 10_000, "spread": 2_000, "decoder": 2_000}, 1_500
"""The rate follows a cosine over HORIZON steps and falls linearly over the last TAIL of those really made."""


def spread_penalty(mean: Tensor, phase: str) -> Tensor:
    """Hinge on each dimension's standard deviation below SPREAD, and squared covariances, over a batch; in the
    phase "spread" the log-determinant of the covariance as well, which no thin direction escapes."""
    flat = mean.flatten(0, 1)
    covariance = torch.cov(flat.T)
    if phase == "spread":
        eye = torch.eye(len(covariance))
        return -LOG_DET_WEIGHT * torch.logdet(covariance + 1e-5 * eye) + 0.1 * (covariance - eye).square().mean()
    off = covariance - torch.diag(covariance.diagonal())
    low = F.relu(SPREAD - (covariance.diagonal() + 1e-4).sqrt()).mean()
    return SPREAD_WEIGHT * low + COVARIANCE_WEIGHT * off.square().sum() / len(covariance)


class SpectralLoss(torch.nn.Module):
    """L1 of log-mel and of log magnitudes, and spectral convergence, at some resolutions (samples, mels)."""

    def __init__(self, resolutions: tuple[tuple[int, int], ...] = RESOLUTIONS) -> None:
        super().__init__()
        self.resolutions = resolutions
        for n_fft, mels in resolutions:
            self.register_buffer(f"window{n_fft}", torch.hann_window(n_fft))
            self.register_buffer(f"mel{n_fft}", mel_filterbank(n_fft // 2 + 1, mels, SAMPLE_RATE, SAMPLE_RATE / 2))

    def magnitude(self, audio: Tensor, n_fft: int) -> Tensor:
        window = getattr(self, f"window{n_fft}")
        spectrum = torch.stft(audio, n_fft, n_fft // 4, window=window, return_complex=True)
        return spectrum.abs().clamp(min=1e-5).transpose(1, 2)

    def forward(self, estimate: Tensor, target: Tensor) -> Tensor:
        total = estimate.new_zeros(())
        for n_fft, _ in self.resolutions:
            a, b = self.magnitude(estimate, n_fft), self.magnitude(target, n_fft)
            mel = getattr(self, f"mel{n_fft}")
            log_mel = lambda s: (s @ mel).clamp(min=1e-3).log()  # noqa: E731, B023
            total = total + 2.0 * F.l1_loss(log_mel(a), log_mel(b))
            total = total + 0.5 * F.l1_loss(a.clamp(min=1e-2).log(), b.clamp(min=1e-2).log())
            total = total + 0.5 * (a - b).norm(dim=(1, 2)).div(b.norm(dim=(1, 2)) + 1e-2).mean()
        return total / len(self.resolutions)


def read(path: Path) -> np.ndarray:
    audio, rate = sf.read(path, dtype="float32")
    if rate != SAMPLE_RATE or audio.ndim != 1:
        raise SystemExit(f"{path}: expected mono at {SAMPLE_RATE} Hz, got {audio.shape} at {rate}")
    return audio


def load(librispeech: Path, listing: Path, part: str = "train") -> dict[str, list[Tensor]]:
    """Audio of a split of both sources; what was read is written to `listing`."""
    manifest = (SYNTHSPEECH / "manifest.tsv").read_text().splitlines()[1:]
    synth = [SYNTHSPEECH / f"audio/{r[0]}.ogg" for r in (s.split("\t") for s in manifest) if r[1] == part]
    files = sorted(librispeech.glob("*.flac"))
    split = split_groups(p.name.split("-")[0] for p in files)
    real = [p for p in files if split[p.name.split("-")[0]] == part]
    rows = [f"{p.name}\t{hashlib.sha256(p.read_bytes()).hexdigest()}" for p in synth + real]
    listing.write_text("file\tsha256\n" + "\n".join(rows) + "\n")
    spoken = [read(p) for p in real]
    varied = [a if s == 1.0 else soxr.resample(a, SAMPLE_RATE * s, SAMPLE_RATE) for a in spoken for s in SPEEDS]
    return {
        "synthspeech": [torch.from_numpy(read(p)) for p in synth],
        "librispeech": [torch.from_numpy(a) for a in varied],
    }


def batch(data: dict[str, list[Tensor]], rng: np.random.Generator, count: int = BATCH) -> Tensor:
    """Crops (count, samples), 40 % synthspeech, with a random gain and polarity."""
    size = CROP_FRAMES * HOP
    crops = []
    for i in range(count):
        source = data["synthspeech" if i < 0.4 * count else "librispeech"]
        audio = source[rng.integers(len(source))]
        start = rng.integers(max(1, len(audio) - size))
        crop = F.pad(audio[start : start + size], (0, max(0, size - len(audio))))
        crops.append(crop * float(rng.choice([-1, 1]) * 10 ** rng.uniform(-0.5, 0.25)))
    return torch.stack(crops).clamp(-1, 1)


def fit_codebooks(model: Minicodec, data: dict[str, list[Tensor]]) -> None:
    """Residual k-means, one stage after the other, on the means of all training frames."""
    latents = []
    with torch.no_grad():
        for audio in data["synthspeech"] + data["librispeech"]:
            mean, _ = model.encoder(audio[None, : len(audio) // HOP * HOP])
            latents.append(mean[0])
    residual = torch.cat(latents).numpy()
    for q in range(model.config.codebooks):
        means = MiniBatchKMeans(model.config.codebook_size, random_state=q, batch_size=8192, n_init=1, max_iter=60)
        index = means.fit_predict(residual)
        model.codebooks[q] = torch.from_numpy(means.cluster_centers_)
        before = float((residual**2).mean())
        residual = residual - means.cluster_centers_[index]
        print(f"codebook {q}: residual power {before:.4f} -> {float((residual**2).mean()):.4f}", flush=True)


def train(
    args: argparse.Namespace, phase: str, model: Minicodec, data: dict[str, list[Tensor]], steps: int
) -> Minicodec:
    """Run one gradient phase from its checkpoint, if there is one; returns the averaged weights."""
    checkpoint = args.work / f"{phase}.pt"
    modules = [model.decoder] if phase == "decoder" else [model.encoder, model.decoder]
    parameters = [p for m in modules for p in m.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1.0, betas=(0.8, 0.99), weight_decay=0.01)
    average = copy.deepcopy(model)
    first = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        first = state["step"]
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
    loss_of = SpectralLoss()
    peak, warm = {"codec": (1e-3, 300), "spread": (1.2e-3, 50), "decoder": (4e-4, 100)}[phase]
    started, sums = time.monotonic(), np.zeros(2)
    for step in range(first, steps):
        rng = np.random.default_rng((args.seed, ("decoder", "codec", "spread").index(phase), step))
        noise = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / HORIZON[phase]))
        lr = peak * min(1.0, (step + 1) / warm, (steps - step) / TAIL) * cosine
        optimiser.param_groups[0]["lr"] = lr
        audio = batch(data, rng)
        if phase != "decoder":
            mean, log_var = model.encoder(audio)
            latents = mean + torch.exp(0.5 * log_var) * torch.randn(mean.shape, generator=noise)
            by_dim = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).mean((0, 1))
            free = FREE_NATS if phase == "spread" or step >= FREE_FROM else 0.0
            kl = by_dim.clamp(min=free).sum()
        else:
            with torch.no_grad():
                latents, _ = model.encoder(audio)
                quantised = model.dequantise(model.quantise(latents)[..., : rng.integers(2, 9)])
                take = torch.rand((len(audio), 1, 1), generator=noise) < 0.3
                latents = torch.where(take, quantised, latents)
            kl = torch.zeros(())
        # the first frames have no past, so their left edge is not worth the capacity
        estimate = model.decoder(latents)
        loss = loss_of(estimate[:, HOP:], audio[:, HOP:]) + KL_WEIGHT * kl
        if phase == "spread" or (phase == "codec" and step >= SPREAD_FROM):
            loss = loss + spread_penalty(mean, phase)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 2.0)
        optimiser.step()
        decay = min(0.999, (step + 1) / (step + 10))
        with torch.no_grad():
            for mine, theirs in zip(average.parameters(), model.parameters(), strict=True):
                mine.lerp_(theirs, 1 - decay)
        sums += (float(loss.detach()), float(kl.detach()))
        if (step + 1) % 100 == 0:
            rate = (step + 1 - first) / (time.monotonic() - started)
            line = f"{phase}\t{step + 1}\t{sums[0] / 100:.4f}\t{sums[1] / 100:.2f}\t{lr:.2e}\t{rate:.2f}"
            with (args.work / "curve.tsv").open("a") as curve:
                curve.write(line + "\n")
            print(line, flush=True)
            sums[:] = 0
        if (step + 1) % 500 == 0 or step + 1 == steps:
            state = {"step": step + 1, "model": model.state_dict(), "average": average.state_dict()}
            torch.save({**state, "optimiser": optimiser.state_dict()}, checkpoint.with_suffix(".tmp"))
            checkpoint.with_suffix(".tmp").replace(checkpoint)
            save(average, args.work / f"{phase}.safetensors")
    return average


def save(model: Minicodec, path: Path) -> None:
    save_file({k: v.half().contiguous() for k, v in model.state_dict().items()}, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--librispeech", type=Path, required=True, help="folder of SPEAKER-CHAPTER-NUMBER.flac")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--codec-steps", type=int, default=7000)
    parser.add_argument("--spread-steps", type=int, default=450)
    parser.add_argument("--decoder-steps", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    data = load(args.librispeech, args.work / "data.tsv")
    torch.manual_seed(args.seed)
    model = train(args, "codec", Minicodec(), data, args.codec_steps)
    model = train(args, "spread", model, data, args.spread_steps)
    if not (args.work / "decoder.pt").exists():
        fit_codebooks(model, data)
    model = train(args, "decoder", model, data, args.decoder_steps)
    save(model, args.work / "minicodec.safetensors")


if __name__ == "__main__":
    main()
