"""Every tutorial runs as a plain script, keeps to the form of a page, and cites equations that exist, each shown once.

A rule about the text of a page is a function from source to complaints, so that planted offences show that it bites.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from numpynet_site.scan import BOOK, CITATION, cited_ids, read_book

ROOT = Path(__file__).parents[2]
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "tutorials").glob("*.py"))}
IDS = {row.id for row in read_book(BOOK.read_text(encoding="utf-8"))}

# These take about two seconds of processor time or less; the others run with -m slow, and whenever the site is built.
QUICK = {"t01", "t02", "t03", "t04", "t05", "t07", "t08", "t10", "t11", "t14"}
LEAST_ASSERTIONS = 15
OPENING = ("**What you will do.**", "**What you will learn.**", "**What you will need.**")
CLOSING = ("## Exercises", "## What to read next")


# ---- rules about the text of a page ---------------------------------------------------------------------------------


def cells(source: str) -> Iterator[tuple[str, str]]:
    """Yield ("markdown" or "code", text) of a script in py:percent form; the comment signs of markdown are removed."""
    for part in re.split(r"^# %%", source, flags=re.M)[1:]:
        header, _, body = part.partition("\n")
        if "[markdown]" in header:
            yield "markdown", re.sub(r"^# ?", "", body, flags=re.M).strip()
        else:
            yield "code", body.strip()


def markdown(source: str) -> str:
    """The prose of a page."""
    return "\n\n".join(text for kind, text in cells(source) if kind == "markdown")


def tags(source: str) -> list[str]:
    """The equations that a page displays with their number."""
    return re.findall(r"\\tag\{(\w+)\}", markdown(source))


def form(source: str, name: str) -> list[str]:
    """What is missing in the frame of a page: title, opening, closing, exercises with answers."""
    prose, complaints = markdown(source), []
    number = int(name[1:3])
    kinds = [kind for kind, _ in cells(source)]
    if not source.startswith("# %% [markdown]\n# # ") or kinds[-1] != "markdown":
        complaints.append("does not begin and end with prose")
    if not prose.startswith(f"# Tutorial {number}: "):
        complaints.append(f"the title does not begin with 'Tutorial {number}: '")
    if len(re.findall(r"^# ", prose, flags=re.M)) != 1:
        complaints.append("has more than one title")
    places = [prose.find(part) for part in (*OPENING, *CLOSING)]
    if -1 in places or places != sorted(places):
        complaints.append(f"does not have, in this order, {', '.join((*OPENING, *CLOSING))}")
    exercises = re.findall(r"^> \*\*Exercise (\d+)\.(\d+)\*\* ", prose, flags=re.M)
    if [(int(a), int(b)) for a, b in exercises] != [(number, k) for k in range(1, len(exercises) + 1)]:
        complaints.append(f"exercises are numbered {exercises}")
    answers = prose.count("<details><summary>Answer</summary>\n\n")
    if not 2 <= len(exercises) == answers == prose.count("\n\n</details>"):
        complaints.append(f"has {len(exercises)} exercises and {answers} folded answers")
    return complaints


def mathematics(source: str) -> list[str]:
    """Displayed formulas that one of the renderers cannot read."""
    prose, complaints = markdown(source), []
    if len(re.findall(r"^\$\$$", prose, flags=re.M)) != prose.count("$$") or prose.count("$$") % 2:
        complaints.append("$$ does not stand on a line of its own, or is not closed")
    complaints += [f"uses {word}" for word in (r"\label", r"\eqref", r"\bm{") if word in prose]
    complaints += [f"Equation ({id}) does not exist" for id, _ in cited_ids(source) if id not in IDS]
    complaints += [f"tag {id} does not exist" for id in tags(source) if id not in IDS]
    rest = CITATION.sub("", prose)
    complaints += [f"{id} is not cited as Equation {id}" for id in re.findall(r"\([BODMPLN]\d+\)", rest)]
    return complaints


def assertions(source: str) -> list[str]:
    """Whether enough is asserted, and nothing that cannot fail."""
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assert)]
    complaints = [f"line {node.lineno}: asserts a constant" for node in found if isinstance(node.test, ast.Constant)]
    if len(found) < LEAST_ASSERTIONS:
        complaints.append(f"asserts {len(found)} times, and {LEAST_ASSERTIONS} are wanted")
    return complaints


def figures(source: str) -> list[str]:
    """Figures without alternative text, or that are not shown."""
    complaints, n_figures = [], 0
    for kind, text in cells(source):
        if kind == "code" and "plt." in text and "import matplotlib" not in text:
            n_figures += text.count("plt.show()")
            alt = re.match(r"# alt: (.+(?:\n#  +.+)*)", text)
            if text.count("plt.show()") != 1:
                complaints.append(f"a cell draws and shows {text.count('plt.show()')} figures: {text[:60]!r}")
            elif alt is None or len(alt[1].split()) < 8:
                complaints.append(f"a figure without alternative text: {text[:60]!r}")
    if not n_figures:
        complaints.append("shows no figure")
    return complaints


def imports(source: str) -> list[str]:
    """Modules that are neither Python's own, NumPy, matplotlib nor numpynet."""
    allowed = set(sys.stdlib_module_names) | {"numpy", "matplotlib", "numpynet"}
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or ".")
    return [name for name in names if name.split(".")[0] not in allowed]


