"""The Sphinx extension of the site: generated pages, links that nobody writes, offline mathematics, the playground."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path


def setup(app) -> dict[str, object]:
    """Connect everything; Sphinx calls this."""
    from numpynet_site.links import LinkMentions, TaggedMathematics
    from numpynet_site.results import Results

    app.setup_extension("sphinx.ext.autodoc")  # whose events are used below
    app.add_config_value("numpynet_lessons", {}, "env")
    app.add_transform(LinkMentions)
    app.add_transform(TaggedMathematics)
    app.add_directive("results", Results)
    app.add_directive("playground", _playground_directive())
    app.connect("config-inited", write_tutorials, priority=100)
    app.connect("builder-inited", write_pages)
    app.connect("source-read", read_book_page)
    app.connect("autodoc-process-docstring", prepare_docstring, priority=100)
    app.connect("autodoc-skip-member", skip_member)
    app.connect("html-collect-pages", collect_sources)
    app.connect("build-finished", copy_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def write_tutorials(app, config) -> None:
    """Write the page and the notebook of every tutorial, and say where the results of runs are kept."""
    from numpynet_site import tutorials

    folder = Path(app.srcdir) / "tutorials"
    digest = tutorials.package_digest()
    wanted = {}
    listed = []
    for script in tutorials.scripts():
        wanted[folder / f"{script.stem}.md"] = tutorials.page_of(script, digest)
        wanted[folder / "notebooks" / f"{script.stem}.ipynb"] = tutorials.notebook_of(script)
        config.numpynet_lessons[int(script.stem[1:3])] = f"tutorials/{script.stem}"
        listed.append(script.stem)
    toc = "\n".join(listed)
    wanted[folder / "index.md"] = f"{TUTORIALS}\n```{{toctree}}\n:maxdepth: 1\n\n{toc}\n```\n"
    _write(folder, wanted)
    # The cache knows nothing of the package that a page was run with, so every state of the package has its own.
    config.nb_execution_cache_path = str(Path(app.outdir).parent / "executed" / digest)


TUTORIALS = """# Tutorials

Read them in order; each takes between ten minutes and an hour, runs in seconds, prints what it claims and checks its own
numbers. Every page can be had as a script and as a notebook, which need numpynet, NumPy and matplotlib and nothing else.
"""


def write_pages(app) -> None:
    """Write the pages of the equation book and of the API reference."""
    from numpynet_site import api, assignments, book, scan, tutorials

    source = Path(app.srcdir)
    text = scan.BOOK.read_text(encoding="utf-8")
    known = {row.id for row in scan.read_book(text)}
    app.numpynet_mentions = mentions = assignments.without_answers(scan.all_mentions())
    bibliography = book.read_bibliography((source / "bibliography.md").read_text(encoding="utf-8"))
    lessons = {f"tutorials/{script.name}": tutorials.title(script) for script in tutorials.scripts()}
    folder = source / "book"
    wanted = {
        folder / f"{letter}.md": book.group_page(letter, title, part, known, mentions, bibliography, lessons)
        for letter, title, part in book.groups(text)
    }
    _write(folder, wanted)
    folder = source / "api"
    _write(folder, {folder / name: page for name, page in api.pages().items()})
    folder = source / "assignments"
    _write(folder, {folder / name: page for name, page in assignments.pages().items()})


def _write(folder: Path, wanted: dict[Path, str]) -> None:
    """Write what has changed, so that Sphinx reads no page again without need, and remove what is not wanted."""
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.rglob("*.*"):
        if path.suffix in (".md", ".rst", ".ipynb") and path not in wanted:
            path.unlink()


def read_book_page(app, docname: str, content: list[str]) -> None:
    """Show docs/equations.md as the index of the book."""
    from numpynet_site import book

    if docname == "equations":
        content[0] = book.index_page(content[0], [letter for letter, _, _ in book.groups(content[0])])


def prepare_docstring(app, what, name, obj, options, lines: list[str]) -> None:
    """Read a docstring as it is meant: what is indented after a colon is code, a field's comment is its description."""
    from numpynet_site import api

    if lines and lines[0].startswith("Alias for field number"):
        owner, _, field = name.rpartition(".")
        lines[:] = [api.field_comment(_object_of(owner), field), ""]
    lines[:] = api.prepare(lines)


def _object_of(name: str) -> object:
    import importlib

    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found: object = importlib.import_module(".".join(parts[:cut]))
        except ImportError:
            continue
        for part in parts[cut:]:
            found = getattr(found, part)
        return found
    raise ValueError(f"{name} cannot be imported")


def skip_member(app, what, name, obj, skip, options) -> bool | None:
    """Leave out what a NamedTuple brings along."""
    return True if name in ("count", "index") else None


def collect_sources(app):
    """Yield the pages of tests and other files that equations point to."""
    from numpynet_site import scan, sources

    rows = scan.read_book(scan.BOOK.read_text(encoding="utf-8"))
    page_of = {row.id: f"book/{row.id[0]}.html" for row in rows}

    def highlight(text: str) -> str:
        return app.builder.highlighter.highlight_block(text, "python")

    yield from sources.source_pages(app.numpynet_mentions, highlight, page_of)


def mathjax_file() -> Path:
    """Return the one file of MathJax that the site needs; it holds every extension and fetches nothing."""
    try:
        found = [path for path in files("sphinx-mathjax-offline") or [] if path.name == "tex-svg-full.js"]
    except PackageNotFoundError:
        found = []
    if not found:
        raise FileNotFoundError("tex-svg-full.js of MathJax is missing: pip install -e '.[docs]'")
    return Path(str(found[0].locate()))


def copy_files(app, exception) -> None:
    """Copy MathJax and the static pages of the playground to the site."""
    if exception is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static" / "mathjax"
    static.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(mathjax_file(), static / "tex-svg-full.js")
    playground = Path(app.srcdir) / "playground"
    if playground.is_dir():
        unwanted = shutil.ignore_patterns("*.py", "__pycache__")
        shutil.copytree(playground, Path(app.outdir) / "playground", dirs_exist_ok=True, ignore=unwanted)


def _playground_directive():
    from docutils import nodes  # not at the top: the tests read this package's lists without the tools of the site
    from sphinx.util.docutils import SphinxDirective

    class Playground(SphinxDirective):
        """Link to the playground, where it is part of the build; it is a page of its own."""

        def run(self) -> list[nodes.Node]:
            page = Path(self.env.srcdir) / "playground" / "index.html"
            self.env.note_dependency(str(page))
            if not page.exists():
                return [nodes.paragraph(text="The playground is not part of this build.")]
            text = '<p><a class="open" href="playground/index.html">Open the playground</a></p>'
            return [nodes.raw("", text, format="html")]

    return Playground


def prepare_kernels(folder: Path) -> None:
    """Let the kernels that run the tutorials depend on nothing of this machine's user: one thread, settings of their own.

    Parameters
    ----------
    folder : for the settings of IPython, in place of the user's; it is made
    """
    from numpynet import threads

    threads.set_default()
    profile = folder / "profile_default"
    profile.mkdir(parents=True, exist_ok=True)
    # Kernels listen on this machine alone, and would say so loudly.
    quiet = "c = get_config()\nc.IPKernelApp.log_level = 40\n"
    (profile / "ipython_kernel_config.py").write_text(quiet, encoding="utf-8")
    os.environ["IPYTHONDIR"] = str(folder)
