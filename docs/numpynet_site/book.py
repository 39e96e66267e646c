"""The pages of the equation book: every row of docs/equations.md with its sources, its code, its tests and its lessons.

Nothing is linked by hand: code is found by the docstrings that cite an id, tests by their markers, lessons by the tags of
their formulas, the literature by the ids that an entry of docs/bibliography.md names.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from numpynet_site.scan import Mention, Row, cited_ids, read_book

KINDS = {
    "def": "definition: a function computes it",
    "law": "law: a test asserts it",
    "obs": "observation: an experiment reports it",
    "": "looks true but is not",
}
METHODS = {
    "EX": "exact enumeration of all masks",
    "CS": "complex step",
    "CF": "closed form against the code",
    "BW": "bit for bit",
    "ST": "statistics with a bound, seed fixed",
    "MU": "the planted bug must fail",
    "EXP": "experiment with spread",
}
FIELDS = {"N": ("What is true", "Counterexample")}
# Rooms whose functions cite an equation because they measure or audit it, not because they are its code. What is in a
# file whose name begins with an underscore is nobody's business: the solution of an assignment, for instance.
ROLES = {
    "numpynet/audit/": "Audit",
    "numpynet/experiments/": "Experiments",
    "numpynet/conformance/": "Laws",
    "numpynet/classroom/": "Assignments",
    "numpynet/gradcheck/zoo/": "Planted bugs",
}
OWN_ID = re.compile(r"(?<![\w$\\^{\[#-])([BODMPLN]\d+)(?:-([BODMPLN]\d+))?(?![\w}])(?! penalt| regulari| norm)")
MATHS = re.compile(r"(\$\$.*?\$\$|\$[^$]+\$|`[^`]+`)", re.DOTALL)


class Entry(NamedTuple):
    """An entry of the bibliography: what it is called in a sentence, its anchor, and the ids that come from it."""

    name: str
    anchor: str
    ids: tuple[str, ...]


def read_bibliography(text: str) -> list[Entry]:
    """Return the entries of docs/bibliography.md: an anchor line, then a paragraph that begins with a bold name."""
    entries = []
    for match in re.finditer(r"^\(([\w-]+)\)=\n+\*\*(.+?)\*\*(.*?)(?=^\(|^#|\Z)", text, re.MULTILINE | re.DOTALL):
        entries.append(Entry(match[2].rstrip("."), match[1], tuple(name for name, _ in cited_ids(match[3]))))
    return entries


def anchor(identity: str) -> str:
    """Return the anchor of an id on the page of its group.

    >>> anchor("B5")
    'equation-b5'
    """
    return f"equation-{identity.lower()}"


def link_ids(text: str, known: Iterable[str]) -> str:
    """Make a link of every id outside formulas and code.

    >>> link_ids("see B5, not $B5$", {"B5"})
    'see [B5](#equation-b5), not $B5$'
    """
    known = set(known)

    def link(match: re.Match) -> str:
        ids = [name for name in match.groups() if name]
        if not set(ids) <= known:
            return match[0]
        return "-".join(f"[{name}](#{anchor(name)})" for name in ids)

    parts = MATHS.split(text)
    return "".join(part if odd else OWN_ID.sub(link, part) for part, odd in zip(parts, [0, 1] * len(parts)))


def index_page(book: str, names: Sequence[str]) -> str:
    """Return docs/equations.md as a page of the site: what stands before the tables, then the groups as links."""
    head = re.split(r"^## 3\. ", book, maxsplit=1, flags=re.MULTILINE)[0]
    rows = read_book(book)
    known = {row.id for row in rows}
    head = re.sub(r"^## \d+\. ", "## ", head, flags=re.MULTILINE)
    lists = "\n".join(
        f"- **{title}.** " + " ".join(f"[{row.id}](#{anchor(row.id)})" for row in rows if row.id[0] == group)
        for group, title, _ in groups(book)
    )
    toc = "\n".join(f"book/{name}" for name in names)
    return (
        f"{link_ids(head, known)}\n## All ids\n\n{lists}\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n:caption: The groups\n\n{toc}\n```\n"
    )


def groups(book: str) -> list[tuple[str, str, str]]:
    """Return (letter, title, text) of every section of the book that holds rows."""
    sections = re.split(r"^## \d+\. ", book, flags=re.MULTILINE)[1:]
    found = []
    for section in sections:
        title, _, text = section.partition("\n")
        rows = read_book(text)
        if rows:
            letter = rows[0].id[0]
            found.append((letter, title.removeprefix(f"{letter}: "), text))
    return found


def group_page(
    letter: str,
    title: str,
    text: str,
    known: Iterable[str],
    mentions: Iterable[Mention],
    bibliography: Iterable[Entry],
    lessons: dict[str, str],
) -> str:
    """Return the page of one group: its prose and smaller tables as they stand, each row of its table as an entry.

    Parameters
    ----------
    letter, title, text : as ``groups`` yields them
    known : every id of the book
    mentions : of the whole repository
    bibliography : entries of docs/bibliography.md
    lessons : path of a tutorial -> title
    """
    mentions, bibliography = list(mentions), list(bibliography)
    before, after, rows = [], [], read_book(text)
    for line in text.strip().splitlines():
        if line.startswith("| id |") or (before[-1:] == ["|---"] and line.startswith("|---")):
            before.append("|---")
        elif not re.match(r"\| [A-Z]\d+ \|", line):
            (after if "|---" in before else before).append(line)
    prose = "\n".join(line for line in before if line != "|---")
    entries = "\n".join(entry(row, known, mentions, bibliography, lessons) for row in rows)
    rest = "\n".join(after).lstrip("|-\n")
    rest = f"## More on this group\n\n{link_ids(rest, known)}\n" if rest.strip() else ""
    return f"# {letter}: {title}\n\n{link_ids(prose, known)}\n\n{entries}\n{rest}"


def entry(
    row: Row, known: Iterable[str], mentions: Sequence[Mention], bibliography: Sequence[Entry], lessons: dict[str, str]
) -> str:
    """Return one row of the book as MyST: heading, formula, and fields that link to everything about it."""
    mine = [m for m in mentions if m.id == row.id and not re.search(r"/_[^_]", m.path)]
    labels = FIELDS.get(row.id[0], ("", "Holds for", "Verified by"))
    fields: list[tuple[str, str]] = []
    cells = list(zip(labels, row.cells))
    body = ""
    if row.id[0] != "N":
        body = display(link_ids(row.cells[0], known))
        cells = cells[1:]
    for label, cell in cells:
        if cell and cell != "-":
            cell = link_ids(cell, known)
            fields.append((label, methods(cell) if label == "Verified by" else cell))
    sources = [f"[{source.name}](#{source.anchor})" for source in bibliography if row.id in source.ids]
    fields.append(("Comes from", ", ".join(sources)))
    code: dict[str, list[Mention]] = {}
    for mention in mine:
        if mention.scope == "function":
            role = next((name for room, name in ROLES.items() if mention.path.startswith(room)), "Code")
            code.setdefault(role, []).append(mention)
    for role in ("Code", *ROLES.values()):
        fields.append((role, ", ".join(code_links(code.get(role, [])))))
    tests = dict.fromkeys(source_link(m) for m in mine if m.scope == "marker")
    fields.append(("Tests", "".join(f"\n    - {link}" for link in tests)))
    taught = [m for m in mine if m.scope in ("tag", "text") and m.path in lessons]
    taught.sort(key=lambda mention: (mention.scope != "tag", mention.path))
    pages = dict.fromkeys(f"[{lessons[m.path]}](../tutorials/{PurePosixPath(m.path).stem}.md)" for m in taught)
    fields.append(("Taught in", ", ".join(pages)))
    written = "\n".join(f":{label}: {value}" for label, value in fields if value)
    kind = f"[{KINDS[row.kind]}]{{.kind .kind-{row.kind or 'false'}}}"
    return f"({anchor(row.id)})=\n## {row.id}: {row.name}\n\n{kind}\n\n{body}\n\n{written}\n"


def display(cell: str) -> str:
    """Return the formula of a row: displayed when it is one formula and nothing else.

    >>> display("$x=y$"), display("$x$ is $y$")
    ('$$\\nx=y\\n$$', '$x$ is $y$')
    """
    whole = re.fullmatch(r"\$([^$]+)\$", cell)
    return f"$$\n{whole[1]}\n$$" if whole else cell


def methods(cell: str) -> str:
    """Spell out the codes of section 2 of the book.

    >>> methods("CS; row sums")
    'complex step; row sums'
    """
    parts = MATHS.split(cell)
    spelt = [re.sub(r"\b(EXP|EX|CS|CF|BW|ST|MU)\b", lambda match: METHODS[match[1]], part) for part in parts]
    return "".join(part if odd else new for part, new, odd in zip(parts, spelt, [0, 1] * len(parts)))


def code_links(mentions: Sequence[Mention]) -> list[str]:
    """Return links to the functions that cite an equation: to their API entries, or to their files where they have none.

    >>> code_links([Mention("B1", "numpynet/network.py", 9, "function", "MLP.forward")])
    ['{py:obj}`MLP.forward <numpynet.network.MLP.forward>`']
    """
    places = dict.fromkeys((module_of(mention.path), mention.name) for mention in mentions)
    names = [name for _, name in places]
    first = {(module_of(mention.path), mention.name): mention for mention in mentions}
    links = []
    for module, name in places:
        if name.startswith("_") or "._" in name or ".zoo" in module or ".mutants" in module:
            links.append(source_link(first[module, name]))
        else:
            shown = name if names.count(name) == 1 else f"{module.removeprefix('numpynet.')}.{name}"
            links.append(f"{{py:obj}}`{shown} <{module}.{name}>`")
    return links


def source_link(mention: Mention) -> str:
    """Return a link into the page of a source file; relative to the pages of the book."""
    name = mention.name or PurePosixPath(mention.path).name
    target = f"../source/{mention.path.removesuffix('.py')}.html" + (f"#{mention.name}" if mention.name else "")
    label = html.escape(f"{PurePosixPath(mention.path).stem}: {name}" if mention.name else name)
    return f'<a class="source" href="{html.escape(target)}">{label}</a>'


def module_of(path: str) -> str:
    """Return the dotted name of a file: numpynet/pruning/__init__.py is numpynet.pruning.

    >>> module_of("numpynet/equations/linear.py")
    'numpynet.equations.linear'
    """
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
