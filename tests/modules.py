"""A Python file that is in no package, such as a script or an example, as a module."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[1]


def module_at(path: Path) -> ModuleType:
    """The module of the file `path`, run now, under the file's name without its suffix."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # dataclasses look their module up
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def script(name: str) -> ModuleType:
    """The module of `scripts/NAME.py`."""
    return module_at(ROOT / "scripts" / f"{name}.py")
