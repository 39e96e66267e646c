"""What an experiment hands out, and where it goes: tables on the terminal; figures, a page and its numbers in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from numpynet import report
from numpynet.experiments.findings import Claim, Finding, verdict, write_results
from numpynet.figures import png_bytes
from numpynet.storage import write_bytes, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Table(NamedTuple):
    """Rows of text under a heading."""

    heading: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


class Report(NamedTuple):
    """The outcome of one experiment, ready to be shown."""

    title: str
    question: str
    tables: Sequence[Table]
    remark: str  # what the intervals allow to say; a line for each statement
    pictures: Mapping[str, tuple[Figure, str]]  # file name -> figure, caption
    settings: Mapping[str, object]
    findings: Sequence[Finding] = ()  # the numbers behind the tables, for results.json
    claims: Sequence[Claim] = ()  # what the literature says about them
    reading: str = ""  # what the columns mean, where a heading cannot say it; a line for each statement
    versions: Mapping[str, str] | None = None  # of what made the numbers; None takes those of this process


def publish(outcome: Report, folder: Path, *, command: str = "", say: Callable[[str], None] = print) -> Path:
    """Print the tables and the remark, write figures, ``report.html`` and ``results.json``, return the path of the page.

    The last holds what the page shows, for programs; ``docs/results/`` keeps such files, and the site shows them. An
    outcome with claims also has a table of what the literature says.

    Parameters
    ----------
    outcome : of an experiment's ``report``
    folder : made if need be
    command : that repeats the run, for the page
    say : where the text goes

    Returns
    -------
    Path of ``report.html``.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> outcome = Report("A title", "Why?", [Table("Numbers", ("a", "b"), [("1", "2")])], "Nothing was seen.", {}, {})
    >>> with TemporaryDirectory() as folder:
    ...     page = publish(outcome, Path(folder) / "run")
    ...     page.name, page.stat().st_size > 1000
    Numbers
    a  b
    1  2
    <BLANKLINE>
    Nothing was seen.
    ('report.html', True)
    """
    folder.mkdir(parents=True, exist_ok=True)
    for table in outcome.tables:
        say(f"{table.heading}\n{report.text_table(table.header, table.rows)}\n")
    for text in filter(None, (outcome.reading, outcome.remark)):
        say(text)
    sections = [
        report.section(table.heading, report.table(table.header, table.rows), *below)
        for table, below in zip(outcome.tables, _text_last(outcome))
    ]
    figures = []
    for name, (figure, caption) in outcome.pictures.items():
        png = png_bytes(figure)
        write_bytes(folder / name, png)
        figures.append(report.figure(png, caption))
    if figures:
        sections.append(report.section("Figures", *figures))
    tables = list(outcome.tables)
    if outcome.claims:
        tables.append(Table("And the literature?", *claims_table(outcome)))
        sections.append(report.section(tables[-1].heading, report.table(*tables[-1][1:])))
    settings = {"command": command, **outcome.settings} if command else outcome.settings
    versions = report.versions() if outcome.versions is None else outcome.versions
    sections.append(report.section("Settings", report.settings_table(settings, versions)))
    page = folder / "report.html"
    write_text(page, report.page(outcome.title, outcome.question, sections))
    write_results(
        folder,
        title=outcome.title,
        question=outcome.question,
        command=command,
        settings={**outcome.settings, **versions},
        findings=outcome.findings,
        claims=outcome.claims,
        tables=[table._asdict() for table in tables],
        remark=outcome.remark.splitlines(),
    )
    return page


def claims_table(outcome: Report) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows: what was said, by whom, what was measured here, and whether the two agree.

    Parameters
    ----------
    outcome : with findings and claims

    Returns
    -------
    header, rows : text, a row for each claim

    Examples
    --------
    >>> finding, claim = Finding("gain", "ticket - dense", [0.1, 0.1, 0.2]), Claim("gain", "Somebody", "It wins.", "above")
    >>> claims_table(Report("", "", [], "", {}, {}, [finding], [claim]))[1]
    [('It wins.', 'Somebody', 'ticket - dense', '+13.33 ± 14.34', 'not told: the interval holds 0')]
    """
    found = {finding.key: finding for finding in outcome.findings}
    rows = [
        (c.says, c.source, found[c.key].what, found[c.key].text(), verdict(found[c.key], c)) for c in outcome.claims
    ]
    return ("the literature says", "source", "measured here", "mean ± 95 % interval", "verdict"), rows


def _text_last(outcome: Report) -> list[list[str]]:
    """Return for each table what stands below it: below the last, how to read them, and the remark."""
    reading = [report.paragraph(line, quiet=True) for line in outcome.reading.splitlines()]
    remark = [report.paragraph(line) for line in outcome.remark.splitlines()]
    return [[] for _ in outcome.tables[:-1]] + [reading + remark]
