"""The site's own tools: readers, writers and the checker of links, each with the mistake planted that it must see.

The site itself is built in .ci/run, with warnings as errors; here is what needs no Sphinx.
"""

import doctest
import json
import re
import shlex
from pathlib import Path

import pytest
from numpynet_site import api, assignments, book, check, scan, sources

from numpynet.cli import build_parser
from numpynet.experiments.findings import parse_results

DOCS = Path(__file__).parents[1] / "docs"
TEXT = scan.BOOK.read_text(encoding="utf-8")
ROWS = scan.read_book(TEXT)
KNOWN = {row.id for row in ROWS}


@pytest.mark.parametrize("module", [api, assignments, book, check, scan, sources], ids=lambda module: module.__name__)
def test_the_examples_of_the_tools_run(module):
    assert doctest.testmod(module).failed == 0


@pytest.fixture(scope="module")
def mentions():
    return scan.all_mentions()


def test_pages_of_assignments_teach_and_show_no_solution(mentions):
    pages = assignments.pages()
    assert {"index.md", "backprop.md", "dropout.md", "lottery.md", "detective.md"} == pages.keys()
    for page in pages.values():
        assert "return " not in page and "SOLUTION" not in page
        assert set(re.findall(r"\(([A-Z]\d+)\)", page)) <= KNOWN
    paths = {m.path for m in mentions}
    assert any(path.startswith(assignments.FOLDER) for path in paths)  # their citations are checked ...
    kept = assignments.without_answers(mentions)
    assert not any("dropout.py" in path and "classroom" in path for path in sources.shown_files(kept))  # ... not shown


# ---- the book --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bibliography():
    return book.read_bibliography((DOCS / "bibliography.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def group_pages(mentions, bibliography):
    return {
        letter: book.group_page(letter, title, text, KNOWN, mentions, bibliography, {})
        for letter, title, text in book.groups(TEXT)
    }


def test_every_row_has_an_entry_with_its_formula(group_pages):
    for row in ROWS:
        page = group_pages[row.id[0]]
        assert page.count(f"({book.anchor(row.id)})=\n## {row.id}: {row.name}\n") == 1
        entry = page.partition(f"({book.anchor(row.id)})=")[2].partition("\n(equation-")[0]
        for formula in re.findall(r"\$[^$]+\$", " ".join(row.cells)):
            assert formula in entry or formula.strip("$") in entry


def test_what_stands_beside_the_rows_is_not_lost(group_pages):
    assert "Order of a backward pass" in group_pages["B"]
    assert "| 18 | 4237, 541, **149** | 4927 | 1.851 | | | |" in group_pages["L"]
    assert "edge-popup" in group_pages["M"].partition("## More on this group")[2]


def test_every_implemented_row_links_to_code_and_tests(group_pages, mentions):
    """B5 is implemented by linear_backward, and its tests are on the pages of sources."""
    entry = group_pages["B"].partition("(equation-b5)=")[2].partition("\n(equation-")[0]
    assert "{py:obj}`linear_backward <numpynet.equations.linear.linear_backward>`" in entry.replace(
        "equations.linear.linear_backward <", "linear_backward <"
    )
    tested = [m for m in mentions if m.id == "B5" and m.scope == "marker"]
    assert tested
    for mention in tested:
        assert book.source_link(mention) in entry


def test_the_books_numbers_are_no_links_within_formulas():
    assert book.link_ids("by B5, not $B5$, `B5` or B99; the L2 penalty", KNOWN) == (
        "by [B5](#equation-b5), not $B5$, `B5` or B99; the L2 penalty"
    )
    assert book.link_ids("O10-O12", KNOWN) == "[O10](#equation-o10)-[O12](#equation-o12)"


def test_the_bibliography_names_rows_that_there_are(bibliography):
    assert len(bibliography) > 40
    assert {identity for entry in bibliography for identity in entry.ids} <= KNOWN
    anchors = [entry.anchor for entry in bibliography]
    assert len(set(anchors)) == len(anchors)
    (srivastava,) = [entry for entry in bibliography if entry.anchor == "srivastava2014"]
    assert srivastava.name == "Srivastava et al. 2014" and "D4" in srivastava.ids


def test_a_test_links_back_to_its_equations():
    text = "import x\n\n@pytest.mark.equation('B5')\ndef test_a():\n    pass\n\ndef test_b():\n    pass\n"
    mention = scan.Mention("B5", "tests/sub/test_x.py", 3, "marker", "test_a")
    highlighted = '<div class="highlight"><pre><span></span>' + text + "</pre></div>"
    body = sources.source_body("tests/sub/test_x.py", text, [mention], highlighted, {"B5": "book/B.html"})
    assert 'href="../../../book/B.html#equation-b5"' in body
    assert body.index("equation-b5") < body.index('id="test_a"') < body.index("def test_a") < body.index('id="test_b"')


# ---- docstrings as pages ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["|W| of M*W"], [r"\|W\| of M\*W"]),
        (["*inverted* and **not** a * b"], [r"*inverted* and **not** a \* b"]),
        (["``|W| * x``"], ["``|W| * x``"]),
        (["the layer:", "", "    D * x", "", "and |x|"], ["the layer::", "", "    D * x", "", r"and \|x\|"]),
        ([">>> |x|", "1 * |2|", "", "|x|"], [">>> |x|", "1 * |2|", "", r"\|x\|"]),
        (["* an item with a*b"], [r"* an item with a\*b"]),
        (["x : (N, d)", "    |x|:", "", "next"], ["x : (N, d)", r"    \|x\|:", "", "next"]),
    ],
)
def test_docstrings_are_read_as_they_are_meant(lines, expected):
    assert api.prepare(lines) == expected


