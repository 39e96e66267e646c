"""From a solution file to an assignment: the marks say what there is to do, ``CHECKS`` how it is judged."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path

from numpynet.classroom.markers import Marked
from numpynet.classroom.task import Assignment, Check, Task, checked


def read_marked(path: str | Path) -> Marked:
    """Read a solution file.

    Parameters
    ----------
    path : of the solution file

    Returns
    -------
    Marked

    Raises
    ------
    ValueError
        It is not UTF-8, or its markers do not fit each other.
    OSError
        It cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "own.py")
    ...     _ = path.write_text("# TASK 1 points=2 functions=f: One")
    ...     read_marked(path).tasks[0].title
    'One'
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8") from None
    return _marked(text, path.name)


_marked = functools.lru_cache(maxsize=16)(Marked)  # one command asks for the same text several times


def assignment_from(path: str | Path, title: str, checks: Mapping[str, Sequence[Check]]) -> Assignment:
    """Return the assignment of a solution file, or of the file of public checks that was made of one.

    Parameters
    ----------
    path : of the file, ``__file__`` in it; "checks.py" is taken for that of a release, which has the file of students
        beside it and no solution
    title : of the assignment
    checks : task id -> its checks; their points make those that the task announces

    Returns
    -------
    Assignment

    Raises
    ------
    ValueError
        A task has no checks, or their points are others than those announced.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "own.py")
    ...     _ = path.write_text("# TASK 1 points=2 functions=f: One")
    ...     assignment_from(path, "My own", {"1": [Check("there", 2, lambda subject, seed: None)]}).points
    2
    """
    path = Path(path)
    marked = read_marked(path)
    released = path.name == CHECKS_FILE
    if lost := [task.id for task in marked.tasks if task.id not in checks]:
        raise ValueError(f"{path.name}: task {lost[0]} has no checks in CHECKS")
    if unknown := [id for id in checks if id not in {task.id for task in marked.tasks}]:
        raise ValueError(f"{path.name}: CHECKS has a task {unknown[0]} that the file does not announce")
    tasks = []
    for mark in marked.tasks:
        task = Task(mark.id, mark.title, mark.functions, tuple(checks[mark.id]), mark.needs)
        # A release has lost its hidden checks; what is left may be worth less than the task.
        if task.points > mark.points or (task.points < mark.points and not released):
            raise ValueError(
                f"{path.name}: task {mark.id} announces {mark.points:g} points, its checks have {task.points:g}"
            )
        tasks.append(task)
    named = [line.removeprefix(FILE_LINE) for line in marked.lines if line.startswith(FILE_LINE)]
    file = named[0].strip() if named else path.name
    return checked(Assignment(file.removesuffix(".py"), title, file, tuple(tasks), None if released else path))


CHECKS_FILE = "checks.py"
FILE_LINE = "# FILE "  # in the checks of a release: what is handed in
