"""The equation book, the code and the tests belong together, and this test holds them so.

Code cites an equation in a docstring, ``Equation (B5)`` or ``Equations (B3) to (B6)``; a test carries
``@pytest.mark.equation("B5")``. A cited id must exist. Every row of kind ``def`` needs code and a test, every row of kind
``law`` a test, but for the ids in ``NOT_YET``, a list that only shrinks. Rows of kind ``obs`` belong to experiments, and
the rows N, which are false claims, oblige nobody.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from numpynet_site.scan import (
    BOOK,
    Mention,
    Row,
    all_mentions,
    cited_ids,
    definitions,
    docstring_mentions,
    marker_mentions,
    read_book,
    text_mentions,
)

# What is still to come: nothing. A new row may stand here until its code and its test are there; the test below says which.
NOT_YET: set[str] = set()


# ---- what is wrong -------------------------------------------------------------------------------------------------


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


@pytest.fixture(scope="module")
def book() -> list[Row]:
    return read_book(BOOK.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def mentions() -> list[Mention]:
    return all_mentions()


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

SMALL_BOOK = [
    Row(name, kind, words, ("$x$", "", "CF"))
    for name, kind, words in [("B1", "def", "one"), ("B2", "def", "two"), ("B3", "law", "three"), ("B4", "obs", "four")]
]


def test_docstrings_are_read_and_nothing_else() -> None:
    assert list(docstring_mentions(SOURCE, "m.py")) == [
        Mention("B1", "m.py", 2, "module"),
        Mention("B2", "m.py", 7, "function", "f"),
        Mention("B99", "m.py", 7, "function", "f"),
        Mention("B3", "m.py", 12, "function", "C.g"),
    ]


def test_markers_are_read_wherever_they_stand() -> None:
    found = list(marker_mentions(TESTS, "t.py"))
    assert {m.id for m in found} == {
        *("B1", "B99", "B2", "B3"),
        "*IDS (no literal)",
        "pytest.mark.equation() (ids are wanted)",
    }
    assert Mention("B99", "t.py", 2, "marker", "test_f") in found
    assert {m.name for m in found if m.id in ("B2", "B3")} == {"TestC", "TestC.test_g"}


def test_a_planted_wrong_id_is_found(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "test_wrong.py").write_text(TESTS, encoding="utf-8")
    lines = unknown_ids(SMALL_BOOK, docstring_mentions((tmp_path / "wrong.py").read_text(encoding="utf-8"), "wrong.py"))
    assert lines == ["wrong.py:7: B99 is not in docs/equations.md"]
    lines = unknown_ids(SMALL_BOOK, marker_mentions((tmp_path / "test_wrong.py").read_text(encoding="utf-8"), "t.py"))
    assert len(lines) == 3 and lines[0].startswith("t.py:2: B99 is not")
    page = "# Page\n\nSee Equation (B7).\n\n$$\nx \\tag{B8}\n$$\n"
    lines = unknown_ids(SMALL_BOOK, text_mentions(page, "docs/page.md"))
    assert lines == [f"docs/page.md:{line}: B{id} is not in docs/equations.md" for line, id in [(3, 7), (6, 8)]]


def test_rows_are_read() -> None:
    text = (
        "| id | kind | name |\n|---|---|---|\n| B1 | def | one | $x$ |\n| N1 | a claim | the truth | - |\n| 3 | 4 |\n"
    )
    assert read_book(text) == [
        Row("B1", "def", "one", ("$x$",)),
        Row("N1", "", "a claim", ("the truth", "-")),
    ]


def code(name: str) -> Mention:
    return Mention(name, "m.py", 1, "function", "f")


def test_of(name: str) -> Mention:
    return Mention(name, "t.py", 1, "marker", "test_f")


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
        ([Mention("B1", "m.py", 1, "module"), test_of("B1")], {"B2", "B3"}, ["B1 (def, one) lacks code"]),
        ([code("B1"), test_of("B1")], {"B1", "B2", "B3"}, ['done, take out of NOT_YET: "B1"']),
        ([test_of("B3"), code("B1")], {"B1", "B2", "B3"}, ['done, take out of NOT_YET: "B3"']),
        ([], {"B1", "B2", "B3", "B4"}, ['no row of kind def or law, take out of NOT_YET: "B4"']),
        ([], {"B1", "B2", "B3", "B9"}, ['no row of kind def or law, take out of NOT_YET: "B9"']),
    ],
)
def test_the_obligation(mentions: list[Mention], not_yet: set[str], expected: list[str]) -> None:
    lines = complaints(SMALL_BOOK, mentions, not_yet)
    assert [line.strip() for line in lines if not line.startswith("not done")] == expected


def test_definitions_are_found_wherever_a_statement_may_stand():
    source = """
if a:
    def in_if(): ...
elif b:
    def in_elif(): ...
else:
    def in_else(): ...
try:
    def in_try(): ...
except E:
    def in_except(): ...
finally:
    def in_finally(): ...
match a:
    case 1:
        def in_case(): ...
class K:
    with a:
        async def method(self):
            for _ in a:
                while b:
                    def inner(): ...
f = lambda: 1
"""
    names = [
        "in_if",
        "in_elif",
        "in_else",
        "in_try",
        "in_except",
        "in_finally",
        "in_case",
        "K",
        "K.method",
        "K.method.inner",
    ]
    assert [name for name, _ in definitions(ast.parse(source))] == names
