"""Random generators derived from names, so that no result depends on order, batch or rank."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive_seed(root: int, *keys: str | int) -> int:
    """A 63-bit seed from a root seed and any number of names.

    >>> derive_seed(0, "delta_nll", 3) == derive_seed(0, "delta_nll", 3)
    True
    >>> derive_seed(0, "a", "b") == derive_seed(0, "ab")
    False
    """
    text = "\x1f".join([str(root), *(f"{type(k).__name__}:{k}" for k in keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(root: int, *keys: str | int) -> torch.Generator:
    """A CPU generator seeded with `derive_seed(root, *keys)`."""
    import torch

    return torch.Generator().manual_seed(derive_seed(root, *keys))
