"""The results page: tables that commands wrote (docs/results/*.json), with the command and the settings of each."""

from __future__ import annotations

import json
from pathlib import Path

from docutils import nodes
from sphinx.util.docutils import SphinxDirective


class Results(SphinxDirective):
    """Show every measured experiment whose file name fits the argument."""

    required_arguments = 1
    has_content = False

    def run(self) -> list[nodes.Node]:
        """Return a section for each result."""
        folder = Path(self.env.srcdir) / "results"
        paths = sorted(folder.glob(f"{self.arguments[0]}.json"))
        if not paths:
            raise self.error(f"there is no docs/results/{self.arguments[0]}.json")
        sections = []
        for path in paths:
            self.env.note_dependency(str(path))
            sections.append(_section(json.loads(path.read_text(encoding="utf-8")), path.stem, self.state.document))
        return sections


def _section(result: dict, name: str, document: nodes.document) -> nodes.section:
    section = nodes.section(ids=[nodes.make_id(name)], names=[name])
    document.note_explicit_target(section)
    section += nodes.title(text=result["title"])
    section += nodes.paragraph(text=result["question"])
    for table in result["tables"]:
        section += nodes.paragraph("", "", nodes.strong(text=table["heading"]))
        section += _table(table["header"], table["rows"])
    section += [nodes.paragraph(text=line) for line in result["remark"]]
    command = nodes.literal_block(result["command"], result["command"], language="console")
    section += nodes.paragraph(text="To repeat it:")
    section += command
    opened = nodes.raw("", "<details><summary>Settings</summary>", format="html")
    rows = [(key, str(value)) for key, value in result["settings"].items()]
    section += [opened, _table(("setting", "value"), rows), nodes.raw("", "</details>", format="html")]
    return section


def _table(header, rows) -> nodes.table:
    """Return a table; on narrow screens the page's script lets it scroll within a frame of its own."""
    group = nodes.tgroup(cols=len(header))
    group += [nodes.colspec(colwidth=1) for _ in header]
    head, body = nodes.thead(), nodes.tbody()
    head += _row(header)
    body += [_row(row) for row in rows]
    group += [head, body]
    return nodes.table("", group, classes=["measured"])


def _row(cells) -> nodes.row:
    row = nodes.row()
    for cell in cells:
        entry = nodes.entry()
        entry += nodes.paragraph(text=str(cell), classes=["short"] if len(str(cell)) <= 24 else [])
        row += entry
    return row
