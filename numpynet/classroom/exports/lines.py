"""What all formats have in common: one line for each check, also where nothing could be graded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from numpynet.classroom.feedback import WORDS


class Line(NamedTuple):
    """One check of one submission, as a student may see it."""

    task: str  # "2.1"
    position: int  # of the task, from 1
    number: str  # "2.1.3"
    name: str
    status: str  # see ``numpynet.classroom.task.STATUSES``
    points: float
    max_points: float
    text: str


def lines_of(record: Mapping[str, Any], detail: str) -> list[Line]:
    """Return the lines of a record; tasks that were not reached have one line each.

    Parameters
    ----------
    record : of the submission
    detail : how much the student is told

    Returns
    -------
    Lines, in the order of tasks and checks.

    Examples
    --------
    >>> record = {"tasks": [], "outline": [["1", 4]], "message": "the file is empty"}
    >>> lines_of(record, "off")[0].text
    'the file is empty'
    """
    graded = {task["id"]: task for task in record["tasks"]}
    lines = []
    for position, (task_id, points) in enumerate(record["outline"], start=1):
        task = graded.get(task_id)
        if task is None:
            lines.append(Line(task_id, position, task_id, f"Task {task_id}", "skip", 0, points, record["message"]))
            continue
        for k, check in enumerate(task["checks"], start=1):
            name = f"Task {task_id}, {task['title']}: {check['name']}"
            text = check["feedback"][detail] or ("" if check["status"] == "pass" else WORDS[check["status"]])
            number = f"{task_id}.{k}"
            lines.append(
                Line(task_id, position, number, name, check["status"], check["points"], check["max_points"], text)
            )
    return lines


def waits(record: Mapping[str, Any]) -> bool:
    """Whether nothing has been written yet, or nothing could be graded.

    Parameters
    ----------
    record : of the submission

    Returns
    -------
    True where an attempt should not count.

    Examples
    --------
    >>> waits({"status": "graded", "tasks": [{"status": "wait"}, {"status": "skip"}]})
    True
    """
    return record["status"] == "ungradable" or all(task["status"] in ("wait", "skip") for task in record["tasks"])
