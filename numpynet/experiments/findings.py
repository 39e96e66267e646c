"""What an experiment has found, as numbers that others can read: one interval for each question, and what was expected.

A finding is a mean over replicates with its 95 % t-interval. A claim is what the literature says about one finding, as a
direction; whether the finding agrees is decided by the interval and by nothing else.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from numpynet.lottery.plain_files import parse_json
from numpynet.statistics import Interval, t_interval
from numpynet.storage import StorageError, write_text

RESULTS = "results.json"
FORMAT = 1


class Finding(NamedTuple):
    """One number of an experiment, with its spread."""

    key: str  # by which a claim names it
    what: str  # in words, for a table
    values: Sequence[float]  # one for each replicate; differences are taken pair by pair
    unit: str = (
        "points"  # "points" are percentage points or percent of shares from 0 to 1; others are shown as they are
    )

    @property
    def interval(self) -> Interval:
        """Mean and 95 % t-interval over the replicates."""
        return t_interval(list(self.values))

    def text(self) -> str:
        """Return ``mean ± half-width`` in the unit.

        Examples
        --------
        >>> Finding("gain", "ticket - dense", [0.02, 0.03, 0.01]).text()
        '+2.00 ± 2.48'
        """
        if self.unit in ("points", "percent"):
            return self.interval.text(sign=self.unit == "points")
        return self.interval.text(scale=1, digits=3)

    def spread(self) -> str:
        """Return the standard deviation over the replicates in the unit, "-" where there is but one of them.

        Examples
        --------
        >>> Finding("gain", "ticket - dense", [0.02, 0.03, 0.01]).spread()
        '1.00'
        """
        if len(self.values) < 2:
            return "-"
        return f"{self.interval.std * (100 if self.unit in ('points', 'percent') else 1):.2f}"


EXPECTATIONS = ("above", "below", "none", "not above", "not below")


class Claim(NamedTuple):
    """What the literature says about one finding."""

    key: str  # of the finding
    source: str  # who says so
    says: str  # in words
    expects: str  # where the finding would lie, against 0: one of EXPECTATIONS


def verdict(finding: Finding, claim: Claim) -> str:
    """Say how the two stand to each other, as far as the interval allows.

    Parameters
    ----------
    finding : measured, replicate by replicate
    claim : about it

    Returns
    -------
    "agrees", "disagrees", "no disagreement was seen", or "not told" and why.

    Raises
    ------
    ValueError
        ``claim.expects`` is none of ``EXPECTATIONS``.

    Examples
    --------
    >>> claim = Claim("gain", "Somebody", "tickets win", "above")
    >>> verdict(Finding("gain", "ticket - dense", [0.02, 0.03, 0.01, 0.02]), claim)
    'agrees'
    >>> verdict(Finding("gain", "ticket - dense", [-0.02, 0.03]), claim)
    'not told: the interval holds 0'
    >>> verdict(Finding("gain", "ticket - dense", [-0.02, -0.03, -0.02, -0.02]), claim)
    'disagrees'
    """
    if claim.expects not in EXPECTATIONS:
        raise ValueError(f"expects is {claim.expects!r}, but one of {', '.join(EXPECTATIONS)} is needed")
    found = finding.interval
    if found.n < 2:
        return "not told: one replicate"
    above, below = found.excludes_zero and found.mean > 0, found.excludes_zero and found.mean < 0
    if claim.expects in ("none", "not above", "not below"):
        refuted = {"none": above or below, "not above": above, "not below": below}[claim.expects]
        return "disagrees" if refuted else "no disagreement was seen"
    if not found.excludes_zero:
        return "not told: the interval holds 0"
    return "agrees" if above == (claim.expects == "above") else "disagrees"


def differences_table(findings: Sequence[Finding]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows of paired differences: what, mean with its interval, spread over the replicates.

    Parameters
    ----------
    findings : in points, because the heading of the table says so

    Returns
    -------
    header, rows : text, a row for each finding

    Raises
    ------
    ValueError
        A finding has another unit.

    Examples
    --------
    >>> differences_table([Finding("gain", "ticket - dense", [0.02, 0.03, 0.01])])[1]
    [('ticket - dense', '+2.00 ± 2.48', '1.00')]
    """
    if other := [f"{f.key} ({f.unit})" for f in findings if f.unit != "points"]:
        raise ValueError(f"findings are {', '.join(other)}, but differences in points are needed")
    return (
        ("difference", "mean ± 95 % interval", "spread (std)"),
        [(f.what, f.text(), f.spread()) for f in findings],
    )


