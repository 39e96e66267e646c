"""Pages that show the files which an equation points to: tests, laws, planted bugs. Each test links back to its equations."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Callable, Iterable, Iterator

from numpynet_site.book import ROLES, anchor
from numpynet_site.scan import ROOT, Mention, definitions, first_line


def shown_files(mentions: Iterable[Mention]) -> list[str]:
    """Return the files that need a page: everything with a marker, and what cites equations outside the API pages."""
    return sorted(
        {m.path for m in mentions if m.scope == "marker" or (m.scope == "function" and m.path.startswith(tuple(ROLES)))}
        | {m.path for m in mentions if m.scope == "function" and "._" in f".{m.name}"}
    )


def page_name(path: str) -> str:
    """Return the name of the page of a file.

    >>> page_name("tests/test_network.py")
    'source/tests/test_network'
    """
    return f"source/{path.removesuffix('.py')}"


def source_pages(
    mentions: Iterable[Mention], highlight: Callable[[str], str], title_of: dict[str, str]
) -> Iterator[tuple[str, dict[str, str], str]]:
    """Yield (page name, context, template) for every file, as the event html-collect-pages wants them.

    Parameters
    ----------
    mentions : of the whole repository
    highlight : from Python to HTML, line for line
    title_of : id of an equation -> page of the site on which it stands
    """
    mentions = list(mentions)
    for path in shown_files(mentions):
        text = (ROOT / path).read_text(encoding="utf-8")
        mine = [m for m in mentions if m.path == path and m.id in title_of]
        body = source_body(path, text, mine, highlight(text), title_of)
        yield page_name(path), {"title": path, "body": body}, "page.html"


def source_body(path: str, text: str, mine: Iterable[Mention], highlighted: str, title_of: dict[str, str]) -> str:
    """Return the highlighted file with an anchor at every definition and links from tests to equations."""
    lines = highlighted.splitlines()
    opening, lines[0] = re.match(r"(<div.*?<pre>(?:<span></span>)?)(.*)", lines[0], re.DOTALL).groups()
    up = "../" * page_name(path).count("/")
    ids: dict[str, list[str]] = {}
    for mention in mine:
        ids.setdefault(mention.name, []).append(mention.id)
    for name, node in definitions(ast.parse(text)):
        line = first_line(node) - 1
        links = ", ".join(
            f'<a class="equation-back" href="{up}{title_of[i]}#{anchor(i)}">Equation ({i})</a>'
            for i in dict.fromkeys(ids.get(name, []))
        )
        note = f'<span class="linkback">{links}</span>' if links else ""
        lines[line] = f'{note}<span id="{html.escape(name)}" class="definition"></span>{lines[line]}'
    numbered = "\n".join(lines)
    return f"<h1>{html.escape(path)}</h1>\n{opening}{numbered}"
