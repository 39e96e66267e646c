"""The Python examples of README.md and docs/ run as they stand, and what they link to exists."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "howto").glob("*.md"))]
GENERATED = {  # by the build of the site
    ROOT / "docs" / "tutorials" / "index.md",
    ROOT / "docs" / "api" / "index.rst",
    ROOT / "docs" / "assignments" / "index.md",
}
EXAMPLES = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```python\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S))
]


# Pages that are read from top to bottom: an example may use what stands above it. On all others each stands alone.
IN_ONE_GO = {"lottery_tickets.md"}


@pytest.mark.parametrize("source", [e for e in EXAMPLES if e.id.rpartition("-")[0] not in IN_ONE_GO])
def test_an_example_runs(source, capsys):
    exec(compile(source, "example", "exec"), {"__name__": "example"})
    assert capsys.readouterr().out, "an example shows something"


@pytest.mark.parametrize("page", sorted(IN_ONE_GO))
def test_the_examples_of_a_page_run_one_after_the_other(page, capsys):
    scope = {"__name__": "example"}
    for example in EXAMPLES:
        if example.id.startswith(f"{page}-"):
            exec(compile(example.values[0], example.id, "exec"), scope)
            assert capsys.readouterr().out, f"{example.id} shows nothing"


def test_there_are_examples():
    assert len(EXAMPLES) >= 2


def ratios_that_the_benchmarks_lack(readme):
    """Ratios of the README, three digits after the point, that stand in no table of the benchmarks as a median."""
    medians = re.findall(
        r"^\| [^|]+ \| (\d\.\d{3}) \|", (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8"), re.M
    )
    return set(re.findall(r"\b\d\.\d{3}\b", readme)) - set(medians)


def test_the_ratios_of_the_readme_are_those_of_the_benchmarks():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(r"\b\d\.\d{3}\b", readme)) >= 5
    assert ratios_that_the_benchmarks_lack(readme) == set()
    assert ratios_that_the_benchmarks_lack(readme + " 9.859") == {"9.859"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))
    paths = {target: (page.parent / target).resolve() for target in targets}
    assert [target for target, path in paths.items() if not path.exists() and path not in GENERATED] == []


def test_the_example_of_a_wrong_gradient_is_named():
    """The page on gradient checks promises a cause for a gate that is taken on the output."""
    scope = {"__name__": "example"}
    (source,) = [param.values[0] for param in EXAMPLES if "class Relu" in param.values[0]]
    exec(compile(source, "example", "exec"), scope)
    assert scope["report"].status == "fail" and scope["report"].cause == "20a"


MEASURED = re.compile(r"[+−-]?\d+\.\d+ ± \d+\.\d+")


def measured_in(text: str) -> set[str]:
    """Every number with its interval, with one kind of minus."""
    return {found.replace("−", "-") for found in MEASURED.findall(text)}


def not_in_the_results(readme: str) -> set[str]:
    """Numbers in the tables of the README that no file of docs/results holds."""
    tables = "\n".join(line for line in readme.splitlines() if line.startswith("|"))
    results = [
        str(json.loads(path.read_text(encoding="utf-8"))["tables"])
        for path in (ROOT / "docs" / "results").glob("*.json")
    ]
    return measured_in(tables) - measured_in("\n".join(results))


def test_the_numbers_of_the_readme_are_those_that_the_commands_wrote():
    readme = PAGES[0].read_text(encoding="utf-8")
    assert len(measured_in(readme)) > 20
    assert not_in_the_results(readme) == set()
    number = next(found for found in MEASURED.findall(readme) if found[0].isdigit())
    assert not_in_the_results(readme.replace(number, f"1{number}")) == {f"1{number}"}
