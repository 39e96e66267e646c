"""A marked solution as a notebook, released: stubs, and the metadata of nbgrader (schema 3), which others read as well.

Cells of prose and of checks are locked; those that students fill in are not. A cell of checks has the points of its task.
No outputs, no execution counts, no attachments: there is nothing an answer could hide in.
"""

from __future__ import annotations

import json
import re
from typing import Any

from numpynet.classroom.markers import Marked

_CELL = re.compile(r"^# %%( \[markdown\])?.*\n", re.MULTILINE)
_TASK = re.compile(r"^# Task (\S+): ", re.MULTILINE)


def notebook_of(marked: Marked) -> str:
    """Return the notebook of a release as text.

    Parameters
    ----------
    marked : the solution file, read

    Returns
    -------
    JSON, with the metadata of nbgrader; where the solution was there are stubs.

    Examples
    --------
    >>> marked = Marked('''# %%
    ... # TASK 1 points=2: Twice
    ... def twice(x):
    ...     # BEGIN SOLUTION
    ...     return x + x
    ...     # END SOLUTION
    ... ''')
    >>> cells = json.loads(notebook_of(marked))["cells"]
    >>> [(cell["metadata"]["nbgrader"]["grade_id"], cell["metadata"]["nbgrader"].get("points")) for cell in cells]
    [('task-1', None), ('checks-1', 2.0)]
    """
    points = {task.id: task.points for task in marked.tasks}
    cells: list[dict[str, Any]] = []
    for is_prose, text in _split(marked.skeleton(prose=True)):
        if is_prose:
            cells.append(_cell("markdown", f"text-{len(cells) + 1}", re.sub(r"^# ?", "", text, flags=re.MULTILINE)))
            continue
        for task, code in _by_task(text):
            if not task:
                cells.append(_cell("code", f"code-{len(cells) + 1}", code))
                continue
            cells.append(_cell("code", f"task-{_slug(task)}", code, locked=False, solution=True))
            cells.append(_cell("code", f"checks-{_slug(task)}", CHECK.format(task=task), points=points[task]))
    notebook = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


CHECK = """# The public checks of task {task}. This cell belongs to the course.
from numpynet.classroom.practice import check

check("checks.py", globals(), task="{task}", strict=True)"""


def _split(text: str) -> list[tuple[bool, str]]:
    """Return (is prose, text) of every cell with something in it."""
    parts = _CELL.split(text)  # text, mark, text, mark, text ...
    cells = [(False, parts[0].strip()), *((bool(mark), body.strip()) for mark, body in zip(parts[1::2], parts[2::2]))]
    return [cell for cell in cells if cell[1]]


def _by_task(code: str) -> list[tuple[str, str]]:
    """Return (task id or "", code): a cell with several tasks in it becomes several cells."""
    starts = [found.start() for found in _TASK.finditer(code)]
    pieces = [code[:start] for start in starts[:1]] if starts else [code]
    pieces += [code[start:end] for start, end in zip(starts, [*starts[1:], len(code)])]
    found = [(match[1] if (match := _TASK.match(piece)) else "", piece.strip()) for piece in pieces]
    return [piece for piece in found if piece[1]]


def _slug(task: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", task)


def _cell(
    kind: str, id: str, source: str, *, locked: bool = True, solution: bool = False, points: float | None = None
) -> dict[str, Any]:
    nbgrader = {
        "cell_type": kind,
        "grade": points is not None,
        "grade_id": id,
        "locked": locked,
        "schema_version": 3,
        "solution": solution,
        "task": False,
    }
    if points is not None:
        nbgrader["points"] = points
    cell: dict[str, Any] = {
        "cell_type": kind,
        "id": id,
        "metadata": {"nbgrader": nbgrader},
        "source": source.splitlines(keepends=True),
    }
    return {**cell, "execution_count": None, "outputs": []} if kind == "code" else cell
