"""The student's loop: check a file, a task, or a notebook's own functions, and read in one line each what is wrong.

The code runs in this process, on the student's own machine; nothing is graded here. All functions of this file print or
return words, never a number that a notebook grader could take for points.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from numpynet.classroom.desk import SECONDS, find_assignment, load_student, time_limit
from numpynet.classroom.feedback import student_text
from numpynet.classroom.release import read_manifest
from numpynet.classroom.task import Assignment, Check, CheckResult, Task, load_assignment, run_check
from numpynet.conformance.contract import Subject

WORST_FIRST = ("error", "fail", "wait", "skip", "pass")


class TaskResult(NamedTuple):
    """What the checks of one task found."""

    task: Task
    checks: tuple[CheckResult, ...]
    needs: str = ""  # the task that has to be right first

    @property
    def status(self) -> str:
        """The worst status of a check; a task that is partly written is not waiting but wrong."""
        if self.needs:
            return "skip"
        return next(status for status in WORST_FIRST if any(check.status == status for check in self.checks))

    @property
    def finding(self) -> str:
        """What was found first, in words."""
        if self.needs:
            return f"needs task {self.needs}"
        worst = next((check for check in self.checks if check.status == self.status), None)
        return "" if worst is None or self.status == "pass" else told(worst)

    def line(self) -> str:
        """Return the one line of the task."""
        n_passed = sum(check.passed for check in self.checks)
        status = f"PASS {n_passed}/{n_passed}" if self.status == "pass" else self.status.upper()
        return f"{self.task.id:<4} {status:<9} {self.task.title}" + (f": {self.finding}" if self.finding else "")


class NotPassed(AssertionError):
    """Public checks of a task did not pass; what was found has been printed above."""

    def _render_traceback_(self) -> list[str]:  # IPython asks for it: one line instead of a traceback
        return [str(self)]


def told(result: CheckResult) -> str:
    """Return what a check found, with all that may help; these are the student's own numbers.

    Parameters
    ----------
    result : of a check

    Returns
    -------
    Text, one line or several.

    Examples
    --------
    >>> told(CheckResult("values", "skip", 0, 2, message="needs shapes"))
    'needs shapes'
    """
    report = result.report
    if report is None:
        return result.message
    if result.status == "wait":
        return "not written yet"
    if report.kind == "law" or report.status == "error" or report.kind.startswith("raised"):
        return report.message + (f". Most likely: {report.causes[0].text}" if report.causes else "")
    return student_text(result, "cause")


def check_task(task: Task, subject: Subject, seed: int) -> TaskResult:
    """Run the public checks of a task; one is not tried when an earlier one that it needs has failed.

    Parameters
    ----------
    task : of an assignment
    subject : the student's functions
    seed : of the draws

    Returns
    -------
    TaskResult

    Examples
    --------
    >>> from numpynet.classroom.task import load_assignment
    >>> check_task(load_assignment("dropout").tasks[0], Subject("mine.py", {}), 0).line()
    '1.1  SKIP      The mask: sample_mask is not defined'
    """
    return TaskResult(task, tuple(_checked(task, subject, seed)))


def passes(task: Task, subject: Subject, seed: int) -> bool:
    """Say whether functions pass all public checks of a task; what comes after the first that fails is not tried.

    Parameters
    ----------
    task : of an assignment
    subject : the functions
    seed : of the draws

    Returns
    -------
    bool, ``check_task(...).status == "pass"``

    Examples
    --------
    >>> from numpynet.classroom.task import load_assignment
    >>> passes(load_assignment("dropout").tasks[0], Subject("mine.py", {}), 0)
    False
    """
    return all(result.status == "pass" for result in _checked(task, subject, seed))


def _checked(task: Task, subject: Subject, seed: int) -> Iterator[CheckResult]:
    results: list[CheckResult] = []
    over = ""
    for check in task.checks:
        passed = {result.name for result in results if result.passed}
        lacking = [name for name in check.needs if name not in passed]
        if lacking:
            message = f"needs {', '.join(lacking)}"
            result = CheckResult(check.name, "skip", 0, check.points, message=message)
        elif over:
            result = CheckResult(check.name, "skip", 0, check.points, message=over)
        else:
            result = _tried(check, subject, seed)
            over = f"{check.name} took too long" if "TimeoutError" in told(result) else ""
        results.append(result)
        yield result


def _tried(check: Check, subject: Subject, seed: int) -> CheckResult:
    try:
        with time_limit(max(SECONDS, check.seconds or 0)):
            return run_check(check, subject, seed)
    except Exception as error:  # what came back is of a kind that the check did not think of
        message = f"what your functions return cannot be worked with: {type(error).__name__}: {error}"
        return CheckResult(check.name, "error", 0, check.points, message=message)


def check_all(assignment: Assignment, subject: Subject, seed: int) -> Iterator[TaskResult]:
    """Yield the result of every task; those that need a broken one are skipped.

    Parameters
    ----------
    assignment : whose tasks are checked, in their order
    subject : the student's functions
    seed : of the draws

    Yields
    ------
    One ``TaskResult`` for each task.

    Examples
    --------
    >>> from numpynet.classroom.task import load_assignment
    >>> results = check_all(load_assignment("dropout"), Subject("mine.py", {}), 0)
    >>> [result.status for result in results][:3]
    ['skip', 'skip', 'skip']
    """
    passed: set[str] = set()
    for task in assignment.tasks:
        missing = [needed for needed in task.needs if needed not in passed]
        result = TaskResult(task, (), missing[0]) if missing else check_task(task, subject, seed)
        if result.status == "pass":
            passed.add(task.id)
        yield result


def task_named(assignment: Assignment, id: str) -> Task:
    """Return a task by its id, or by the name of a function of it.

    Parameters
    ----------
    assignment : whose task
    id : of the task, or the name of a function

    Returns
    -------
    Task

    Raises
    ------
    ValueError
        There is no such task.

    Examples
    --------
    >>> from numpynet.classroom.task import load_assignment
    >>> task_named(load_assignment("dropout"), "mc_predict").id
    '6.1'
    """
    for task in assignment.tasks:
        if id == task.id or id in task.functions:
            return task
    known = ", ".join(task.id for task in assignment.tasks)
    raise ValueError(f"{assignment.name} has no task {id!r}; it has {known}")


def practise(assignment: Assignment, subject: Subject, *, task: str | None = None, seed: int = 0) -> bool:
    """Print a line for each task, or for one task a line for each check; return whether all public checks passed.

    Parameters
    ----------
    assignment : whose tasks are checked
    subject : the student's functions
    task : an id, or the name of a function; None checks all
    seed : of the draws

    Returns
    -------
    True if all that was checked passed.

    Examples
    --------
    >>> from numpynet.classroom.task import load_assignment
    >>> practise(load_assignment("dropout"), Subject("mine.py", {}), task="1.1")
    1.1  SKIP      The mask: sample_mask is not defined
         SKIP      binary: sample_mask is not defined
         SKIP      generator: needs binary
         SKIP      statistics: needs binary
    False
    """
    results = []
    if task is not None:
        result = check_task(task_named(assignment, task), subject, seed)
        results = [result]
        print(result.line())
        for check in result.checks:
            finding = "" if check.passed else told(check).removeprefix(f"{check.name}: ")  # a law has its name in front
            print(f"     {check.status.upper():<9} {check.name}" + (f": {finding}" if finding else ""))
    else:
        for result in check_all(assignment, subject, seed):
            results.append(result)
            print(result.line(), flush=True)
    counts = {status: sum(result.status == status for result in results) for status in WORST_FIRST}
    if counts["pass"] == len(results):
        about = f"task {results[0].task.id}" if task is not None else assignment.name
        print(f"{about}: public checks passed. Grading draws other numbers, and may ask more.")
        return True
    if task is None:
        parts = [f"{n} {word}" for word, n in _words(counts) if n]
        print(f"{assignment.name}: {', '.join(parts)}")
    return False


def _words(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    broken = counts["fail"] + counts["error"]
    return [("passed", counts["pass"]), ("wrong", broken), ("not written", counts["wait"]), ("skipped", counts["skip"])]


def check(name: str, functions: Mapping[str, Any], *, task: str | None = None, strict: bool = False) -> None:
    """Check functions that are defined here, in a cell of a notebook: ``check("dropout", globals(), task="2.1")``.

    Parameters
    ----------
    name : of an assignment, or the file of its public checks
    functions : where the functions are: ``globals()``
    task : an id, or the name of a function; None checks all
    strict : whether to raise ``NotPassed`` in the end, for graders of notebooks

    Raises
    ------
    ValueError
        There is no such assignment or task.
    NotPassed
        ``strict``, and a public check did not pass.

    Examples
    --------
    >>> check("dropout", {"sample_mask": lambda rng, shape, keep_prob: None}, task="1.1")   # doctest: +ELLIPSIS
    1.1  FAIL      The mask: binary: sample_mask returns None ...
    """
    assignment = load_assignment(name)
    there = {f: functions[f] for f in assignment.functions if callable(functions.get(f))}
    passed = practise(assignment, Subject(assignment.file, there, trusted=False), task=task)
    if strict and not passed:
        raise NotPassed(f"not yet: the public checks of {f'task {task}' if task else assignment.name} did not all pass")


# ---- for pytest ------------------------------------------------------------------------------------------------------


@functools.cache
def _practised(folder: Path) -> dict[str, TaskResult]:
    """Return task id -> result, for pytest, which asks for one check at a time."""
    assignment, path = find_assignment(folder / read_manifest(folder)["file"])
    subject = load_student(path, assignment)
    return {result.task.id: result for result in check_all(assignment, subject, 0)}


def cases(folder: Path) -> list[tuple[str, str]]:
    """Return (task, check) for all public checks of a release.

    Parameters
    ----------
    folder : of a release, with the student's file in it

    Returns
    -------
    Ids of tasks and names of checks, in their order.

    Examples
    --------
    >>> import tempfile
    >>> from numpynet.classroom.authoring import read_marked
    >>> from numpynet.classroom.release import release_files, write_release
    >>> dropout = load_assignment("dropout")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_release(release_files(read_marked(dropout.solution), dropout), Path(folder))
    ...     cases(Path(folder))[0], outcome(Path(folder), "1.1", "binary")
    (('1.1', 'binary'), ('wait', 'not written yet'))
    """
    assignment, _ = find_assignment(folder / read_manifest(folder)["file"])
    return [(task.id, check.name) for task in assignment.tasks for check in task.checks]


def outcome(folder: Path, task: str, check: str) -> tuple[str, str]:
    """Return (status, what was found) of one public check of a release; that of ``cases`` shows it.

    Parameters
    ----------
    folder : of a release, with the student's file in it
    task : its id
    check : its name

    Returns
    -------
    status, text : "pass", "fail", "error", "wait" or "skip"; nothing is found where it passed

    Examples
    --------
    >>> outcome(Path("nowhere"), "1.1", "binary")
    Traceback (most recent call last):
    ...
    FileNotFoundError: ...
    """
    result = _practised(folder)[task]
    if result.needs:
        return "skip", result.finding
    found = next(c for c in result.checks if c.name == check)
    return found.status, "" if found.passed else told(found)
