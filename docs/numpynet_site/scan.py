"""Where an equation of the book is cited, marked or tagged: the one scanner that the tests and the site share.

Plain functions from text to records; nothing here imports Sphinx, so the tests need no more than Python.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "docs" / "equations.md"


class Row(NamedTuple):
    """A row of the book; the rows N, which are false claims, have no kind."""

    id: str
    kind: str  # def, law, obs or ""
    name: str
    cells: tuple[str, ...]  # what follows: equation, conditions, test; for N what is true, counterexample


class Mention(NamedTuple):
    """An id that a text cites or a marker names, and where."""

    id: str
    path: str  # from the root of the repository
    line: int
    scope: str  # "function", "module" or "text" for citations, "tag" for displayed equations, "marker" for tests
    name: str = ""  # the function, class or method; empty for a whole file

    @property
    def where(self) -> str:
        """Return path and line, as editors understand them."""
        return f"{self.path}:{self.line}"


ROW = re.compile(r"^\| ([A-Z]\d+) \| (.*) \|$", re.MULTILINE)
ID = r"\([A-Z]\d+\)"
CITATION = re.compile(rf"\bEquations?\s+({ID}(?:(?:,\s*and|,|\s+and|\s+to)\s+{ID})*)")
LOOKS_LIKE_ONE = re.compile(r"\b(?:[Ee]quations?|[Ee]qs?\.)\s*\(?[A-Z]\d+")
TAG = re.compile(r"\\tag\{([^{}]*)\}")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def read_book(text: str) -> list[Row]:
    """Return the rows of all tables whose first cell is an id."""
    rows = []
    for match in ROW.finditer(text):
        cells = [cell.strip() for cell in re.split(r" \|(?= |$)", match[2])]
        if match[1].startswith("N"):
            rows.append(Row(match[1], "", cells[0], tuple(cells[1:])))
        else:
            rows.append(Row(match[1], cells[0], cells[1], tuple(cells[2:])))
    return rows


def cited_ids(text: str) -> Iterator[tuple[str, int]]:
    """Yield every id that a text cites, ranges written out, with its offset in the text.

    What only looks like a citation is yielded as it stands: it is no id, so whoever looks it up will complain.
    """
    understood = set()
    for match in CITATION.finditer(text):
        understood.add(match.start())
        previous = ""
        for link, name in re.findall(rf"(\bto\s+|)({ID})", match[1]):
            name = name.strip("()")
            if not link:
                yield name, match.start()
            elif name[0] == previous[0] and int(name[1:]) > int(previous[1:]):
                for number in range(int(previous[1:]) + 1, int(name[1:]) + 1):
                    yield f"{name[0]}{number}", match.start()
            else:
                yield f"{previous} to {name}", match.start()
            previous = name
    for match in LOOKS_LIKE_ONE.finditer(text):
        if match.start() not in understood:
            yield f"{match[0]!r} (write it as Equation (B5))", match.start()


def definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """Yield every function and class of a tree with its dotted name, outer ones first."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, Definition):
            yield prefix + node.name, node
            yield from definitions(node, f"{prefix}{node.name}.")
        elif not isinstance(node, ast.expr):  # no expression holds a definition, and most of a tree is expressions
            yield from definitions(node, prefix)


def docstring_mentions(source: str, path: str) -> Iterator[Mention]:
    """Yield what the docstrings of a module cite."""
    tree = ast.parse(source)
    for name, node in [("", tree), *definitions(tree)]:
        docstring = ast.get_docstring(node, clean=False)
        if docstring:
            for identity, offset in cited_ids(docstring):
                line = node.body[0].lineno + docstring.count("\n", 0, offset)
                yield Mention(identity, path, line, "function" if name else "module", name)


def text_mentions(text: str, path: str) -> Iterator[Mention]:
    """Yield what a page or a tutorial cites, and what its displayed equations are tagged with."""
    for name, offset in cited_ids(text):
        yield Mention(name, path, text.count("\n", 0, offset) + 1, "text")
    for match in TAG.finditer(text):
        yield Mention(match[1], path, text.count("\n", 0, match.start()) + 1, "tag")


def marker_mentions(source: str, path: str) -> Iterator[Mention]:
    """Yield what the ``pytest.mark.equation(...)`` of a file name, on functions, classes or parameters."""
    if "equation" not in source:
        return
    tree = ast.parse(source)
    marks = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_marker(node.func)]
    spans = (
        [(first_line(node), node.end_lineno or node.lineno, name) for name, node in definitions(tree)] if marks else []
    )
    for node in marks:
        around = [name for first, last, name in spans if first <= node.lineno <= last]
        name = around[-1] if around else ""
        if not node.args or node.keywords:
            yield Mention(f"{ast.unparse(node)} (ids are wanted)", path, node.lineno, "marker", name)
        for argument in node.args:
            literal = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            identity = argument.value if literal else f"{ast.unparse(argument)} (no literal)"
            yield Mention(identity, path, node.lineno, "marker", name)


def _is_marker(function: ast.expr) -> bool:
    """Say whether this is ``mark.equation``, whatever stands before it."""
    return (
        isinstance(function, ast.Attribute)
        and function.attr == "equation"
        and isinstance(function.value, ast.Attribute)
        and function.value.attr == "mark"
    )


def first_line(node: Definition) -> int:
    """Return the line where a definition begins, its decorators included."""
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def sources(*patterns: str, root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """Yield text and path (from the root) of every file that fits one of the patterns, once."""
    for path in dict.fromkeys(path for pattern in patterns for path in sorted(root.glob(pattern))):
        yield path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()


def all_mentions(root: Path = ROOT) -> list[Mention]:
    """Return every mention in the package, the tests, the pages written by hand and the tutorials."""
    found: list[Mention] = []
    for source, path in sources("numpynet/**/*.py", root=root):
        found += docstring_mentions(source, path)
    for source, path in sources("tests/**/*.py", "numpynet/conformance/**/*.py", root=root):
        found += marker_mentions(source, path)
    for text, path in sources("docs/*.md", "docs/howto/*.md", "tutorials/**/*.py", "*.md", root=root):
        found += text_mentions(text, path)
    return found
