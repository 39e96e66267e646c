"""Results in the formats that other systems read, each made of the records and of what the student may read.

================  ====================================================================================
``gradescope``    ``results.json`` of a Gradescope autograder, and the zip that makes one
``prairielearn``  ``results.json`` of an external grader of PrairieLearn
``github``        the results of GitHub Classroom's autograding, version 3
``junit``         JUnit XML, points as properties
``otter``         ``final_grades.csv`` of otter-grader, one for the class
================  ====================================================================================
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpynet.classroom.exports.github import github_results
from numpynet.classroom.exports.gradescope import gradescope_results
from numpynet.classroom.exports.junit import junit_xml
from numpynet.classroom.exports.otter import otter_csv
from numpynet.classroom.exports.prairielearn import prairielearn_results
from numpynet.storage import write_text


def result_text(format_: str, record: Mapping[str, Any], detail: str) -> str:
    """Return the result of one submission in a format.

    Parameters
    ----------
    format_ : "gradescope", "prairielearn", "github" or "junit"
    record : of the submission
    detail : how much the student is told

    Returns
    -------
    Text of a file in JSON or XML.

    Raises
    ------
    ValueError
        There is no such format.

    Examples
    --------
    >>> record = {"title": "Warm-up", "submission": "ann", "assignment": "warmup", "status": "ungradable", "score": 0.0,
    ...           "message": "the file is empty", "max_score": 4, "seconds": 0.1, "tasks": [], "outline": [["1", 4]]}
    >>> json.loads(result_text("prairielearn", record, "off"))["gradable"]
    False
    """
    if format_ == "junit":
        return junit_xml(record, detail)
    makers = {"gradescope": gradescope_results, "prairielearn": prairielearn_results, "github": github_results}
    if format_ not in makers:
        raise ValueError(f"there is no format {format_!r} for one submission; there are {', '.join(makers)}, junit")
    return json.dumps(makers[format_](record, detail), indent=1, allow_nan=False) + "\n"


def write_exports(grades: Path, formats: Sequence[str], records: Sequence[Mapping[str, Any]], detail: str) -> None:
    """Write the results of a class in some formats, below ``exports`` in the folder of the grades.

    Parameters
    ----------
    grades : folder of the grades
    formats : "gradescope", "prairielearn", "github", "junit" or "otter-csv"
    records : of the submissions, each with its "slug"
    detail : how much the students are told

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_exports(Path(folder), ["otter-csv"], [], "off")
    ...     [path.name for path in Path(folder, "exports").iterdir()]
    ['final_grades.csv']
    """
    for format_ in dict.fromkeys(formats):
        folder = grades / "exports"
        folder.mkdir(exist_ok=True)
        if format_ == "otter-csv":
            write_text(folder / "final_grades.csv", otter_csv(records))
            continue
        folder = folder / format_
        folder.mkdir(exist_ok=True)
        for record in records:
            suffix = "xml" if format_ == "junit" else "json"
            write_text(folder / f"{record['slug']}.{suffix}", result_text(format_, record, detail))
