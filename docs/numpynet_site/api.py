"""The pages of the API reference, one for each module, and how docstrings of this package become reStructuredText."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

from numpynet_site.book import module_of
from numpynet_site.scan import ROOT

# What a reader looks for first stands first; a room that no group names comes under "More rooms".
GROUPS = [
    ("The equations", ["equations"]),
    ("Networks and training", ["parameters", "network", "layer_rules", "initializers", "optimizers", "schedules"]),
    ("", ["plan", "training", "checkpoints", "classifier"]),
    ("Subnetworks, pruning, tickets", ["subnetworks", "pruning", "lottery", "link"]),
    ("Data", ["data"]),
    ("Checking", ["gradcheck", "conformance", "audit"]),
    ("Experiments and reports", ["experiments", "statistics", "figures", "report"]),
    ("Teaching", ["classroom"]),
]
# Command-line plumbing, and what pytest loads by itself.
LEFT_OUT = re.compile(
    r"numpynet(\.(commands|cli|__main__)\b.*)?$|.*\.(conftest|test_\w+)$|.*\.assignments\.\w+$|.*\.(zoo|mutants)\b.*|.*\._\w+$"
)


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Return the modules that have a page: dotted name -> file."""
    paths = sorted((root / "numpynet").rglob("*.py"))
    named = {module_of(path.relative_to(root).as_posix()): path for path in paths}
    return {name: path for name, path in named.items() if not LEFT_OUT.match(name)}


def summary(path: Path) -> str:
    """Return the first sentence of a module's docstring."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return _escaped(" ".join(doc.split("\n\n")[0].split()))


def pages(root: Path = ROOT) -> dict[str, str]:
    """Return file name -> text of every page of the reference."""
    known = modules(root)
    made = {f"{name}.rst": module_page(name, path, known) for name, path in known.items()}
    return {"index.rst": index_page(known), **made}


def index_page(known: dict[str, Path]) -> str:
    """Return the page that lists all rooms, group by group."""
    rooms = [name for name in known if name.count(".") == 1]
    grouped = {f"numpynet.{room}" for _, names in GROUPS for room in names}
    rest = ("More rooms", [name.split(".")[1] for name in rooms if name not in grouped])
    lines = [_heading("API reference"), INTRODUCTION]
    for title, names in [*GROUPS, rest]:
        present = [f"numpynet.{name}" for name in names if f"numpynet.{name}" in known]
        if present and title:
            lines.append(_heading(title, "-"))
        lines += [f":doc:`{name} <{name}>`\n    {summary(known[name])}\n" for name in present]
        if present:
            lines.append(_toctree(present, hidden=True))
    return "\n".join(lines)


def module_page(name: str, path: Path, known: dict[str, Path]) -> str:
    """Return the page of one module; that of a package lists its modules instead of what it imports from them."""
    inner = [other for other in known if other.rpartition(".")[0] == name]
    lines = [_heading(name.removeprefix("numpynet."))]
    if path.name == "__init__.py":
        lines.append(f".. automodule:: {name}\n   :members:\n   :ignore-module-all:\n")
        lines += [f":doc:`{other} <{other}>`\n    {summary(known[other])}\n" for other in inner]
        lines.append(_toctree(inner, hidden=True) if inner else "")
    else:
        lines.append(f".. automodule:: {name}\n   :members:\n   :member-order: bysource\n   :ignore-module-all:\n")
    return "\n".join(lines)


INTRODUCTION = """
Every public function says what it computes with the id of its equation, the shape of every array, the errors it raises,
and shows an example, which is run as a test. Shapes are written as in the equation book: ``(..., N, d)`` is N
examples of d units with any number of leading axes. Probabilities and shares are numbers between 0 and 1, losses are in
nats, times in seconds. "Equation (B1)" leads to the book, "[source]" to the code.
"""


def _heading(text: str, mark: str = "=") -> str:
    return f"{text}\n{mark * len(text)}\n"


def _toctree(names: list[str], *, hidden: bool) -> str:
    return "\n".join(
        [
            ".. toctree::",
            "   :hidden:" if hidden else "",
            "",
            *[f"   {name.rpartition('.')[2]} <{name}>" for name in names],
            "",
        ]
    )


# ---- docstrings ------------------------------------------------------------------------------------------------------

LITERAL = re.compile(r"(``.+?``|:\w+:`[^`]+`)")
EMPHASIS = re.compile(r"(?<![\w*])(\*{1,2})(?=[^\s*])([^*]*[^\s*])\1(?![\w*])")


def prepare(lines: list[str]) -> list[str]:
    """Return a docstring as it is meant, not as reStructuredText would take it.

    What is indented after a colon is code, and a star or a bar in a sentence is a product or a size, unless it is
    the emphasis of words.

    >>> prepare(["|W| * x*y, with *names*:", "", "    D * x", "", "*args : more"])
    ['\\\\|W\\\\| \\\\* x\\\\*y, with *names*::', '', '    D * x', '', '\\\\*args : more']
    """
    made, code, example = [], None, False
    for number, line in enumerate(lines):
        if line.strip() and code is not None and _indent(line) <= code:
            code = None
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        if code is None and not example:
            opens = line.endswith(":") and not line.strip().endswith("::") and not line.lstrip().startswith(":")
            after = lines[number + 2] if number + 2 < len(lines) and not lines[number + 1].strip() else ""
            line = _escaped(line)
            if opens and after.strip() and _indent(after) >= _indent(line) + 4:
                line += ":"
            if line.endswith("::"):
                code = _indent(line)
        made.append(line)
    return made


def _escaped(line: str) -> str:
    if re.match(r"\s*(\* |[=+-]{3})", line):  # an item of a list keeps its star, the frame of a table its signs
        head, line = re.match(r"(\s*(?:\* )?)(.*)", line, re.DOTALL).groups()
    else:
        head = ""
    parts = LITERAL.split(line)
    return head + "".join(part if odd else _escaped_words(part) for part, odd in zip(parts, [0, 1] * len(parts)))


def _escaped_words(text: str) -> str:
    pieces, end = [], 0
    for match in EMPHASIS.finditer(text):
        pieces += [re.sub(r"([*|])", r"\\\1", text[end : match.start()]), match[0]]
        end = match.end()
    pieces.append(re.sub(r"([*|])", r"\\\1", text[end:]))
    return "".join(pieces)


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def field_comment(owner: type, field: str) -> str:
    """Return the comment at the end of the line that declares a field of a NamedTuple: its shape and meaning."""
    try:
        source = inspect.getsource(owner)
    except (OSError, TypeError):
        return ""
    match = re.search(rf"^    {field}: [^#\n]*#\s*(.*)$", source, re.MULTILINE)
    return re.sub(r"\s+", " ", match[1]) if match else ""
