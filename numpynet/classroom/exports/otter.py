"""otter-grader: ``final_grades.csv``, one row for each submission, a first row with the points that there are."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from numpynet.classroom.table import harmless


def otter_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of a class as otter-grader writes it.

    Parameters
    ----------
    records : of all submissions of one assignment

    Returns
    -------
    Text of a CSV file, with a header and the points of each question.

    Examples
    --------
    >>> record = {"submission": "ann", "status": "graded", "message": "", "score": 3.0, "max_score": 4.0,
    ...           "outline": [["1", 4]], "tasks": [{"id": "1", "points": 3.0}]}
    >>> print(otter_csv([record]).replace("\\r", ""))
    file,1,total_points_earned,percent_correct,grading_status
    points-per-question,4,4,1,--
    ann,3,3,0.75,Completed
    <BLANKLINE>
    """
    outline = dict(records[0]["outline"]) if records else {}
    questions = sorted(outline)
    total = sum(outline.values())
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["file", *questions, "total_points_earned", "percent_correct", "grading_status"])
    writer.writerow(["points-per-question", *(f"{outline[q]:g}" for q in questions), f"{total:g}", 1, "--"])
    for record in records:
        earned = {task["id"]: task["points"] for task in record["tasks"]}
        percent = record["score"] / total if total else 0.0
        row = [
            record["submission"],
            *(f"{earned.get(q, 0):g}" for q in questions),
            f"{record['score']:g}",
            f"{percent:g}",
        ]
        status = "Completed" if record["status"] == "graded" else record["message"] or record["status"]
        writer.writerow([harmless(cell) for cell in (*row, status)])
    return text.getvalue()
