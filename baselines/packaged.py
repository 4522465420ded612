"""Weights that ship with the package: `baselines/weights/NAME.safetensors`, and what a fit asks of them.

Parameters are kept in half precision, buffers and the history of the fit in full. The file says which plug-in and codec
its weights are of, and a card names it together with its sha256, so that a changed file is another row.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bench.contract import CodecInfo
from bench.errors import CardError, DataError

WEIGHTS = Path(__file__).parent / "weights"
SUFFIX = ".safetensors"


def located(name: str) -> Path:
    """The packaged file of that name; a name that ends in `.safetensors` is a path."""
    return Path(name) if name.endswith(SUFFIX) else WEIGHTS / f"{name}{SUFFIX}"


def validate(who: str, name: str, sha256: str) -> None:
    """Refuse weights that are not there or not those that the card was written for.

    Raises:
        CardError: it is so.
    """
    if not name:
        return
    path = located(name)
    if not path.is_file():
        known = sorted(p.stem for p in WEIGHTS.glob(f"*{SUFFIX}"))
        raise CardError(f"{who}: parameter weights: no file {name!r}; packaged: {', '.join(known) or 'none'}")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != sha256:
        raise CardError(f"{who}: parameter sha256: {path.name} has {found}, expected {sha256 or 'none'}")


def save(
    path: Path, plugin: str, codec: CodecInfo, network: nn.Module, state: Mapping[str, Tensor], config: Any
) -> None:
    """Write the state of a fitted submission of a configuration around `network`."""
    from safetensors.torch import save_file

    halved = {name for name, _ in network.named_parameters()}
    kept = {name: (t.half() if name in halved else t).contiguous() for name, t in state.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(kept, path, metadata={"plugin": plugin, "parameters": json.dumps(asdict(config)), **_of(codec)})


def parameters(path: Path) -> dict[str, Any]:
    """Those of the fit that made a file, as a card has them."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return dict(json.loads(file.metadata()["parameters"]))


def load(plugin: str, name: str, sha256: str, codec: CodecInfo) -> dict[str, Tensor]:
    """The state that `save` wrote, in float32.

    Raises:
        CardError: the weights are another plug-in's or codec's.
        DataError: the file cannot be read.
    """
    from safetensors import safe_open

    validate(plugin, name, sha256)
    path = located(name)
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 — it is no mapping
    except Exception as error:
        raise DataError(f"{plugin}: cannot load {path.name}: {str(error).splitlines()[0]}") from error
    for what, wanted in {"plugin": plugin, **_of(codec)}.items():
        if said.get(what) != wanted:
            raise CardError(f"{plugin}: weights {name!r} are of {what} {said.get(what)!r}, got {wanted!r}")
    return {key: t.float() if t.dtype == torch.float16 else t for key, t in state.items()}


def _of(codec: CodecInfo) -> dict[str, str]:
    return {"codec": codec.name, "dim": str(codec.dim), "codec weights": codec.weights_digest}
