"""Digests of source code: what a number depends on, without what it does not.

A module's digest covers the tokens of its source and of every module of the same top-level package, or of
`bench.metrics`, `bench.codecs` and `bench.fitting`, that it imports. Comments, docstrings and layout do not
count, so that a better docstring makes no row stale.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import tokenize
from functools import cache
from pathlib import Path

FOLLOWED = ("bench.metrics", "bench.codecs", "bench.fitting", "bench.latents")
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}


def source_digest(module: str) -> str:
    """sha256 over the code of `module` and of what it imports, as said above."""
    state = hashlib.sha256()
    for name in sorted(closure(module)):
        state.update(f"{name}={code_tokens(_source(name))}\n".encode())
    return state.hexdigest()


def closure(module: str) -> set[str]:
    """`module` and the modules its digest covers."""
    package = module.split(".")[0]
    own = () if package == "bench" else (package,)
    found: set[str] = set()
    queue = [module]
    while queue:
        name = queue.pop()
        if name in found:
            continue
        found.add(name)
        for target in _imports(name):
            if any(target == root or target.startswith(root + ".") for root in (*own, *FOLLOWED)):
                queue.append(target)
    return found


def code_tokens(source: str) -> str:
    """The source without comments, docstrings and layout."""
    documentation = {
        (node.body[0].lineno, node.body[0].col_offset)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
        and isinstance(node.body[0].value, ast.Constant)
        and isinstance(node.body[0].value.value, str)
    }
    kept = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in _LAYOUT or (token.type == tokenize.STRING and token.start in documentation):
            continue
        kept.append(token.string)
    return " ".join(kept)


@cache
def _source(module: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return ""
    return Path(spec.origin).read_text(encoding="utf-8")


def _imports(module: str) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names |= {f"{node.module}.{a.name}" for a in node.names if _is_module(f"{node.module}.{a.name}")}
    return names


@cache
def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False
