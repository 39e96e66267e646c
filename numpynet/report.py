"""One run, one page: a self-contained HTML file with tables, embedded figures, settings and versions.

The page needs no network and no other file, so it can be mailed, archived or handed in.
"""

from __future__ import annotations

import base64
import html
import platform
from collections.abc import Mapping, Sequence

import numpy as np

import numpynet

_STYLE = """
:root { color-scheme: light dark; --line: #d5d9e0; --soft: #f5f7fa; --ink: #1c2430; --quiet: #5a6675; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --line: #3a4350; --soft: #1d232c; --ink: #e6eaf0; --quiet: #9aa7b6; --paper: #14181e; } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.25; } h2 { font-size: 1.25rem; margin-top: 2.2rem; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .8rem 0; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top; }
td.interval { white-space: nowrap; }
th { color: var(--quiet); font-weight: 600; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
figcaption, .quiet { color: var(--quiet); font-size: .92rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .92em; background: var(--soft); padding: .1rem .3rem; border-radius: 3px; }
"""


def page(title: str, intro: str, sections: Sequence[str]) -> str:
    """Return a whole HTML page.

    Parameters
    ----------
    title, intro : plain text
    sections : HTML made by ``section``

    Returns
    -------
    A whole HTML document, which needs no other file.

    Examples
    --------
    >>> page("A run", "What it shows.", [section("Numbers", paragraph("None."))]).startswith("<!doctype html>")
    True
    """
    body = "\n".join(sections)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{html.escape(title)}</h1>\n<p>{html.escape(intro)}</p>\n{body}\n</body>\n</html>\n"
    )


def section(heading: str, *parts: str) -> str:
    """Return a section of the page: a heading and its parts, which are HTML already.

    Parameters
    ----------
    heading : plain text
    *parts: HTML

    Returns
    -------
    HTML

    Examples
    --------
    >>> print(section("Results & errors", paragraph("None.")))
    <h2>Results &amp; errors</h2>
    <p>None.</p>
    """
    return f"<h2>{html.escape(heading)}</h2>\n" + "\n".join(parts)


def paragraph(text: str, *, quiet: bool = False) -> str:
    """Return a paragraph of plain text.

    Parameters
    ----------
    text : plain
    quiet : True for small print

    Returns
    -------
    HTML

    Examples
    --------
    >>> paragraph("density < 0.2")
    '<p>density &lt; 0.2</p>'
    """
    return f"<p{' class=quiet' if quiet else ''}>{html.escape(text)}</p>"


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table; every cell is shown as text, and "mean ± half-width" is not broken over two lines.

    Parameters
    ----------
    header : a name for each column
    rows : a cell for each column

    Returns
    -------
    HTML

    Examples
    --------
    >>> "<tr><td>B1</td><td>0</td></tr>" in table(("id", "error"), [("B1", 0)])
    True
    """
    head = "".join(f"<th>{html.escape(str(cell))}</th>" for cell in header)
    body = "\n".join("<tr>" + "".join(_cell(cell) for cell in row) + "</tr>" for row in rows)
    return f'<div class="table"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>'


def _cell(value: object) -> str:
    return f"<td{' class=interval' if ' ± ' in str(value) else ''}>{html.escape(str(value))}</td>"


def figure(png: bytes, caption: str) -> str:
    """Return a figure whose picture is part of the page; the caption also serves as the text for the blind.

    Parameters
    ----------
    png : the bytes of a PNG file
    caption : plain text

    Returns
    -------
    HTML

    Examples
    --------
    >>> 'src="data:image/png;base64,UE5H"' in figure(b"PNG", "A picture.")
    True
    """
    data = base64.b64encode(png).decode("ascii")
    text = html.escape(caption, quote=True)
    return f'<figure><img alt="{text}" src="data:image/png;base64,{data}"><figcaption>{text}</figcaption></figure>'


def settings_table(settings: Mapping[str, object], ran_with: Mapping[str, str] | None = None) -> str:
    """Return what was set and what ran it: one row for each setting, then the versions.

    Parameters
    ----------
    settings : name -> value
    ran_with : name -> version; None takes those of this process

    Returns
    -------
    HTML

    Examples
    --------
    >>> "<td>seed</td><td>7</td>" in settings_table({"seed": 7})
    True
    """
    return table(("setting", "value"), [*settings.items(), *(versions() if ran_with is None else ran_with).items()])


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on.

    Examples
    --------
    >>> list(versions())
    ['numpynet', 'NumPy', 'Python', 'platform']
    """
    return {
        "numpynet": numpynet.__version__,
        "NumPy": np.__version__,
        "Python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
    }


def text_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table for the terminal, columns aligned.

    Parameters
    ----------
    header : a name for each column
    rows : a cell for each column

    Returns
    -------
    Lines of text.

    Raises
    ------
    ValueError
        A row has not as many cells as the header.

    Examples
    --------
    >>> print(text_table(("id", "error"), [("B1", "0"), ("B22", "1e-16")]))
    id   error
    B1   0
    B22  1e-16
    """
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    for row in cells:
        if len(row) != len(header):
            raise ValueError(f"the row {row} has {len(row)} cells, but the header has {len(header)}: {cells[0]}")
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells]
    return "\n".join(lines)
