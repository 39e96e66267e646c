"""Docstrings are numpydoc, whole and true: sections in order, every parameter described, none that is not there.

What a linter cannot know is read off the signature. Each public function describes all its parameters, what it returns
and, where it raises itself, its errors; in files that nobody else calls, what is described must fit.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "numpynet"
SECTIONS = ["Parameters", "Returns", "Yields", "Raises", "Warns", "See Also", "Notes", "References", "Examples"]
HEADING = re.compile(r"^([A-Z][A-Za-z ]+)\n(-{3,})$", re.MULTILINE)


def sections(docstring: str) -> list[tuple[str, str]]:
    """Return title and text of every section of a docstring; the first, which has no title, is the summary."""
    parts = HEADING.split(docstring)
    return [("", parts[0]), *zip(parts[1::3], parts[3::3])]


def described(text: str) -> list[str]:
    """Return the names that a section of parameters describes, in order."""
    names = re.findall(r"^([*\w][\w*, ]*?) ?:(?= |$)", text, re.MULTILINE)
    return [name.strip().lstrip("*") for line in names for name in line.split(",")]


def parameters(node: ast.FunctionDef) -> list[str]:
    """Return the names of the parameters of a function, without self and cls."""
    a = node.args
    names = [x.arg for x in (*a.posonlyargs, *a.args, *([a.vararg] if a.vararg else []), *a.kwonlyargs)]
    names += [a.kwarg.arg] if a.kwarg else []
    return [name for name in names if name not in ("self", "cls")]


def raises(node: ast.FunctionDef) -> bool:
    """Return whether a function raises an error itself, rather than by what it calls."""
    return any(isinstance(inner, ast.Raise) and inner.exc is not None for inner in ast.walk(node))


def public_functions(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield public functions, and public methods of public classes, with their names."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node.name, node
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


def complaints(source: str, where: str, *, complete: bool) -> list[str]:
    """Return what is wrong with the docstrings of a source."""
    lines = []
    for name, node in public_functions(ast.parse(source)):
        parts = sections(ast.get_docstring(node) or "")
        titles = [title for title, _ in parts[1:]]
        text = dict(parts)
        label = f"{where}: {name}"
        if unknown := [title for title in titles if title not in SECTIONS]:
            lines.append(f"{label}: numpydoc knows no section {unknown[0]!r}")
        elif titles != sorted(set(titles), key=SECTIONS.index):
            lines.append(f"{label}: the sections are {', '.join(titles)}, but their order is {', '.join(SECTIONS)}")
        if "Parameters" in text and described(text["Parameters"]) != parameters(node):
            wanted, found = parameters(node), described(text["Parameters"])
            lines.append(f"{label}: describes ({', '.join(found)}), but takes ({', '.join(wanted)})")
        decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
        if not complete or any(name.endswith("property") or name.startswith("law(") for name in decorators):
            continue  # what @law makes is a record, and no function that a reader calls: ``Law`` says what it takes
        returns = parameters(node) and node.returns and ast.unparse(node.returns) not in ("None", "NoReturn")
        if parameters(node) and "Parameters" not in text:
            lines.append(f"{label}: takes ({', '.join(parameters(node))}) and describes nothing")
        if returns and not {"Returns", "Yields"} & text.keys():
            lines.append(f"{label}: does not say what it returns, in which shape")
        if raises(node) and "Raises" not in text:
            lines.append(f"{label}: raises errors and does not say which")
    return lines


def for_callers(path: Path) -> bool:
    """Return whether others call what is in a file: hooks and tests are for pytest, a leading _ is for the room."""
    return path.name.startswith("__") or not path.name.startswith(("test_", "conftest", "_"))


def test_every_public_function_is_described_and_nothing_that_is_not_there():
    lines = []
    for path in sorted(PACKAGE.rglob("*.py")):
        where = path.relative_to(PACKAGE).as_posix()
        lines += complaints(path.read_text(encoding="utf-8"), where, complete=for_callers(path))
    if lines:
        pytest.fail("\n".join(lines), pytrace=False)


WHOLE = '''
def scale(x: int, *rest: int, factor: int = 2) -> int:
    """Return factor * x.   Equation (B1)

    Parameters
    ----------
    x : (N, d) input: one row each
    *rest : more of them
    factor : by what
        a colon in the text : is no name

    Returns
    -------
    y : (N, d)

    Raises
    ------
    ValueError
        x is negative.

    Examples
    --------
    >>> scale(1)
    2
    """
    if x < 0:
        raise ValueError(x)
    return factor * x
'''


def test_files_that_nobody_else_calls_are_few():
    inner = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if not for_callers(path)]
    assert sorted(inner) == [
        "classroom/assignments/_warmup_solution.py",
        "conformance/conftest.py",
        "conformance/test_laws.py",
        "conformance/test_machine.py",
    ]


def test_a_whole_docstring_passes():
    assert complaints(WHOLE, "m", complete=True) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("    factor : by what\n        a colon in the text : is no name\n", "", "describes (x, rest), but takes"),
        ("    x : (N, d) input: one row each\n", "    z : (N, d)\n", "describes (z, rest, factor), but takes (x,"),
        ("    *rest : more of them\n", "    *rest : more of them\n    ghost : gone\n", "describes (x, rest, ghost"),
        ("    Returns\n    -------\n    y : (N, d)\n\n", "", "what it returns"),
        ("    Raises\n    ------\n    ValueError\n        x is negative.\n\n", "", "raises errors"),
        ("Returns\n    -------", "Result\n    -------", "no section 'Result'"),
        ("    Raises\n    ------", "    Parameters\n    ------", "order"),
    ],
)
def test_a_planted_gap_is_found(old, new, complaint):
    assert old in WHOLE
    lines = complaints(WHOLE.replace(old, new), "m", complete=True)
    assert any(complaint in line for line in lines), lines


def test_a_law_is_no_function_that_a_reader_calls():
    bare = 'def values(subject, seed, sizes):\n    """Kept values are x / q."""\n'
    assert complaints(f'@law("values", "f")\n{bare}', "m", complete=True) == []
    assert complaints(f'@lawful("values")\n{bare}', "m", complete=True) != []


def test_an_undescribed_parameter_counts_where_all_must_be_described():
    bare = 'def scale(x):\n    """Return 2 x."""\n    return 2 * x\n'
    assert complaints(bare, "m", complete=False) == []
    assert complaints(bare, "m", complete=True) == ["m: scale: takes (x) and describes nothing"]
