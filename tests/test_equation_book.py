"""The equation book, the code and the tests belong together, and this test holds them so.

Code cites an equation in a docstring, ``Equation (B5)`` or ``Equations (B3) to (B6)``; a test carries
``@pytest.mark.equation("B5")``. A cited id must exist. Every row of kind ``def`` needs code and a test, every row of kind
``law`` a test, but for the ids in ``NOT_YET``, a list that only shrinks. Rows of kind ``obs`` belong to experiments, and
the rows N, which are false claims, oblige nobody.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
BOOK = ROOT / "docs" / "equations.md"

# What is still to come: nothing. A new row may stand here until its code and its test are there; the test below says which.
NOT_YET: set[str] = set()


# ---- the scanner -----------------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """A row of the book; the rows N have no kind."""

    id: str
    kind: str
    name: str


class Mention(NamedTuple):
    """An id that a docstring cites or a marker names, and where."""

    id: str
    where: str
    scope: str  # "function", "module" or "text" for citations, "marker" for tests


ROW = re.compile(r"^\| ([A-Z]\d+) \| (.*) \|$", re.MULTILINE)
ID = r"\([A-Z]\d+\)"
CITATION = re.compile(rf"\bEquations?\s+({ID}(?:(?:,\s*and|,|\s+and|\s+to)\s+{ID})*)")
LOOKS_LIKE_ONE = re.compile(r"\b(?:[Ee]quations?|[Ee]qs?\.)\s*\(?[A-Z]\d+")


def read_book(text: str) -> list[Row]:
    """Return the rows of all tables whose first cell is an id."""
    rows = []
    for match in ROW.finditer(text):
        first, second, *_ = [cell.strip() for cell in match[2].split(" | ")]
        rows.append(Row(match[1], "", first) if match[1].startswith("N") else Row(match[1], first, second))
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


def docstring_mentions(source: str, path: str) -> Iterator[Mention]:
    """Yield what the docstrings of a module cite."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node, clean=False)
            if docstring:
                scope = "module" if isinstance(node, ast.Module) else "function"
                for name, offset in cited_ids(docstring):
                    line = node.body[0].lineno + docstring.count("\n", 0, offset)
                    yield Mention(name, f"{path}:{line}", scope)


def text_mentions(text: str, path: str) -> Iterator[Mention]:
    """Yield what a page or a tutorial cites."""
    for name, offset in cited_ids(text):
        yield Mention(name, f"{path}:{text.count(chr(10), 0, offset) + 1}", "text")


