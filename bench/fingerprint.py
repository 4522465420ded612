"""Digests of source code: what a number depends on, without what it does not.

A module's digest covers the tokens of its source and of every module of the same top-level package, or of
`FOLLOWED`, that it imports. Comments, docstrings and layout do not count, so that a better docstring makes no
row stale. Of other packages the version counts.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

FOLLOWED = (
    "bench.calibration",
    "bench.codecs",
    "bench.datasets",
    "bench.fitting",
    "bench.latents",
    "bench.metrics",
    "bench.seeding",
    "bench.stats",
)
"""What of `bench` decides numbers; the rest carries them."""
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.ENCODING}
_F_START, _F_END = getattr(tokenize, "FSTRING_START", -1), getattr(tokenize, "FSTRING_END", -1)
_BLOCKS = {tokenize.NEWLINE: "<line>", tokenize.INDENT: "<in>", tokenize.DEDENT: "<out>"}


def code_key(module: str) -> dict[str, Any]:
    """What a cache key holds of code: `source_digest` and `package_versions`."""
    return {"source": source_digest(module), "packages": package_versions(module)}


@cache
def source_digest(module: str) -> str:
    """sha256 over the code of `module` and of what it imports, as said above."""
    state = hashlib.sha256()
    for name in sorted(closure(module)):
        state.update(f"{name}={code_tokens(_source(name))}\n".encode())
    return state.hexdigest()


@cache
def package_versions(module: str) -> dict[str, str]:
    """Version by name of the packages that the digest's modules import, wherever in the file."""
    ours = {module.split(".")[0], "bench"}
    tops = {target.split(".")[0] for name in closure(module) for target, _ in _imports(name)}
    names = sorted(tops - ours - set(sys.stdlib_module_names))
    return {name: found for name in names if (found := _version(name))}


def closure(module: str) -> set[str]:
    """`module` and the modules its digest covers."""
    package = module.split(".")[0]
    roots = FOLLOWED if package == "bench" else (package, *FOLLOWED)
    found: set[str] = set()
    queue = [module, *(holder for holder in _modules(module, ()) if _below(holder, roots))]
    while queue:
        name = queue.pop()
        if name in found:
            continue
        found.add(name)
        for target, parts in _imports(name):
            queue += [one for one in _modules(target, parts) if _below(one, roots) and _spec(one)]
    return found


def _below(module: str, roots: tuple[str, ...]) -> bool:
    return any(module == root or module.startswith(root + ".") for root in roots)


def _modules(target: str, parts: tuple[str, ...]) -> Iterator[str]:
    """What `from target import parts` runs, and what else it may: the packages around `target`, and `parts`."""
    names = target.split(".")
    yield from (".".join(names[: i + 1]) for i in range(len(names)))
    yield from (f"{target}.{part}" for part in parts)


def code_tokens(source: str) -> str:
    """The source without comments, docstrings and layout; all of it where it is not Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return source
    documentation = {
        (node.body[0].lineno, node.body[0].col_offset)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
        and isinstance(node.body[0].value, ast.Constant)
        and isinstance(node.body[0].value.value, str)
    }
    kept: list[str] = []
    opened: list[tuple[int, int]] = []
    documented = False
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        # from Python 3.12 on an f-string comes in parts; here it is one token, as it was before
        if token.type == _F_START:
            opened.append(token.start)
        elif token.type == _F_END:
            start = opened.pop()
            if not opened:
                kept.append(_text(source, start, token.end))
            continue
        if opened or token.type in _LAYOUT:
            continue
        if token.type == tokenize.STRING and token.start in documentation:
            documented = True
        elif documented and token.type == tokenize.NEWLINE:
            documented = False
        else:
            # not their width or line ends, but that a block starts, goes on or ends, is code
            kept.append(_BLOCKS.get(token.type, token.string))
    return " ".join(kept)


def _text(source: str, start: tuple[int, int], end: tuple[int, int]) -> str:
    lines = source.split("\n")[start[0] - 1 : end[0]]
    lines[-1] = lines[-1][: end[1]]
    lines[0] = lines[0][start[1] :]
    return "\n".join(lines)


@cache
def _spec(module: str) -> ModuleSpec | None:
    # to look a module up is to import what holds it, so a name in a module that is no package is not looked up
    holder = module.rpartition(".")[0]
    if holder and not _is_package(holder):
        return None
    try:
        return importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None


def _is_package(module: str) -> bool:
    spec = _spec(module)
    return spec is not None and spec.submodule_search_locations is not None


@cache
def _source(module: str) -> str:
    spec = _spec(module)
    path = "" if spec is None else spec.origin or ""
    if not Path(path).is_file():
        return ""
    data = Path(path).read_bytes()
    if not path.endswith(".py"):
        return hashlib.sha256(data).hexdigest()
    try:
        return importlib.util.decode_source(data)
    except (SyntaxError, UnicodeDecodeError):
        return hashlib.sha256(data).hexdigest()


@cache
def _imports(module: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Absolute (module, names taken from it), of every import statement."""
    try:
        tree = ast.parse(_source(module))
    except (SyntaxError, ValueError):
        return ()
    return tuple(_statements(tree, module))


def _statements(tree: ast.Module, module: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    home = module.split(".") if _is_package(module) else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, ()) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = home[: len(home) - node.level + 1] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            yield target, tuple(alias.name for alias in node.names)


def _version(package: str) -> str:
    """Version of what `import package` loads, or an empty text."""
    try:
        return version(package)
    except PackageNotFoundError:
        holders = _distributions().get(package, [])
        return version(holders[0]) if holders else ""


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())
