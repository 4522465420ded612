"""torchaudio beside a PyTorch that its compiled extension was not built for.

The wheel of 2.11 links CUDA libraries that a CPU build of PyTorch does not bring, so that importing it raises
OSError. EnCodec and DAC import it and call nothing of it for what they do here; without the extension,
resampling and transforms work all the same. Only where the import fails, a stand-in takes the place of
`torchaudio._extension`, saying what torchaudio itself says of a build without one.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

EXTENSION = "torchaudio._extension"


def import_torchaudio() -> None:
    """Make `import torchaudio` work.

    Raises:
        ImportError: torchaudio is not installed.
    """
    try:
        importlib.import_module("torchaudio")
    except OSError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]
        sys.modules[EXTENSION] = _absent()
        importlib.import_module("torchaudio")


def _absent() -> ModuleType:
    module: Any = ModuleType(EXTENSION)
    module._IS_TORCHAUDIO_EXT_AVAILABLE = False
    module._IS_ALIGN_AVAILABLE = False
    module._check_cuda_version = lambda: None
    module.fail_if_no_align = _refuses
    return module


def _refuses(function: Callable[..., Any]) -> Callable[..., Any]:
    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"{function.__name__} needs torchaudio's compiled extension, which does not load here")

    return refuse
