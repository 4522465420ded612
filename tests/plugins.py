"""A package of tiny plug-ins, written into a folder and found as an installed one would be.

A dataset of noise, a codec that averages, a linear autoregression and two tasks: a whole run takes a fraction
of a second. Where the environment variable TINY_KILL says `point:n`, the process kills itself (SIGKILL) when
it is at that point for the n-th time; points are encode, step and score.
"""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

from bench import fingerprint, record, registry
from bench.record import Record

FILES = {
    "__init__.py": "",
    "killed.py": """
import os
import signal

seen = {}


def at(point):
    seen[point] = seen.get(point, 0) + 1
    if os.environ.get("TINY_KILL") == f"{point}:{seen[point]}":
        os.kill(os.getpid(), signal.SIGKILL)
""",
    "data.py": '''
import hashlib

import numpy as np

from bench.contract import Utterance

COUNTS = {"train": 24, "valid": 4, "test": 8}


class Noise:
    """Loud and quiet stretches of noise, 4 speakers; the argument changes all of it."""

    refused, converted, grammar, speakers_known = {}, {}, None, True

    def __init__(self, argument=""):
        self.name = "tiny" + (":" + argument if argument else "")
        self.digest = hashlib.sha256(argument.encode()).hexdigest()

    def utterances(self, split):
        return [Utterance(f"{split}{i:02d}", f"s{i % 4}", split, f"text {i}") for i in range(COUNTS[split])]

    def audio(self, utterance, sample_rate):
        rng = np.random.default_rng(list((self.digest + utterance.id).encode()))
        frames = 20 + int(rng.integers(10))
        level = np.repeat(np.exp(0.5 * np.cumsum(rng.normal(size=frames)) - 3), 1280)
        return (level * rng.uniform(-1, 1, frames * 1280)).clip(-1, 1).astype(np.float32)
''',
    "codec.py": '''
import torch

from bench.contract import CodecInfo
from tinylab import killed


class Levels:
    """Latents are log-levels of the quarters of a frame."""

    def __init__(self, argument=""):
        self.info = CodecInfo("levels", 16000, 1280, 4, weights_digest="w1")

    def to(self, device):
        return self

    def encode(self, audio):
        killed.at("encode")
        padded = torch.nn.functional.pad(audio[:, 0], (0, -audio.shape[-1] % 1280))
        return padded.unflatten(-1, (-1, 4, 320)).square().mean(-1).clamp(min=1e-8).log()

    def decode(self, latents):
        return (0.5 * latents).exp().repeat_interleave(320, 2).flatten(1)[:, None].clamp(-1, 1)
''',
    "model.py": '''
from dataclasses import dataclass, field

import torch
from torch import nn

from bench.config import parameters
from bench.fitting import FitConfig, Frames, fit, initialised
from tinylab import killed


@dataclass(frozen=True)
class Config:
    noise: float = 0.1
    fit: FitConfig = field(default_factory=FitConfig)


class Linear:
    """x_t ~ N(A x_{t-1} + b, diag(s^2))."""

    likelihood = "exact"

    def __init__(self, **values):
        self.config = parameters(Config, values, "linear")

    def fit(self, train, valid, context):
        self._build(context.codec, context.seed)
        frames, held_out = Frames([[u.x] for u in train]), Frames([[u.x] for u in valid])

        def nll(x, mask):
            return -(self._log_prob(x, x) * mask).sum() / mask.sum()

        def loss(step, generator):
            killed.at("step")
            (x,), mask = frames.crops(8, 12, generator)
            return nll(x + self.config.noise * torch.randn_like(x), mask)

        def validate():
            return float(nll(*(lambda p, m: (p[0], m))(*held_out.whole(torch.arange(len(valid)), 30))))

        fit(self.net, loss, validate, self.config.fit, context.seed, context.checkpoint, context.progress, "fit linear")

    def state(self):
        return dict(self.net.state_dict())

    def load_state(self, state, codec, device):
        self._build(codec, 0)
        self.net.load_state_dict(dict(state))

    def represent(self, x, generator):
        return x

    def log_prob(self, context, target, generator):
        return self._log_prob(context, target)

    def _build(self, codec, seed):
        net = lambda: nn.ModuleDict({"a": nn.Linear(codec.dim, codec.dim), "s": nn.Linear(1, codec.dim)})
        self.net = initialised(net, seed)

    def _log_prob(self, context, target):
        past = torch.cat([torch.zeros_like(context[:, :1]), context[:, :-1]], 1)
        scale = nn.functional.softplus(self.net["s"].weight[:, 0]) + 0.1
        return torch.distributions.Normal(self.net["a"](past), scale).log_prob(target).sum(-1)
''',
    "density.py": """
from bench.config import task_card
from bench.contract import Score
from tinylab import killed


class Density:
    card = task_card(__file__)

    def score(self, submission, context):
        values = {}
        with context.track("density", context.latents("test")) as utterances:
            for u in utterances:
                killed.at("score")
                log_p = submission.log_prob(u.x[None], u.x[None], context.generator(u.id))
                values[u.id] = -float(log_p.mean()) * context.parameters["scale"]
        base = context.cached_json({"what": "frames"}, lambda: {u.id: len(u.x) for u in context.latents("test")})
        context.note("frames", sum(base.values()))
        return [Score("nll", values, {i: float(n) for i, n in base.items()})]
""",
    "density.toml": """
name = "density"
version = 1
title = "Density"
question = "How likely is it?"
needs = ["log_prob"]

[parameters]
scale = 1.0

[parameters.deep]
draws = 2

[[columns]]
name = "nll"
title = "NLL"
unit = "nats/frame"
better = "lower"
ranked = true
headline = true
""",
    "moves.py": '''
import torch

from bench.config import task_card
from bench.contract import Score


class Moves:
    """Uses its generator, so that its values depend on the seed."""

    card = task_card(__file__)

    def score(self, submission, context):
        out = {}
        for u in context.latents("test"):
            z = submission.represent(u.x[None], context.generator(u.id))
            out[u.id] = float((z + torch.randn(z.shape, generator=context.generator("noise", u.id))).norm())
        return [Score("length", out)]
''',
    "moves.toml": """
name = "moves"
version = 1
title = "Moves"
question = "How long is it?"
needs = ["represent"]

[[columns]]
name = "length"
title = "length"
unit = "1"
better = "none"
""",
    "suites/__init__.py": "",
    "suites/tiny.toml": """
name = "tiny"
description = "Noise."
codec = "levels"
dataset = "tiny"
tasks = ["density", "moves"]
""",
    "cards/__init__.py": "",
    "cards/linear_v1.toml": """
name = "linear_v1"
plugin = "linear"
title = "Linear"
description = "A linear autoregression."
authors = "Nobody"

[parameters.fit]
steps = 12
evaluate_every = 4
warmup = 2
""",
}

