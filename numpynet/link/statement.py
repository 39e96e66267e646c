"""The statement of results: for each question what was measured, how surely, what the literature says, and where they differ.

It is made from the ``results.json`` files of the experiments and from nothing else: no number stands in it that a command did
not write, with its seeds, settings and spread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpynet import report
from numpynet.experiments.findings import RESULTS, Claim, Finding, read_results, verdict
from numpynet.storage import write_text

PAGE, REPORT = "link_results.md", "link_results.html"
TITLE = "The link, measured: a statement of results"
INTRO = "What dropout and lottery tickets have to do with each other, as far as small nets can tell."
SITE_NUMBERS = "results/link-{name}.json"
NUMBERS = "{name}/results.json"  # where the numbers of an experiment are, from the page
HEAD = """# {title}

{intro} Every number below was written by
the command that stands beside it, and this page by `numpynet link statement`; for every row of the tables each replicate is in
the file that is linked there. Read it with these limits in mind:

{limits}

The laws behind it are exact and need no experiment: see `numpynet link laws`, and group M of the [equation book](equations.md).
"""


def collect(folder: Path, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read the results of all experiments, name by name.

    Parameters
    ----------
    folder : of the runs, with a folder for each experiment
    names : of the experiments

    Returns
    -------
    name -> what ``read_results`` gives

    Raises
    ------
    StorageError
        One of them is missing or damaged; the message says which.

    Examples
    --------
    >>> collect(Path("no such folder"), [])
    {}
    """
    return {name: read_results(folder / name) for name in names}


def statement(results: Mapping[str, Mapping[str, Any]], *, numbers: str = NUMBERS) -> str:
    """Return the page, in Markdown.

    Parameters
    ----------
    results : name of the experiment -> what ``read_results`` gives
    numbers : where each file of results is, seen from the page

    Returns
    -------
    the text of the page

    Examples
    --------
    >>> finding, claim = Finding("gain", "a - b", [0.1, 0.1, 0.2]), Claim("gain", "Somebody", "a is better", "above")
    >>> one = {"title": "T", "question": "Why?", "command": "numpynet link x", "settings": {"seeds": "0, 1, 2"},
    ...        "findings": [finding], "claims": [claim]}
    >>> "| 5.77 | 3 | 3 of 3 |" in statement({"x": one})
    True
    """
    limits = "\n".join(f"* {line}" for line in _limits(results))
    parts = [
        HEAD.format(title=TITLE, intro=INTRO, limits=limits),
        "## At a glance\n",
        _table(*_claims(list(results.values()))),
    ]
    parts += [_section(result, numbers.format(name=name)) for name, result in results.items()]
    return "\n".join(parts)


