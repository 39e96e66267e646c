"""GitHub Classroom: the results of its autograding, version 3.

It shows two totals, one that counts passed tests and one that adds scores. So a check of three points becomes three
tests of one point: then both are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from numpynet.classroom.exports.lines import lines_of

MAX_OUTPUT = 500  # what is longer is cut there


def github_results(record: Mapping[str, Any], detail: str) -> dict[str, Any]:
    """Return what the reporter reads, as JSON in base64, from the environment variable of a step.

    Parameters
    ----------
    record : of the submission
    detail : how much the student is told

    Returns
    -------
    What JSON can hold: version 3 of GitHub Classroom's results.

    Examples
    --------
    >>> record = {"status": "ungradable", "message": "the file is empty", "tasks": [], "outline": [["1", 4]],
    ...           "max_score": 4, "score": 0.0, "seconds": 0.1, "assignment": "warmup"}
    >>> github_results(record, "off")["status"]
    'error'
    """
    lines = [line for line in lines_of(record, detail) if line.max_points]
    unit = _unit([line.max_points for line in lines])
    tests = []
    for line in lines:
        n = int(Fraction(str(line.max_points)) / unit)
        n_passed = int(Fraction(str(line.points)) / unit)
        for k in range(n):
            passed = k < n_passed
            status = "pass" if passed else "error" if line.status in ("error", "timeout", "crash") else "fail"
            tests.append(
                {
                    "name": f"{line.name} ({k + 1} of {n})" if n > 1 else line.name,
                    "status": status,
                    "message": "" if passed else line.text[:MAX_OUTPUT],
                    "test_code": "",
                    "task_id": line.position,
                    "filename": record["assignment"],
                    "line_no": 0,
                    "duration": 0.0,
                    "score": float(unit) if passed else 0.0,
                    "output": "",
                }
            )
    if record["status"] != "graded":
        status = "error"
    else:
        status = "pass" if all(test["status"] == "pass" for test in tests) else "fail"
    return {
        "version": 3,
        "status": status,
        "message": record["message"] if status == "error" else None,
        "max_score": record["max_score"],
        "tests": tests,
    }


def _unit(points: list[float]) -> Fraction:
    """Return the largest number of which all points are multiples."""
    fractions = [Fraction(str(p)) for p in points]
    if not fractions:
        return Fraction(1)
    denominator = math.lcm(*(f.denominator for f in fractions))
    return Fraction(math.gcd(*(int(f * denominator) for f in fractions)), denominator)
