"""Links that nobody writes: "Equation (D2)" leads to the book, "Tutorial 7" to the lesson, in pages and in docstrings."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

from numpynet_site.book import anchor
from numpynet_site.scan import CITATION

WITHIN = re.compile(rf"(?:{CITATION.pattern})|(\bTutorial\s+(\d+)\b)")
PIECE = re.compile(r"\(([A-Z]\d+)\)")
NO_LINKS_IN = (
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.reference,
    nodes.title,
    nodes.raw,
)


class LinkMentions(SphinxTransform):
    """Turn what is mentioned into cross references; an id that does not exist fails the build."""

    default_priority = 400

    def apply(self, **kwargs) -> None:
        """Replace every text node that mentions something."""
        lessons = self.config.numpynet_lessons
        for node in list(self.document.findall(nodes.Text)):
            if _inside(node, (*NO_LINKS_IN, addnodes.pending_xref)) or not WITHIN.search(str(node)):
                continue
            node.parent.replace(node, self.pieces(str(node), lessons))

    def pieces(self, text: str, lessons: dict[int, str]) -> list[nodes.Node]:
        """Return a text as a list of texts and cross references."""
        found: list[nodes.Node] = []
        end = 0
        for match in WITHIN.finditer(text):
            if match[3]:
                page = lessons.get(int(match[3]))
                if page is None or page == self.env.docname:
                    continue
                found += [nodes.Text(text[end : match.start()]), self.reference("doc", f"/{page}", match[0])]
                end = match.end()
                continue
            for piece in PIECE.finditer(text, match.start(), match.end()):
                found += [nodes.Text(text[end : piece.start() + 1]), self.reference("ref", anchor(piece[1]), piece[1])]
                end = piece.end() - 1
        return [*found, nodes.Text(text[end:])]

    def reference(self, kind: str, target: str, text: str) -> addnodes.pending_xref:
        """Return an unresolved cross reference with this text."""
        return addnodes.pending_xref(
            "",
            nodes.inline(text, text, classes=["equation-link" if kind == "ref" else "std"]),
            refdomain="std",
            reftype=kind,
            reftarget=target,
            refexplicit=True,
            refwarn=True,
            refdoc=self.env.docname,
        )


class TaggedMathematics(SphinxTransform):
    """Leave a displayed formula with a tag as it is: Sphinx would wrap it, and a tag must stand outside of what is wrapped."""

    default_priority = 410

    def apply(self, **kwargs) -> None:
        """Wrap several lines in "aligned", inside the tag, and switch Sphinx's own wrapping off."""
        for node in self.document.findall(nodes.math_block):
            text = node.astext().strip()
            match = re.search(r"\\tag\{[^{}]*\}", text)
            if match is None:
                continue
            formula = (text[: match.start()] + text[match.end() :]).strip()
            if r"\\" in formula and r"\begin{" not in formula:
                formula = rf"\begin{{aligned}}{formula}\end{{aligned}}"
            node.children = [nodes.Text(rf"\[{formula} {match[0]}\]")]
            node["no-wrap"] = node["nowrap"] = True


def _inside(node: nodes.Node, kinds: tuple[type, ...]) -> bool:
    parent = node.parent
    while parent is not None:
        if isinstance(parent, kinds):
            return True
        parent = parent.parent
    return False