def test_every_room_of_the_package_has_a_page_or_is_left_out_by_name():
    pages = api.pages()
    assert {"numpynet.equations.linear.rst", "numpynet.network.rst", "numpynet.pruning.rst"} <= pages.keys()
    assert not any(".commands" in name or "conftest" in name or ".mutants." in name for name in pages)
    for name in pages.keys() - {"index.rst"}:
        parent = f"{name.removesuffix('.rst').rpartition('.')[0]}.rst"
        listing = pages["index.rst" if parent == "numpynet.rst" else parent]
        assert f"<{name.removesuffix('.rst')}>" in listing, f"{name} stands in no table of contents"


# ---- results ---------------------------------------------------------------------------------------------------------

RESULTS = sorted((DOCS / "results").glob("*.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_published_result_names_a_command_that_exists_and_its_settings(path):
    record = parse_results(json.loads(path.read_text(encoding="utf-8")), path.name)
    program, *arguments = shlex.split(record["command"])
    assert program == "numpynet"
    build_parser().parse_args(arguments)  # exits if there is no such command
    assert record["tables"] and record["remark"] and {"NumPy", "numpynet"} <= record["settings"].keys()
    assert any("seed" in key for key in record["settings"])


def test_every_result_is_shown():
    shown = re.findall(r"^```\{results\} (.+)$", (DOCS / "results.md").read_text(encoding="utf-8"), re.MULTILINE)
    paths = [path for pattern in shown for path in (DOCS / "results").glob(f"{pattern}.json")]
    assert RESULTS and sorted(paths) == RESULTS


def test_every_page_stands_in_the_navigation():
    listed = set()
    for page in [DOCS / "index.md", DOCS / "howto" / "index.md"]:
        for block in re.findall(
            r"^```\{toctree\}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        ):
            names = [line for line in block.splitlines() if line and not line.startswith(":")]
            listed |= {(page.parent / f"{name}.md").resolve() for name in names}
    pages = {path.resolve() for pattern in ("*.md", "howto/*.md") for path in DOCS.glob(pattern)}
    assert pages - listed == {(DOCS / "index.md").resolve()}, "name the page in docs/index.md or docs/howto/index.md"


# ---- the checker of the built site -----------------------------------------------------------------------------------

GOOD = """<!doctype html><html><head><link rel="stylesheet" href="_static/a.css"><link rel="canonical" href="https://example.org/">
<script src="_static/a.js"></script></head><body id="top"><a href="other.html#place">x</a> <a href="#here">y</a>
<a href="https://example.org/paper">a paper</a> <a href="sub/">z</a><img src="data:image/png;base64,xx" alt=""><p id="here"></p>
</body></html>"""


@pytest.fixture
def site(tmp_path):
    (tmp_path / "_static").mkdir()
    (tmp_path / "sub").mkdir()
    (tmp_path / "_static" / "a.css").write_text("p { background: url(b.png) }")
    (tmp_path / "_static" / "a.js").write_text(
        "// see https://example.org/docs\nfetch('data.json'); x = '<a href=\"https://example.org\">';"
    )
    (tmp_path / "index.html").write_text(GOOD)
    (tmp_path / "other.html").write_text('<p id="place"></p>')
    (tmp_path / "sub" / "index.html").write_text('<a href="../index.html#top">up</a>')
    return tmp_path


def test_a_good_site_passes(site, capsys):
    assert list(check.complaints(site)) == []
    assert check.main([str(site)]) == 0
    assert "nothing is fetched" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("bad.html", '<a href="nowhere.html">x</a>', "nowhere.html leads nowhere"),
        ("bad.html", '<a href="other.html#nowhere">x</a>', "no such place"),
        ("bad.html", '<a href="#nowhere">x</a>', "no such place"),
        ("bad.html", '<img src="_static/missing.png" alt="">', "leads nowhere"),
        ("bad.html", '<img src="data:,x">', "no alternative text"),
        ("bad.html", '<script src="https://example.org/x.js"></script>', "fetches https://example.org/x.js"),
        ("bad.html", '<script src="//example.org/x.js"></script>', "fetches //example.org/x.js"),
        ("bad.html", '<link rel="stylesheet" href="https://example.org/x.css">', "fetches https"),
        ("bad.html", '<link rel="preconnect" href="https://example.org/">', "fetches https"),
        ("bad.html", '<img alt="" srcset="https://example.org/x.png 2x">', "fetches https"),
        ("bad.html", '<p style="background: url(https://example.org/x.png)">', "fetches https"),
        ("bad.html", "<style>@import 'https://example.org/x.css';</style>", "fetches https"),
        ("bad.html", "<script>fetch('https://example.org/x')</script>", "fetches https"),
        ("bad.html", "<script>import x from 'https://example.org/x.js'</script>", "fetches https"),
        ("bad.html", '<form action="https://example.org/"></form>', "fetches https"),
        ("_static/bad.css", "@font-face { src: url('//example.org/f.woff') }", "fetches //example.org/f.woff"),
        ("_static/bad.js", 'new WebSocket("wss://example.org/s")', "fetches wss"),
        ("_static/bad.js", 'element.src = "https://example.org/x.png"', "fetches https"),
    ],
)
def test_a_planted_fault_is_found(site, name, text, complaint, capsys):
    (site / name).write_text(text)
    (line,) = check.complaints(site)
    assert complaint in line and name in line
    assert check.main([str(site)]) == 1
    assert complaint in capsys.readouterr().out


def test_no_site_is_no_success(tmp_path, capsys):
    assert check.main([str(tmp_path)]) == 2
    assert "build it with" in capsys.readouterr().err