POINTS = {
    "datasets": {"tiny": "tinylab.data:Noise"},
    "codecs": {"levels": "tinylab.codec:Levels"},
    "submissions": {"linear": "tinylab.model:Linear"},
    "tasks": {"density": "tinylab.density:Density", "moves": "tinylab.moves:Moves"},
    "suites": {"tinylab": "tinylab.suites"},
    "cards": {"tinylab": "tinylab.cards"},
}


class Lab:
    """The package in `folder`, importable in this process and, by PYTHONPATH, in others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.points = {kind: dict(named) for kind, named in POINTS.items()}
        for name, text in FILES.items():
            self.write(name, text)
        self.install()

    def path(self, name: str) -> Path:
        """A file of the package."""
        return self.folder / "tinylab" / name

    def write(self, name: str, text: str) -> Path:
        """Make a file of the package; what was imported is forgotten."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.lstrip("\n"), encoding="utf-8")
        self.forget()
        return path

    def change(self, name: str, old: str, new: str) -> None:
        """Edit a file of the package."""
        text = self.path(name).read_text(encoding="utf-8")
        assert old in text
        self.write(name, text.replace(old, new))

    def install(self, kind: str = "", **more: str) -> None:
        """Write the metadata that holds the entry points, with more of a kind."""
        if kind:
            self.points.setdefault(kind, {}).update(more)
        metadata = self.folder / "tinylab-1.0.dist-info"
        metadata.mkdir(exist_ok=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: tinylab\nVersion: 1.0\n", encoding="utf-8")
        groups = [
            f"[latentbench.{kind}]\n" + "".join(f"{name} = {value}\n" for name, value in named.items())
            for kind, named in self.points.items()
        ]
        (metadata / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
        self.forget()

    def submission(self, name: str, source: str, **parameters: object) -> Path:
        """A module with a class `Model`, its entry point and its card; the card's path."""
        self.write(f"{name}.py", source)
        self.install("submissions", **{name: f"tinylab.{name}:Model"})
        lines = [f'name = "{name}"', f'plugin = "{name}"', 'title = "T"', 'description = "D"', 'authors = "A"']
        lines += ["[parameters]", *(f"{key} = {json.dumps(value)}" for key, value in parameters.items())]
        return self.write(f"extra/{name}.toml", "\n".join(lines))

    def forget(self) -> None:
        """As a new process would, read everything again."""
        for name in [m for m in sys.modules if m.split(".")[0] == "tinylab"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        for function in (*vars(fingerprint).values(), *vars(registry).values()):
            if hasattr(function, "cache_clear"):
                function.cache_clear()


def written(folder: Path) -> Record:
    """The one record of a folder."""
    (path,) = folder.glob("*.json")
    return record.read(path)


def values(made: Record) -> dict[str, Any]:
    """Everything of a record that must not depend on when it was made, how long it took, and what was cached."""
    left_out = {"created": True, "stages": True, "digest": True, "command": True}
    # somebody may commit while the tests run
    return made.model_dump(mode="json", exclude={**left_out, "environment": {"commit", "dirty"}})
