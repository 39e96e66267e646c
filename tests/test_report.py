"""The report: a page that needs nothing but itself, in which every text is shown as it was given."""

import base64
import platform
import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import numpynet
from numpynet import report

NASTY = """<b>1 < 2 & "three" > 'zero'</b>"""
VOID = {"meta", "img", "br", "hr", "link", "input"}

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)


class Page(HTMLParser):
    """Reads a page: the tags that were opened and not closed, all texts, and all attributes."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.texts, self.attributes, self.tags = [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@given(texts)
def test_every_text_is_shown_as_it_is(text):
    for html in (
        report.paragraph(text),
        report.section(text),
        report.table((text,), []),
        report.table(("a",), [(text,)]),
    ):
        assert text.strip() in "".join(Page(html).texts)
    page = Page(report.page(text, text, []))
    assert "".join(page.texts).count(text) >= 3  # title, heading, intro


@pytest.mark.parametrize(
    "html",
    [
        report.page(NASTY, NASTY, [report.section(NASTY, report.paragraph(NASTY, quiet=True))]),
        report.table((NASTY, "b"), [(NASTY, NASTY)]),
        report.figure(b"PNG", NASTY),
        report.settings_table({NASTY: NASTY}),
    ],
)
def test_no_text_becomes_a_tag(html):
    page = Page(html)
    assert "b" not in page.tags
    assert NASTY in unescape(html)
    assert not re.search(r"& ", html)  # every ampersand is one of ours


def test_a_page_is_whole():
    html = report.page("Title", "Intro", [report.section("One", report.paragraph("text")), report.section("Two")])
    page = Page(html)
    assert html.startswith("<!doctype html>\n<html lang=")
    assert ("meta", "charset", "utf-8") in page.attributes
    assert [tag for tag in page.tags if tag in ("h1", "h2")] == ["h1", "h2", "h2"]
    assert "http" not in html
    assert "<script" not in html


def test_a_table_keeps_rows_and_columns():
    rows = [("B1", 0, 1e-16), ("B22", 3, None)]
    html = report.table(("id", "n", "error"), rows)
    assert re.findall(r"<th>(.*?)</th>", html) == ["id", "n", "error"]
    cells = [re.findall(r"<td>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)[1:]]
    assert cells == [["B1", "0", "1e-16"], ["B22", "3", "None"]]
    Page(html)


@given(st.binary(max_size=50))
def test_a_figure_carries_its_picture(png):
    page = Page(report.figure(png, "what is seen"))
    (source,) = (value for tag, name, value in page.attributes if name == "src")
    kind, _, data = source.partition(",")
    assert kind == "data:image/png;base64"
    assert base64.b64decode(data, validate=True) == png
    assert ("img", "alt", "what is seen") in page.attributes
    assert page.texts == ["what is seen"]


def test_versions_are_those_that_run():
    assert report.versions() == {
        "numpynet": numpynet.__version__,
        "NumPy": np.__version__,
        "Python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
    html = report.settings_table({"seed": 7})
    for name, value in {"seed": 7, **report.versions()}.items():
        assert f"<tr><td>{name}</td><td>{value}</td></tr>" in html


words = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=9)


@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(words, min_size=n, max_size=n), min_size=1, max_size=6)))
def test_the_columns_of_a_text_table_are_aligned(rows):
    lines = report.text_table(rows[0], rows[1:]).split("\n")
    assert [line.split() for line in lines] == rows
    for column in range(len(rows[0])):
        width = sum(max(len(row[c]) for row in rows) + 2 for c in range(column))
        assert all(line[width : width + len(row[column])] == row[column] for line, row in zip(lines, rows, strict=True))
    assert all(line == line.rstrip() for line in lines)


def test_empty_cells_keep_their_place():
    assert report.text_table(("a", "b", "c"), [("1", "", "3"), ("", "", "")]) == "a  b  c\n1     3\n"


@pytest.mark.parametrize("row", [("1",), ("1", "2", "3")])
def test_a_row_of_another_length_is_refused_not_cut(row):
    with pytest.raises(ValueError, match=rf"has {len(row)} cells, but the header has 2"):
        report.text_table(("a", "b"), [("1", "2"), row])
