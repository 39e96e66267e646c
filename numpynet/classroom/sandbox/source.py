"""What can be said of a file before any of it runs: what it imports, what it reaches for, and its fingerprint.

The fingerprint is a set of hashes of short runs of syntax, without names, docstrings and comments; two files with many
hashes in common are alike. It is a hint and no proof: short right solutions are alike by nature.

This file is also run by the child, so it imports nothing of the package. It is there that students' files are parsed: a
file can be made to crash the parser.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator

BY_NAME = ("open", "exec", "eval", "__import__", "__reduce__", "__array_ufunc__")  # what an own variable is not called
RUN = 10  # nodes in a run
MAX_HASHES = 20000
FOREIGN = ("numpynet", "torch", "jax", "tensorflow", "autograd", "mxnet", "theano", "tinygrad", "cupy", "sympy")
# Reaching for these is no mistake, but a layer does not need them.
REACHES = {
    "_getframe": "walks stack frames",
    "settrace": "walks stack frames",
    "gc": "looks through memory",
    "ctypes": "calls C",
    "subprocess": "starts processes",
    "socket": "uses the network",
    "urllib": "uses the network",
    "http": "uses the network",
    "fork": "starts processes",
    "multiprocessing": "starts processes",
    "threading": "starts threads",
    "_exit": "ends the process",
    "kill": "sends signals",
    "signal": "handles signals",
    "atexit": "leaves something for the end",
    "open": "opens files",
    "memmap": "opens files",
    "exec": "runs text as code",
    "eval": "runs text as code",
    "pickle": "pickles",
    "__reduce__": "pickles",
    "__array_ufunc__": "an array that lies",
    "__subclasses__": "looks through memory",
    "site": "looks for installed packages",
    "importlib": "imports by name",
    "__import__": "imports by name",
}


def facts(source: bytes) -> tuple[list[str], list[str], list[int]]:
    """Return (imported packages, what it reaches for, fingerprint) of a file.

    Parameters
    ----------
    source : of a Python file

    Returns
    -------
    packages, reached, fingerprint : packages and what is reached for are sorted

    Raises
    ------
    SyntaxError, ValueError, RecursionError, MemoryError
        It cannot be parsed.

    Examples
    --------
    >>> facts(b"import numpy as np, torch")[:2]
    (['numpy', 'torch'], [])
    """
    tree = ast.parse(source)
    imported, reached = set(), set()
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "."]
            reached |= {REACHES[alias.name] for alias in node.names if alias.name in REACHES}
        elif isinstance(node, ast.Name):
            reached |= {REACHES[node.id]} if node.id in BY_NAME else set()
        elif isinstance(node, ast.Attribute):
            reached |= {REACHES[node.attr]} if node.attr in REACHES else set()
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            reached |= {REACHES[node.name]} if node.name in BY_NAME else set()
        for name in names:
            imported.add(name.split(".")[0][:40])
            reached |= {REACHES[part] for part in name.split(".")[:1] if part in REACHES and part not in BY_NAME}
    return sorted(imported)[:50], sorted(reached), fingerprint(tree)


def fingerprint(tree: ast.AST) -> list[int]:
    """Return the hashes of all runs of syntax, sorted.

    Parameters
    ----------
    tree : of a file

    Returns
    -------
    Numbers of 56 bits; names, comments and docstrings leave no trace in them.

    Examples
    --------
    >>> one = fingerprint(ast.parse("def f(x):\\n    return x @ x + x * x"))
    >>> one == fingerprint(ast.parse("def g(weights):\\n    'Text.'\\n    return weights @ weights + weights * weights"))
    True
    """
    hashes: set[int] = set()
    for node in getattr(tree, "body", []):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)):
            words = list(_words(node))
            for k in range(max(1, len(words) - RUN + 1)):
                run = " ".join(words[k : k + RUN]).encode("utf-8", "replace")
                hashes.add(int.from_bytes(hashlib.blake2b(run, digest_size=7).digest(), "little"))
    return sorted(hashes)[:MAX_HASHES]


def _words(node: ast.AST) -> Iterator[str]:
    """Yield the syntax below a node as words: kinds of nodes and names of attributes; not names, docstrings, hints."""
    stack: list[ast.AST] = [node]
    while stack:  # no recursion: a file may be nested deeply
        node = stack.pop()
        if isinstance(node, (ast.Load, ast.Store, ast.Del, ast.arguments, ast.arg)):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # docstrings, and notes like them
        word = type(node).__name__
        if isinstance(node, ast.Attribute):
            word += "." + node.attr
        elif isinstance(node, ast.Constant):
            word += f" {type(node.value).__name__}"
        yield word
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            children = [*node.body]
        elif isinstance(node, ast.AnnAssign):
            children = [child for child in (node.target, node.value) if child is not None]
        stack.extend(reversed(children))
