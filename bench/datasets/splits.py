"""Speaker-disjoint splits that do not depend on file order or on a random generator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

TEST_SHARE, VALID_SHARE = 0.2, 0.1


def split_groups(groups: Iterable[str]) -> dict[str, str]:
    """Assign each group (speaker) to train, valid or test: 70, 10 and 20 % of the groups.

    Groups are ordered by the sha256 of their name, so that the same names always get the same split.

    Args:
        groups: names; repeats count once. At least 3 distinct ones.

    Returns:
        Name → "train", "valid" or "test", each non-empty.

    Raises:
        ValueError: fewer than 3 distinct groups.
    """
    ordered = sorted(set(groups), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    if len(ordered) < 3:
        raise ValueError(f"splits need at least 3 groups, got {len(ordered)}")
    n_test = max(1, round(TEST_SHARE * len(ordered)))
    n_valid = max(1, round(VALID_SHARE * len(ordered)))
    names = ["test"] * n_test + ["valid"] * n_valid
    names += ["train"] * (len(ordered) - len(names))
    return dict(zip(ordered, names, strict=True))
