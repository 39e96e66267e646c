"""Hold the built site to its promises: every internal link leads somewhere, and no page asks another machine for anything.

    python docs/numpynet_site/check.py docs/_build/html

Links that a reader may follow to other sites (<a href>) are let pass; what a browser fetches by itself is not.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Elements whose address the browser fetches by itself; an <a href> is only fetched when a reader asks.
FETCHED = {
    "script",
    "img",
    "iframe",
    "link",
    "source",
    "audio",
    "video",
    "embed",
    "object",
    "track",
    "use",
    "image",
    "input",
}
ADDRESSES = ("src", "href", "data", "poster", "srcset", "xlink:href", "action", "formaction")
# Relations of <link> that only tell, and fetch nothing.
TELLING = {"canonical", "alternate", "author", "license", "help", "next", "prev", "search", "index", "genindex", "me"}
CSS_FETCHES = re.compile(r"""(?:url\(\s*["']?|@import\s+["'])((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)
JS_FETCHES = re.compile(
    r"""(?:\bfetch\(|\bimport\(|\bimport\s[^;]*?from\s|\.open\(\s*["'][A-Z]+["']\s*,|new\s+(?:WebSocket|EventSource|Worker)\(|"""
    r"""\.src\s*=|sendBeacon\()\s*["'`]((?:https?:|wss?:)?//[^"'`\s]+)""",
)
# Its loader names addresses of a content network in code that only runs when a component is missing; the full build
# has all of them. That it fetches nothing was seen in a browser.
TRUSTED_SCRIPTS = {"tex-svg-full.js"}


class Page(HTMLParser):
    """The ids of a page, its links, and what it fetches."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: set[str] = set()
        self.links: list[tuple[int, str]] = []
        self.fetched: list[tuple[int, str]] = []
        self.missing_alt: list[int] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note ids and addresses."""
        line = self.getpos()[0]
        values = {name: value or "" for name, value in attrs}
        self._inside = tag
        self.ids |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "img" and "alt" not in values:
            self.missing_alt.append(line)
        self.fetched += [(line, address) for address in CSS_FETCHES.findall(values.get("style", ""))]
        telling = tag == "link" and set(values.get("rel", "").split()) <= TELLING
        for name in ADDRESSES:
            if name not in values:
                continue
            candidates = (
                [part.split()[0] for part in values[name].split(",") if part.split()]
                if name == "srcset"
                else [values[name]]
            )
            for address in candidates:
                self.links.append((line, address))
                if (tag in FETCHED and not telling) or name in ("action", "formaction"):
                    self.fetched.append((line, address))

    def handle_endtag(self, tag: str) -> None:
        """Leave a script or a style sheet."""
        self._inside = ""

    def handle_data(self, data: str) -> None:
        """Look into scripts and style sheets within the page."""
        line = self.getpos()[0]
        pattern = {"style": CSS_FETCHES, "script": JS_FETCHES}.get(self._inside)
        if pattern is not None:
            self.fetched += [(line, address) for address in pattern.findall(data)]


def outside(address: str) -> bool:
    """Return whether an address is on another machine.

    >>> outside("https://example.org/x.js"), outside("//example.org/x.js"), outside("a/b.html#c"), outside("data:,x")
    (True, True, False, False)
    """
    return urlsplit(address).scheme in ("http", "https", "ws", "wss", "ftp") or address.startswith("//")


def complaints(site: Path) -> Iterator[str]:
    """Yield a line for every link that leads nowhere, every outside request and every picture without a text."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        shown = path.relative_to(site).as_posix()
        for line, address in page.fetched:
            if outside(address):
                yield f"{shown}:{line}: the page fetches {address}"
        for line in page.missing_alt:
            yield f"{shown}:{line}: a picture has no alternative text"
        for line, address in page.links:
            parts = urlsplit(address)
            if outside(address) or parts.scheme or address.startswith("#top"):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                yield f"{shown}:{line}: {address} leads nowhere"
            elif parts.fragment and target.suffix == ".html":
                other = pages.get(site / target.relative_to(site.resolve()))
                if other is not None and unquote(parts.fragment) not in other.ids:
                    yield f"{shown}:{line}: {address}: there is no such place on that page"
    for path in sorted([*site.rglob("*.css"), *site.rglob("*.js")]):
        if path.name in TRUSTED_SCRIPTS:
            continue
        text = path.read_text(encoding="utf-8")
        for address in (CSS_FETCHES if path.suffix == ".css" else JS_FETCHES).findall(text):
            yield f"{path.relative_to(site).as_posix()}: fetches {address}"


def main(arguments: Sequence[str]) -> int:
    """Check the folder of a built site, print what is wrong, and return 1 if anything is, 2 if there is no site."""
    site = Path(arguments[0] if arguments else "docs/_build/html")
    if not (site / "index.html").exists():
        print(f"{site} holds no site; build it with: python -m sphinx -W docs {site}", file=sys.stderr)
        return 2
    lines = list(complaints(site))
    print("\n".join(lines) if lines else f"{site}: every link leads somewhere, and nothing is fetched from outside")
    return int(bool(lines))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