def write_results(
    folder: Path,
    *,
    title: str,
    question: str,
    command: str,
    settings: Mapping[str, object],
    findings: Sequence[Finding],
    claims: Sequence[Claim],
    tables: Sequence[Mapping[str, object]] = (),
    remark: Sequence[str] = (),
) -> Path:
    """Write ``results.json``: everything that a statement of results needs, replicate by replicate.

    Parameters
    ----------
    folder : that holds the run
    title, question, command, settings : of the run; the command repeats it
    findings, claims : numbers, and what the literature says about them
    tables : records with heading, header and rows, as a page shows them
    remark : what the intervals allow to say, line by line

    Returns
    -------
    Path of the file.

    Raises
    ------
    ValueError
        A claim is about a finding that there is not, or two findings have one key; nothing is written then.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     _ = write_results(Path(folder), title="T", question="Q?", command="c", settings={"steps": 3},
    ...                       findings=[Finding("gain", "a - b", [0.1, 0.2])], claims=[])
    ...     read_results(Path(folder))["findings"][0].values
    [0.1, 0.2]
    """
    keys = [finding.key for finding in findings]
    if len(set(keys)) < len(keys):
        raise ValueError(f"two findings have one key: {sorted(key for key in keys if keys.count(key) > 1)}")
    if unknown := sorted({claim.key for claim in claims} - set(keys)):
        raise ValueError(f"claims are about {', '.join(unknown)}, but the findings are {', '.join(keys)}")
    document = {
        "format": FORMAT,
        "title": title,
        "question": question,
        "command": command,
        "settings": {name: str(value) for name, value in settings.items()},
        "findings": [{**f._asdict(), "values": _plain(f)} for f in findings],
        "claims": [claim._asdict() for claim in claims],
        "tables": list(tables),
        "remark": list(remark),
    }
    path = folder / RESULTS
    write_text(path, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def read_results(folder: Path) -> dict[str, Any]:
    """Read what ``write_results`` wrote, with findings and claims as records.

    Parameters
    ----------
    folder : that holds ``results.json``

    Returns
    -------
    What ``write_results`` was given, by name; findings and claims are records.

    Raises
    ------
    StorageError
        The file is missing, or not one of these.

    Examples
    --------
    >>> read_results(Path("no such folder"))
    Traceback (most recent call last):
    ...
    numpynet.storage.StorageError: there is no ...results.json: ...
    """
    path = folder / RESULTS
    try:
        document = parse_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StorageError(f"there is no {path}: the experiment has not been run, or not to its end") from None
    except ValueError as error:
        raise StorageError(f"{path} is damaged: {error}") from None
    return parse_results(document, str(path))


def parse_results(document: Any, name: str) -> dict[str, Any]:
    """Return the document of one experiment with findings and claims as records, or raise ``StorageError``.

    Parameters
    ----------
    document : what JSON held
    name : of the file, for errors

    Returns
    -------
    What ``write_results`` was given, by name; findings and claims are records.

    Raises
    ------
    StorageError
        It has another format, or lacks what an experiment writes.

    Examples
    --------
    >>> parse_results({"format": 0}, "old.json")
    Traceback (most recent call last):
    ...
    numpynet.storage.StorageError: old.json has format 0, this numpynet reads 1
    """
    try:
        if document["format"] != FORMAT:
            raise StorageError(f"{name} has format {document['format']}, this numpynet reads {FORMAT}")
        return {
            **document,
            "findings": [Finding(**finding) for finding in document["findings"]],
            "claims": [Claim(**claim) for claim in document["claims"]],
        }
    except (KeyError, TypeError) as error:
        raise StorageError(f"{name} is not what an experiment writes: {error}") from None


def _plain(finding: Finding) -> list[float]:
    """The values as Python floats, all their bits; JSON gives them back as they were."""
    values = [float(value) for value in finding.values]
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"the finding {finding.key} is {values}, but finite numbers are needed")
    return values
