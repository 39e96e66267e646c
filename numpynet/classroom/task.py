"""The records of an assignment: checks with points make a task, tasks make an assignment.

A check is a pure function of an implementation (``numpynet.conformance.contract.Subject``: names and functions), and a
seed; it answers with a ``Report`` of ``numpynet.gradcheck``. It neither knows nor cares where the functions run: for
``numpynet assignment check`` they are the student's own, for ``numpynet grade`` stand-ins whose calls travel to a process
without privileges. Expected values never leave the check.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from numpynet.classroom.variants import Variant, adapt
from numpynet.conformance.contract import Subject
from numpynet.conformance.subject import load_file
from numpynet.gradcheck.report import Report

STATUSES = ("pass", "fail", "error", "wait", "skip", "timeout", "crash")


class Check(NamedTuple):
    """One rung of a task.

    ``run(subject, seed)`` gives a report; its points are earned if the status is "pass". It is not tried unless the
    checks in ``needs`` (names of earlier ones of the same task) have passed. A check that is about edited arguments, caches
    and results sets ``sees_changes``, and hands over copies alone: what the student's code edits is then edited here.
    """

    name: str
    points: float
    run: Callable[[Subject, int], Report]
    needs: tuple[str, ...] = ()
    seconds: float | None = None  # for one call of a student's function; None takes the limit of the grading
    sees_changes: bool = False


class Task(NamedTuple):
    """What a student writes and what it earns: ``functions`` are the names that the file must define."""

    id: str  # "2.1"
    title: str
    functions: tuple[str, ...]
    checks: tuple[Check, ...]
    needs: tuple[str, ...] = ()  # ids of tasks without which this one means nothing

    @property
    def points(self) -> float:
        """The points of all checks together."""
        return sum(check.points for check in self.checks)


class Assignment(NamedTuple):
    """A file to hand in, and the tasks in it."""

    name: str  # as it is typed: "backprop"
    title: str
    file: str  # what students hand in: "backprop.py"
    tasks: tuple[Task, ...]
    solution: Path | None = None  # for the self-check of a build, and for similarity; never shown
    adapt: Callable[[Mapping[str, Callable], Variant], dict[str, Callable]] = adapt

    @property
    def points(self) -> float:
        """The points of all tasks together."""
        return sum(task.points for task in self.tasks)

    @property
    def functions(self) -> tuple[str, ...]:
        """The names of all functions that students write, each once."""
        return tuple(dict.fromkeys(name for task in self.tasks for name in task.functions))


class CheckResult(NamedTuple):
    """What one check found in one submission. The report is for the teacher: it names the seed and shows numbers."""

    name: str
    status: str  # one of STATUSES
    points: float
    max_points: float
    report: Report | None = None
    message: str = ""  # where there is no report

    @property
    def passed(self) -> bool:
        """Whether its points were earned."""
        return self.status == "pass"


def run_check(check: Check, subject: Subject, seed: int) -> CheckResult:
    """Run one check; only "pass" earns its points.

    Parameters
    ----------
    check : of a task
    subject : the student's functions
    seed : of the draws

    Returns
    -------
    CheckResult

    Examples
    --------
    >>> check = Check("there", 2, lambda subject, seed: Report("pass" if "f" in subject.functions else "fail", "f", "f"))
    >>> run_check(check, Subject("mine.py", {"f": abs}), 0).points
    2
    """
    report = check.run(subject, seed)
    earned = check.points if report.status == "pass" else 0
    return CheckResult(check.name, report.status, earned, check.points, report)


def assignment_names() -> list[str]:
    """Return the names of the assignments of this package.

    Examples
    --------
    >>> "warmup" in assignment_names()
    True
    """
    from numpynet.classroom import assignments

    return sorted(module.name for module in pkgutil.iter_modules(assignments.__path__) if module.name[0] != "_")


def load_assignment(name: str) -> Assignment:
    """Return an assignment of this package by its name, or a teacher's own: the path of a .py file with ``ASSIGNMENT``.

    Parameters
    ----------
    name : of an assignment, or the path of a teacher's file

    Returns
    -------
    Assignment

    Raises
    ------
    ValueError
        There is no such assignment, or the file defines none.

    Examples
    --------
    >>> load_assignment("warmup").points
    20
    """
    if name.endswith(".py"):
        module: Any = load_file(Path(name))
    elif name in assignment_names():
        module = importlib.import_module(f"numpynet.classroom.assignments.{name}")
    else:
        raise ValueError(f"there is no assignment {name!r}; there are {', '.join(assignment_names())}")
    assignment = getattr(module, "ASSIGNMENT", None)
    if not isinstance(assignment, Assignment):
        raise ValueError(f"{name} defines no ASSIGNMENT (a numpynet.classroom.task.Assignment)")
    return checked(assignment)


def checked(assignment: Assignment) -> Assignment:
    """Return an assignment in which ids are unique and everything that is needed comes earlier, or raise.

    Parameters
    ----------
    assignment : any

    Returns
    -------
    The same assignment.

    Raises
    ------
    ValueError
        Two tasks or two checks have one name, points are negative, or something is needed that does not come before.

    Examples
    --------
    >>> checked(Assignment("a", "A", "a.py", (Task("1", "One", (), (), needs=("2",)),)))
    Traceback (most recent call last):
    ...
    ValueError: task 1 of a needs task 2, which does not come before it
    """
    seen: set[str] = set()
    for task in assignment.tasks:
        if task.id in seen:
            raise ValueError(f"two tasks of {assignment.name} have the id {task.id}")
        for needed in task.needs:
            if needed not in seen:
                raise ValueError(
                    f"task {task.id} of {assignment.name} needs task {needed}, which does not come before it"
                )
        seen.add(task.id)
        names: set[str] = set()
        for check in task.checks:
            unknown = [needed for needed in check.needs if needed not in names]
            if unknown:
                raise ValueError(f"check {check.name!r} of task {task.id} needs {unknown[0]!r}, which is not before it")
            if check.name in names or not check.points >= 0:
                raise ValueError(
                    f"check {check.name!r} of task {task.id}: a name of its own and points >= 0 are needed"
                )
            names.add(check.name)
    return assignment
