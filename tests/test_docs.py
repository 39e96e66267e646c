"""The Python examples of README.md and docs/ run as they stand, and what they link to exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S))
]


@pytest.mark.parametrize("source", EXAMPLES)
def test_an_example_runs(source, capsys):
    exec(compile(source, "example", "exec"), {"__name__": "example"})
    assert capsys.readouterr().out, "an example shows something"


def test_there_are_examples():
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_example_of_a_wrong_gradient_is_named():
    """The page on gradient checks promises a cause for a gate that is taken on the output."""
    scope = {"__name__": "example"}
    (source,) = [param.values[0] for param in EXAMPLES if "class Relu" in param.values[0]]
    exec(compile(source, "example", "exec"), scope)
    assert scope["report"].status == "fail" and scope["report"].cause == "20a"