def unlike(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return a line for each way in which these runs are not what a reader would take them for: short, or not alike.

    Parameters
    ----------
    results : see ``statement``

    Returns
    -------
    lines, none if all runs are whole and had the same options

    Examples
    --------
    >>> unlike({name: {"command": f"numpynet link {name} --quick --seed 0"} for name in ("tickets", "overlap")})
    ['From a quick run, with few steps and few replicates: tickets, overlap.']
    """
    options = {name: " ".join(result["command"].split()[3:]) for name, result in results.items()}
    lines = []
    if quick := [name for name, given in options.items() if "--quick" in given.split()]:
        lines.append(f"From a quick run, with few steps and few replicates: {', '.join(quick)}.")
    if len(set(options.values())) > 1:
        each = "; ".join(f"{name} {given or 'with none'}" for name, given in options.items())
        lines.append(f"The experiments were run with different options: {each}.")
    return lines


def statement_page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the same as one HTML page.

    Parameters
    ----------
    results : see ``statement``

    Returns
    -------
    the text of the page

    Examples
    --------
    >>> statement_page({}).startswith("<!doctype html>")
    True
    """
    limits = [report.paragraph(line) for line in _limits(results)]
    sections = [
        report.section("How to read it", *limits),
        report.section("At a glance", report.table(*_claims(list(results.values())))),
    ]
    for result in results.values():
        parts = [report.paragraph(result["question"]), report.table(*_measured(result))]
        lines = (*result.get("remark", ()), *_literature(result), _disagreements(result))
        settings = {"command": result["command"], **result["settings"]}
        parts += [*map(report.paragraph, lines), report.table(("setting", "value"), settings.items())]
        sections.append(report.section(result["title"], *parts))
    return report.page(TITLE, INTRO, sections)


def write_statement(folder: Path, names: Sequence[str]) -> Path:
    """Write the statement into the folder of the experiments, as Markdown and as HTML, and return the path of the first.

    Parameters
    ----------
    folder : of the runs; the pages are put there
    names : of the experiments

    Returns
    -------
    path of the Markdown page

    Raises
    ------
    StorageError
        An experiment has not been run in this folder.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write_statement(Path(folder), []).name
    'link_results.md'
    """
    results = collect(folder, names)
    write_text(folder / REPORT, statement_page(results))
    write_text(folder / PAGE, statement(results))
    return folder / PAGE


def write_docs(folder: Path, names: Sequence[str], docs: Path) -> Path:
    """Write the page and the numbers of the site: ``docs/link_results.md`` and ``docs/results/link-NAME.json``.

    Parameters
    ----------
    folder : of the runs
    names : of the experiments
    docs : folder of the site's sources

    Returns
    -------
    path of the page

    Raises
    ------
    StorageError
        An experiment has not been run in this folder; nothing is written then.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as docs:
    ...     write_docs(Path("runs"), [], Path(docs)).name
    'link_results.md'
    """
    page = statement(collect(folder, names), numbers=SITE_NUMBERS)
    (docs / "results").mkdir(parents=True, exist_ok=True)
    for name in names:
        write_text(docs / SITE_NUMBERS.format(name=name), (folder / name / RESULTS).read_text(encoding="utf-8"))
    write_text(docs / PAGE, page)
    return docs / PAGE


def _limits(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What an interval covers and what it does not, line by line."""
    n = sum(len(result["findings"]) for result in results.values())
    return [
        "Means are over replicates (own initial weights, own order of the examples), differences are taken pair by pair, and ± "
        "is the half-width of the 95 % t-interval. An interval covers what changes between replicates, not another data set, "
        "another split, another size or another way to train.",
        '"Agrees" and "disagrees" say on which side of 0 an interval lies, and nothing about size. Where an interval holds 0 '
        f"nothing is claimed. There are {n} intervals in the tables; around true zeros, about {n / 20:.0f} of them would leave "
        "the 0 out by chance. A sentence that names the densities or cuts at which something was seen has looked at all of "
        "them, one by one.",
        "On another processor matrix products add in another order, and these trainings magnify that: the same seeds give "
        "other draws, as other seeds would. Where an interval's end is near 0, the verdict may then be another.",
        *unlike(results),
        "The literature's results are mostly for larger nets and other data. A disagreement is one about this set-up.",
    ]


def _literature(result: Mapping[str, Any]) -> list[str]:
    """What each source says, what was measured, and the verdict."""
    return [f"{c.source}: {c.says}. Measured: {'; '.join(_judged(result, c))}." for c in result["claims"]]


def _section(result: Mapping[str, Any], numbers: str) -> str:
    lines = [f"## {result['title']}\n", f"{result['question']}\n"]
    lines += [f"`{result['command']}` ([numbers]({numbers}))\n", _table(*_measured(result))]
    if result.get("remark"):
        lines += ["What the intervals allow to say:\n", *(f"* {line}" for line in result["remark"]), ""]
    if result["claims"]:
        lines.append("What the literature says:\n")
        lines += [f"* {line}" for line in _literature(result)]
        lines.append("")
    settings = "; ".join(f"{name}: {value}" for name, value in result["settings"].items())
    lines += [f"{_disagreements(result)}\n", f"Settings. {settings}.\n"]
    return "\n".join(lines)


def _measured(result: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of everything that was measured."""
    found: Sequence[Finding] = result["findings"]
    rows = [
        (
            f.what,
            f.text(),
            f.spread(),
            str(f.interval.n),
            f"{sum(value > 0 for value in f.values)} of {len(f.values)}",
        )
        for f in found
    ]
    return ("measured", "mean ± 95 % interval", "spread (std)", "n", "above 0 in"), rows


def _claims(results: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Header and rows of what the literature says, and whether it agrees."""
    rows = [
        (claim.says, claim.source, _of(result, claim).what, *_judged(result, claim))
        for result in results
        for claim in result["claims"]
    ]
    return ("the literature says", "source", "measured here", "mean ± 95 % interval", "verdict"), rows


def _disagreements(result: Mapping[str, Any]) -> str:
    """Where measurement and literature differ, in one sentence."""
    if not result["claims"]:
        return "The literature that is known to us has no measurement of this."
    different = [c for c in result["claims"] if _judged(result, c)[1] == "disagrees"]
    if not different:
        return "No disagreement was seen, which is not the same as agreement where an interval holds 0."
    return "Here the two disagree: " + "; ".join(f"{c.says} ({_judged(result, c)[0]} points)" for c in different) + "."


def _judged(result: Mapping[str, Any], claim: Claim) -> tuple[str, str]:
    finding = _of(result, claim)
    return finding.text(), verdict(finding, claim)


def _of(result: Mapping[str, Any], claim: Claim) -> Finding:
    (finding,) = [f for f in result["findings"] if f.key == claim.key]
    return finding


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in (header, ["---"] * len(header), *rows)]
    return "\n".join(lines).replace(" ± ", "\u00a0±\u00a0") + "\n"  # an interval is not broken over two lines
