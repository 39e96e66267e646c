"""PrairieLearn: ``results.json`` of an external grader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpynet.classroom.exports.lines import lines_of, waits


def prairielearn_results(record: Mapping[str, Any], detail: str) -> dict[str, Any]:
    """Return what PrairieLearn reads; a file that cannot be graded, or in which nothing is written, costs no attempt.

    Parameters
    ----------
    record : of the submission
    detail : how much the student is told

    Returns
    -------
    What JSON can hold.

    Examples
    --------
    >>> record = {"status": "ungradable", "message": "the file is empty", "tasks": [], "outline": [["1", 4]]}
    >>> prairielearn_results(record, "off")
    {'gradable': False, 'format_errors': ['the file is empty']}
    """
    if waits(record):
        return {"gradable": False, "format_errors": [record["message"] or "nothing is written yet"]}
    return {
        "gradable": True,
        "score": min(1.0, record["score"] / record["max_score"]) if record["max_score"] else 0.0,
        "message": record["message"],
        "output": "",
        "images": [],
        "tests": [
            {
                "name": line.name,
                "description": f"Task {line.task}",
                "points": line.points,
                "max_points": line.max_points,
                "message": line.text,
                "output": "",
                "images": [],
            }
            for line in lines_of(record, detail)
        ],
    }
