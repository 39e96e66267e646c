"""From a tutorial script in py:percent form to a page that is run, and to the notebook that readers download."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import jupytext
import nbformat

from numpynet_site.scan import ROOT

ALT = re.compile(r"\A# alt: (.*(?:\n#  +.*)*)\n")


def package_digest(root: Path = ROOT) -> str:
    """Return a digest of the package's sources: pages that were run with other sources are run again."""
    digest = hashlib.sha256()
    for path in sorted((root / "numpynet").rglob("*")):
        if path.suffix in (".py", ".npz", ".txt"):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def scripts(root: Path = ROOT) -> list[Path]:
    """Return the tutorials in order."""
    return sorted((root / "tutorials").glob("t[0-9][0-9]_*.py"))


def title(script: Path) -> str:
    """Return the title of a tutorial, which is its first heading."""
    match = re.search(r"^# # (.+)$", script.read_text(encoding="utf-8"), re.MULTILINE)
    if match is None:
        raise ValueError(f"{script.name} has no title: its first cell must begin with '# # Tutorial N: ...'")
    return match[1]


def read_script(script: Path) -> nbformat.NotebookNode:
    """Return a script as a notebook; the comment ``# alt:`` of a cell becomes the alternative text of its figure."""
    notebook = jupytext.read(script, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(
        {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"{script.stem[:3]}-{number:03d}"  # the same at every build
        if cell.cell_type == "code" and (match := ALT.match(cell.source)):
            words = " ".join(line.lstrip("# ") for line in match[1].splitlines())
            cell.source = cell.source[match.end() :]
            cell.metadata["mystnb"] = {"image": {"alt": words}}
    return notebook


def page_of(script: Path, digest: str) -> str:
    """Return the page of a tutorial as a MyST notebook: the digest in its head makes Sphinx read it again."""
    notebook = read_script(script)
    first = notebook.cells[0]
    head, _, rest = first.source.partition("\n")
    downloads = (
        f"Run it yourself: {{download}}`{script.name} <../../tutorials/{script.name}>` with `python {script.name}`, "
        f"or the notebook {{download}}`{script.stem}.ipynb <notebooks/{script.stem}.ipynb>`. "
        "The output on this page was made by the build."
    )
    first.source = f"{head}\n\n:::{{container}} downloads\n{downloads}\n:::\n{rest}"
    notebook.metadata["numpynet_sources"] = digest
    return jupytext.writes(notebook, fmt="md:myst")


def notebook_of(script: Path) -> str:
    """Return the notebook that readers download: the cells as they stand, without output."""
    return nbformat.writes(read_script(script)) + "\n"
