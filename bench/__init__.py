"""LatentBench: is a latent space good for autoregressive audio modelling?

For notebooks, `from bench import run, load_records`: what `bench run` makes, as a `Record`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import Record, load_records, run

__version__ = "0.1.0"
__all__ = ["Record", "__version__", "load_records", "run"]


def __getattr__(name: str) -> Any:
    # looked up when asked for, so that `import bench` loads nothing else
    if name in __all__:
        from bench import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
