"""Reconstruction: waveform metrics against published values, an independent formula and exact invariances."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch

from bench.calibration.check import Check, Measured
from bench.contract import Skipped
from bench.metrics import distortion
from bench.metrics.code_rate import code_rate, raw_rate

FILES = ("speech", "speech_bab_0dB", "versa_test1", "versa_test2")


def checks() -> list[Check]:
    return [
        Check(
            "reconstruction: published values", "recordings of the PESQ and VERSA repositories", "fast", _known, (0,)
        ),
        Check("reconstruction: gain, noise and identity", "noise with known energies", "fast", _exact),
        Check("reconstruction: bit rates", "Mimi, EnCodec and uniform symbols", "fast", _rates, (0,)),
    ]


def _folder() -> Path:
    data = os.environ.get("LATENTBENCH_DATA", str(Path(__file__).parents[3] / "shared" / "data"))
    return Path(data) / "known_answers"


def _known(seed: int) -> Sequence[Measured] | Skipped:
    """Values that their authors published for four files."""
    from pesq import pesq

    del seed
    folder = _folder()
    if missing := [name for name in FILES if not (folder / f"{name}.wav").is_file()]:
        return Skipped(f"no known_answers/{missing[0]}.wav in LATENTBENCH_DATA")
    clean, babble, first, second = (soundfile.read(folder / f"{name}.wav", dtype="float32")[0] for name in FILES)
    narrow = float(pesq(distortion.RATE, clean, babble, "nb"))
    return [
        Measured("PESQ-WB, speech at 0 dB of babble", "MOS-LQO", distortion.pesq(clean, babble), 1.0832337141, 1e-6),
        Measured("PESQ-NB, the same", "MOS-LQO", narrow, 1.6072081327, 1e-6),
        Measured("STOI, the same", "1", distortion.stoi(clean, babble), 0.6739178, 1e-5),
        Measured("PESQ-WB, VERSA pair", "MOS-LQO", distortion.pesq(first, second), 1.5722705, 1e-5),
        Measured("STOI, VERSA pair", "1", distortion.stoi(first, second), 0.0076251, 1e-5),
        Measured("SI-SDR without mean removal", "dB", distortion.si_sdr(first, second, zero_mean=False), 1.07028, 1e-3),
        Measured("SI-SDR with mean removal", "dB", distortion.si_sdr(first, second), -48.87, 0.01),
    ]


def _exact(seed: int) -> Sequence[Measured]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=5 * distortion.RATE) * 0.1
    noise = rng.normal(size=len(x))
    noise -= noise.mean()
    x -= x.mean()
    noise -= (noise @ x) / (x @ x) * x
    noise *= np.sqrt(x @ x / (noise @ noise)) / 10
    return [
        Measured("SI-SDR of orthogonal noise at 20 dB", "dB", distortion.si_sdr(x, x + noise), 20.0, 1e-6),
        Measured("SI-SDR of a gain of 3 with that noise", "dB", distortion.si_sdr(x, 3 * (x + noise)), 20.0, 1e-6),
        Measured("log-mel L1 of a gain of 2", "log10", distortion.log_mel_l1(x, 2 * x), float(np.log10(2)), 1e-6),
        Measured("log-mel L1 of identical signals", "log10", distortion.log_mel_l1(x, x), 0.0, 0.0),
        Measured("STOI of identical signals", "1", distortion.stoi(x, x), 1.0, 1e-9),
        Measured("STOI of independent noise", "1", distortion.stoi(x, rng.normal(size=len(x))), 0.0, 0.1),
    ]


def _rates(seed: int) -> Sequence[Measured]:
    del seed
    skewed = torch.tensor([[1.0, 1.0, 2.0, 0.0]])
    return [
        Measured("Mimi, 8 codebooks of 2048 at 12.5 Hz", "bit/s", raw_rate((2048,) * 8, 12.5), 1100.0, 1e-9),
        Measured("Mimi, 32 codebooks", "bit/s", raw_rate((2048,) * 32, 12.5), 4400.0, 1e-9),
        Measured("EnCodec, 8 codebooks of 1024 at 75 Hz", "bit/s", raw_rate((1024,) * 8, 75.0), 6000.0, 1e-9),
        Measured("entropy of uniform symbols", "bit/s", code_rate(torch.ones(8, 2048), 12.5), 1100.0, 1e-6),
        Measured("entropy of (1/4, 1/4, 1/2, 0)", "bit/s", code_rate(skewed, 2.0), 3.0, 1e-9),
    ]