def marker_mentions(source: str, path: str) -> Iterator[Mention]:
    """Yield what the ``pytest.mark.equation(...)`` of a file name, on functions, classes or parameters."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "equation"):
            continue
        if not (isinstance(node.func.value, ast.Attribute) and node.func.value.attr == "mark"):
            continue
        where = f"{path}:{node.lineno}"
        if not node.args or node.keywords:
            yield Mention(f"{ast.unparse(node)} (ids are wanted)", where, "marker")
        for argument in node.args:
            literal = isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            yield Mention(argument.value if literal else f"{ast.unparse(argument)} (no literal)", where, "marker")


def unknown_ids(book: Iterable[Row], mentions: Iterable[Mention]) -> list[str]:
    """Return a line for every mention of an id that the book does not hold."""
    known = {row.id for row in book}
    return [f"{m.where}: {m.id} is not in docs/equations.md" for m in mentions if m.id not in known]


def what_is_missing(book: Iterable[Row], mentions: Iterable[Mention]) -> dict[str, str]:
    """Return id -> what is missing, for every row of kind def or law that is not done."""
    mentions = list(mentions)
    code = {m.id for m in mentions if m.scope == "function"}
    tests = {m.id for m in mentions if m.scope == "marker"}
    missing = {}
    for row in book:
        lacks = ["code"] if row.kind == "def" and row.id not in code else []
        lacks += ["a test"] if row.kind in ("def", "law") and row.id not in tests else []
        if lacks:
            missing[row.id] = f"{row.id} ({row.kind}, {row.name}) lacks {' and '.join(lacks)}"
    return missing


def complaints(book: list[Row], mentions: Iterable[Mention], not_yet: set[str]) -> list[str]:
    """Return what is wrong with the list of what is still to come, ready to act upon."""
    missing, obliged = what_is_missing(book, mentions), {row.id for row in book if row.kind in ("def", "law")}

    def listed(names: set[str]) -> str:
        return ", ".join(f'"{name}"' for name in sorted(names, key=lambda name: (name[0], len(name), name)))

    lines = []
    if done := (not_yet & obliged) - set(missing):
        lines.append(f"done, take out of NOT_YET: {listed(done)}")
    if wrong := not_yet - obliged:
        lines.append(f"no row of kind def or law, take out of NOT_YET: {listed(wrong)}")
    if undone := set(missing) - not_yet:
        lines.append(f"not done: {listed(undone)}. Write what is missing (docstring 'Equation (..)', equation marker):")
        lines += [f"  {missing[name]}" for name in missing if name in undone]
    return lines


# ---- the repository --------------------------------------------------------------------------------------------------


def sources(*patterns: str) -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            yield path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix()


@pytest.fixture(scope="module")
def book() -> list[Row]:
    return read_book(BOOK.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def mentions() -> list[Mention]:
    found: list[Mention] = []
    for source, path in sources("numpynet/**/*.py"):
        found += docstring_mentions(source, path)
    for source, path in sources("tests/**/*.py", "numpynet/conformance/**/*.py"):
        found += marker_mentions(source, path)
    for text, path in sources("docs/**/*.md", "tutorials/**/*.py", "*.md"):
        found += text_mentions(text, path)
    return found


def test_the_book_is_in_order(book: list[Row]) -> None:
    """Ids are unique and count from 1 without a gap, and every kind is one of three."""
    ids = [row.id for row in book]
    assert len(ids) == len(set(ids)), f"twice in the book: {sorted({name for name in ids if ids.count(name) > 1})}"
    for group in "BODMPLN":
        numbers = [int(name[1:]) for name in ids if name[0] == group]
        assert numbers == list(range(1, len(numbers) + 1)), f"group {group} does not count 1, 2, 3, ..."
        assert numbers, f"group {group} is empty"
    assert {row.kind for row in book} == {"def", "law", "obs", ""}
    assert {name[0] for name in ids} == set("BODMPLN")


def test_the_head_of_the_book_counts_its_groups_rightly(book: list[Row]) -> None:
    for group, last in re.findall(r"\| ([A-Z])1-\1(\d+) \|", BOOK.read_text(encoding="utf-8")):
        assert sum(row.id[0] == group for row in book) == int(last), f"group {group}"


def test_the_book_refers_only_to_its_own_rows(book: list[Row]) -> None:
    known = {row.id for row in book}
    referred = set(re.findall(r"(?<![\w$\\^{-])[BODMPLN]\d+(?![\w}])", BOOK.read_text(encoding="utf-8")))
    assert referred >= known
    assert not referred - known


def test_every_id_cited_or_marked_exists(book: list[Row], mentions: list[Mention]) -> None:
    lines = unknown_ids(book, mentions)
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)


def test_every_def_has_code_and_a_test_and_every_law_a_test(book: list[Row], mentions: list[Mention]) -> None:
    lines = complaints(book, mentions, NOT_YET)
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)


# ---- tests of the scanner --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("y = x W.   Equation (B1)", ["B1"]),
        ("Equations (B3), (B5), (B6)", ["B3", "B5", "B6"]),
        ("Equations (B3), (B5) and (D10)", ["B3", "B5", "D10"]),
        ("Equations (B3), (B5), and (B6).", ["B3", "B5", "B6"]),
        ("Equations (B3) to (B6) and (D2)", ["B3", "B4", "B5", "B6", "D2"]),
        ("Equations\n    (B3),\n    (B5)", ["B3", "B5"]),
        ("as in Equation (L2); the mean (B5) is no citation, nor is (M2)", ["L2"]),
        ("Equation (D2). Later: Equation (D3), where x", ["D2", "D3"]),
        ("Equations (B6) to (B3)", ["B6", "B6 to B3"]),
        ("Equations (B6) to (D9)", ["B6", "B6 to D9"]),
        ("no equation at all; the equations of the book", []),
    ],
)
def test_citations_are_read(text: str, ids: list[str]) -> None:
    assert [name for name, _ in cited_ids(text)] == ids


@pytest.mark.parametrize("text", ["Equation B5", "equation (B5)", "Eq. (B5)", "eqs. B5, B6", "Equations B3 to B6"])
def test_a_citation_in_another_form_is_not_overlooked(text: str) -> None:
    (name, _), *_ = cited_ids(text)
    assert "write it as Equation (B5)" in name


SOURCE = '''
"""A module.   Equation (B1)"""

def f():
    """First line.

    Equations (B2), (B99)
    """

class C:
    def g(self):
        """Method.   Equation (B3)"""
        return "a string: Equation (B98)"  # a comment: Equation (B97)
'''

TESTS = """
@pytest.mark.equation("B1", "B99")
def test_f(): ...

