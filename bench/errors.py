"""The errors a user sees as one line. Each says what was expected, what came, and from whom."""

from __future__ import annotations


class BenchError(Exception):
    """Bad input or a broken plug-in: the command prints the message and exits with code 2."""


class UnknownName(BenchError):
    """A name that no installed plug-in, card or suite has."""

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        super().__init__(f"no {kind} {name!r}; there are: {', '.join(sorted(known)) or 'none'}")


class CardError(BenchError):
    """A TOML file that is malformed, lacks a key or has an unknown one."""


class PluginError(BenchError):
    """A plug-in that does not import, raises, or returns what its contract forbids."""


class Diverged(PluginError):
    """A fit whose loss is no longer finite."""


class DataError(BenchError):
    """Audio or a dataset folder that cannot be used."""


class CacheError(BenchError):
    """A cache directory that cannot be written."""


class StoreError(BenchError):
    """A latent store that cannot be read, is damaged, or holds something else than what is written into it."""


class RecordError(BenchError):
    """A record that cannot be read or compared."""