TEXT_RULES: tuple[Callable[[str], list[str]], ...] = (mathematics, assertions, figures, imports)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("rule", TEXT_RULES, ids=lambda rule: rule.__name__)
def test_a_page_keeps_the_rule(rule, name):
    assert rule(PAGES[name]) == []


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_the_form(name):
    assert form(PAGES[name], name) == []


def test_pages_are_numbered():
    assert all(re.fullmatch(r"t\d\d_[a-z_]+", name) for name in PAGES)
    numbers = [name[:3] for name in PAGES]
    assert len(set(numbers)) == len(numbers) and numbers[0] == "t01"


def test_every_equation_is_displayed_once():
    places: dict[str, list[str]] = {}
    for name, source in PAGES.items():
        for id in tags(source):
            places.setdefault(id, []).append(name)
    assert {id: names for id, names in places.items() if len(names) > 1} == {}
    assert len(places) >= 2


# ---- planted offences -----------------------------------------------------------------------------------------------

PAGE = PAGES["t02_masked_layer"]


@pytest.mark.parametrize(
    ("rule", "old", "new"),
    [
        (mathematics, r"\tag{B1}", r"\tag{B99}"),
        (mathematics, "Equation (B1)", "Equation (Z1)"),
        (mathematics, "# $$\n# z =", "# $$ z ="),
        (mathematics, r"\tag{B1}", r"\label{B1}"),
        (mathematics, "Equation (B1)", "the layer (B1)"),
        (assertions, "assert ", "print("),
        (assertions, "import numpy as np\n", "import numpy as np\nassert True\n"),
        (figures, "# alt: Two maps", "# Two maps"),
        (figures, "plt.show()", "plt.draw()"),
        (imports, "import numpy as np\n", "import numpy as np\nimport scipy.special\n"),
    ],
)
def test_an_offence_is_found(rule, old, new):
    assert old in PAGE and rule(PAGE) == []
    planted = (
        PAGE.replace(old, new, 1) if rule is not assertions or "True" in new else re.sub(r"\bassert .*", "0", PAGE)
    )
    assert rule(planted) != []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# # Tutorial 2: ", "# # 2. "),
        ("**What you will learn.**", "**Aims.**"),
        ("## Exercises", "## Problems"),
        ("<details><summary>Answer</summary>", "<details>"),
        ("**Exercise 2.2**", "**Exercise 2.3**"),
        ("# ## What to read next", "# # What to read next"),
    ],
)
def test_a_page_out_of_form_is_found(old, new):
    assert old in PAGE
    assert form(PAGE.replace(old, new, 1), "t02_masked_layer") != []


# ---- the pages run --------------------------------------------------------------------------------------------------


def run(script: Path, folder: Path) -> subprocess.CompletedProcess:
    """Run a script in a folder as a reader would, but with warnings as errors and without a window."""
    environment = {key: value for key, value in os.environ.items() if key != "DISPLAY"}
    environment |= {"MPLBACKEND": "Agg", "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    # -B: no byte code is left behind in the repository
    command = [sys.executable, "-B", "-W", "error", str(script)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name[:3] in QUICK else pytest.mark.slow) for name in PAGES]
)
def test_a_page_runs(name, tmp_path):
    done = run(ROOT / "tutorials" / f"{name}.py", tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) >= 5, "a page prints what it claims"
    assert list(tmp_path.iterdir()) == [], "a page leaves no file"


def test_a_wrong_claim_stops_a_page(tmp_path):
    (script := tmp_path / "script.py").write_text(
        "import numpy as np\nassert np.array_equal(np.ones(2), np.zeros(2))\n"
    )
    assert run(script, tmp_path).returncode != 0