@pytest.mark.equation("B2")
class TestC:
    @pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.equation("B3"))])
    def test_g(self, x): ...

@pytest.mark.equation(*IDS)
def test_h(): ...

@pytest.mark.equation()
def test_i(): ...

@pytest.mark.slow
def equation(book): other.equation("B98")
"""

SMALL_BOOK = [Row("B1", "def", "one"), Row("B2", "def", "two"), Row("B3", "law", "three"), Row("B4", "obs", "four")]


def test_docstrings_are_read_and_nothing_else() -> None:
    assert list(docstring_mentions(SOURCE, "m.py")) == [
        Mention("B1", "m.py:2", "module"),
        Mention("B2", "m.py:7", "function"),
        Mention("B99", "m.py:7", "function"),
        Mention("B3", "m.py:12", "function"),
    ]


def test_markers_are_read_wherever_they_stand() -> None:
    found = list(marker_mentions(TESTS, "t.py"))
    assert {m.id for m in found} == {
        *("B1", "B99", "B2", "B3"),
        "*IDS (no literal)",
        "pytest.mark.equation() (ids are wanted)",
    }
    assert Mention("B99", "t.py:2", "marker") in found


def test_a_planted_wrong_id_is_found(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "test_wrong.py").write_text(TESTS, encoding="utf-8")
    lines = unknown_ids(SMALL_BOOK, docstring_mentions((tmp_path / "wrong.py").read_text(encoding="utf-8"), "wrong.py"))
    assert lines == ["wrong.py:7: B99 is not in docs/equations.md"]
    lines = unknown_ids(SMALL_BOOK, marker_mentions((tmp_path / "test_wrong.py").read_text(encoding="utf-8"), "t.py"))
    assert len(lines) == 3 and lines[0].startswith("t.py:2: B99 is not")
    lines = unknown_ids(SMALL_BOOK, text_mentions("# Page\n\nSee Equation (B7).", "docs/page.md"))
    assert lines == ["docs/page.md:3: B7 is not in docs/equations.md"]


def test_rows_are_read() -> None:
    text = (
        "| id | kind | name |\n|---|---|---|\n| B1 | def | one | $x$ |\n| N1 | a claim | the truth | - |\n| 3 | 4 |\n"
    )
    assert read_book(text) == [Row("B1", "def", "one"), Row("N1", "", "a claim")]


def code(name: str) -> Mention:
    return Mention(name, "m.py:1", "function")


def test_of(name: str) -> Mention:
    return Mention(name, "t.py:1", "marker")


test_of.__test__ = False  # a helper, whatever its name


@pytest.mark.parametrize(
    ("mentions", "not_yet", "expected"),
    [
        ([code("B1"), code("B2"), test_of("B1"), test_of("B2"), test_of("B3")], set(), []),
        ([code("B1"), test_of("B1"), test_of("B2"), test_of("B3")], {"B2"}, []),
        ([code("B1"), code("B2"), test_of("B1"), test_of("B3")], set(), ["B2 (def, two) lacks a test"]),
        ([code("B1"), test_of("B1"), test_of("B2"), test_of("B3")], set(), ["B2 (def, two) lacks code"]),
        ([code("B1"), test_of("B1")], {"B3"}, ["B2 (def, two) lacks code and a test"]),
        ([code("B1"), code("B2"), code("B3"), test_of("B1"), test_of("B2")], set(), ["B3 (law, three) lacks a test"]),
        ([Mention("B1", "m.py:1", "module"), test_of("B1")], {"B2", "B3"}, ["B1 (def, one) lacks code"]),
        ([code("B1"), test_of("B1")], {"B1", "B2", "B3"}, ['done, take out of NOT_YET: "B1"']),
        ([test_of("B3"), code("B1")], {"B1", "B2", "B3"}, ['done, take out of NOT_YET: "B3"']),
        ([], {"B1", "B2", "B3", "B4"}, ['no row of kind def or law, take out of NOT_YET: "B4"']),
        ([], {"B1", "B2", "B3", "B9"}, ['no row of kind def or law, take out of NOT_YET: "B9"']),
    ],
)
def test_the_obligation(mentions: list[Mention], not_yet: set[str], expected: list[str]) -> None:
    lines = complaints(SMALL_BOOK, mentions, not_yet)
    assert [line.strip() for line in lines if not line.startswith("not done")] == expected
