"""The table of a class: one row for each submission, and no cell that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any


def grades_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of a class, one row for each record.

    Parameters
    ----------
    records : of all submissions, with "similarity" and "similar_to"

    Returns
    -------
    Text of a CSV file, with a header.

    Examples
    --------
    >>> print(grades_csv([]).split(",")[0])
    submission
    """
    tasks = [task for task, _ in records[0]["outline"]] if records else []
    header = ["submission", "status", "score", "max_score", *(f"task_{task}" for task in tasks), "seconds", "sandbox"]
    header += ["flags", "similarity_shipped", "similarity", "similar_to", "seed", "message"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    for record in records:
        earned = {task["id"]: task["points"] for task in record["tasks"]}
        row = [record["submission"], record["status"], f"{record['score']:g}", f"{record['max_score']:g}"]
        row += [f"{earned.get(task, 0):g}" for task in tasks]
        row += [f"{record['seconds']:.2f}", "+".join(record["sandbox"]) or "none", "; ".join(record["flags"])]
        row += [f"{record['shipped']:.2f}", f"{record['similarity']:.2f}", record["similar_to"], record["seed"]]
        writer.writerow([harmless(cell) for cell in (*row, record["message"])])
    return text.getvalue()


# At the start, and behind a semicolon: where the comma is for decimals, spreadsheets take it for the end of a cell. Wide
# forms of the signs are taken for the signs themselves.
_FORMULA = re.compile(r"""(^|;["'\s]*)(?=[=+\-@＝＋－＠])""")


def harmless(cell: object) -> str:
    """Return the text of a cell that no spreadsheet takes for a formula.

    Parameters
    ----------
    cell : text or a number

    Returns
    -------
    Text without control characters; where a formula might begin, behind a '.

    Examples
    --------
    >>> harmless("=1+1"), harmless(-3)
    ("'=1+1", '-3')
    >>> harmless("ann;=1+1")
    "ann;'=1+1"
    """
    text = "".join(c if c.isprintable() else " " for c in str(cell))
    return _FORMULA.sub(r"\1'", text) if isinstance(cell, str) else text
