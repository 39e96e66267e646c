"""What ``numpynet assignment`` does."""

from __future__ import annotations

import sys
from pathlib import Path

from numpynet.classroom.authoring import read_marked
from numpynet.classroom.desk import changed_checks, find_assignment, hints_for, load_student
from numpynet.classroom.markers import Marked
from numpynet.classroom.practice import check_all, practise, task_named
from numpynet.classroom.release import is_marked, release_files, write_release
from numpynet.classroom.self_check import problems
from numpynet.classroom.task import Assignment, assignment_names, load_assignment


def run_list() -> int:
    """Print the assignments of this package.

    Examples
    --------
    >>> run_list()                                                                   # doctest: +ELLIPSIS
    backprop ...
    0
    """
    for name in _releasable():
        assignment = load_assignment(name)
        print(f"{name:<10} {assignment.title}: {len(assignment.tasks)} tasks, {assignment.points:g} points")
    return 0


def run_new(name: str, folder: Path) -> int:
    """Put an assignment into a folder.

    Parameters
    ----------
    name : of an assignment, or the path of a marked solution
    folder : made if need be

    Returns
    -------
    The exit code, 0; what goes wrong raises.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_new("dropout", Path(folder))                                           # doctest: +ELLIPSIS
    Dropout by hand: 7 tasks, 35 points, in ...
    ...
    0
    """
    assignment, marked = _marked(name)
    write_release(release_files(marked, assignment), folder)
    print(f"{assignment.title}: {len(assignment.tasks)} tasks, {assignment.points:g} points, in {folder}")
    print(f"Read {folder / 'README.md'}, fill in {folder / assignment.file}, and check it:")
    print(f"  numpynet assignment check {folder / assignment.file}")
    return 0


def run_check(
    file: Path | None,
    *,
    task: str | None = None,
    hints: int | None = None,
    seed: int = 0,
    assignment: str | None = None,
) -> int:
    """Check a student's file and print what was found, or hints.

    Parameters
    ----------
    file : of the student, or its folder; None takes the one that ``manifest.json`` in this folder names
    task : an id, or the name of a function; None checks all
    hints : how many hints of the task to show instead; None shows none
    seed : of the draws
    assignment : its name, where it cannot be told from the file

    Returns
    -------
    The exit code: 1 if a public check did not pass.

    Raises
    ------
    ValueError
        There is no such file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "dropout.py")
    ...     _ = path.write_text("def sample_mask(rng, shape, keep_prob): ...")
    ...     run_check(path, task="1.1")                                               # doctest: +ELLIPSIS
    1.1  FAIL      The mask: binary: sample_mask returns None ...
    1
    """
    if file is not None and not file.exists():
        raise ValueError(f"there is no file {file}")
    found, path = find_assignment(file, assignment)
    if changed_checks(path.parent):
        print("note: checks.py is not as it was released; the grader has its own", file=sys.stderr)
    if hints is not None:
        return _show_hints(found, path, task, hints, seed)
    return 0 if practise(found, load_student(path, found), task=task, seed=seed) else 1


def _show_hints(assignment: Assignment, path: Path, task: str | None, wanted: int, seed: int) -> int:
    """Print the first hints of a task; without one, of the first that does not pass."""
    if task is None:
        results = check_all(assignment, load_student(path, assignment), seed)
        chosen = next((result.task for result in results if result.status != "pass"), None)
        if chosen is None:
            print(f"{assignment.name}: public checks passed; there is nothing to hint at")
            return 0
    else:
        chosen = task_named(assignment, task)
    hints = hints_for(assignment, path, chosen.id)
    for k, hint in enumerate(hints[:wanted], start=1):
        print(f"task {chosen.id}, hint {k} of {len(hints)}: {hint}")
    if not hints:
        print(f"task {chosen.id} has no hints")
    elif wanted < len(hints):
        print(f"one more: --task {chosen.id} --hint {wanted + 1}")
    return 0


def run_build(solution: str, folder: Path) -> int:
    """Check a marked solution and write its release; nothing is written if something is wrong with it.

    Parameters
    ----------
    solution : path of a marked solution, or the name of an assignment
    folder : of the release; an earlier release in it is replaced

    Returns
    -------
    The exit code: 1 if something is wrong.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run_build("dropout", Path(folder, "release"))                             # doctest: +ELLIPSIS
    solution: 35 of 35 points in ...
    ...
    0
    """
    assignment, marked = _marked(solution)
    found = problems(marked, assignment, print)
    for line in found:
        print(f"WRONG: {line}")
    if found:
        print(f"{assignment.name}: {len(found)} wrong; nothing was written")
        return 1
    write_release(release_files(marked, assignment), folder, again=True)
    print(f"{assignment.name}: released to {folder}")
    return 0


def _marked(name: str) -> tuple[Assignment, Marked]:
    if name.endswith(".py") and Path(name).is_file():
        read_marked(name)  # a mark that is wrong is told with its own line, not with that of the call that reads it
    if not name.endswith(".py") and name not in assignment_names():
        raise ValueError(f"there is no assignment {name!r}; there are {', '.join(_releasable())}")
    assignment = load_assignment(name)
    if not is_marked(assignment):
        raise ValueError(f"{name} has no solution file with marks to release; there are {', '.join(_releasable())}")
    return assignment, read_marked(assignment.solution)


def _releasable() -> list[str]:
    """The assignments that can be given out; the warm-up of the grader is none."""
    return [name for name in assignment_names() if is_marked(load_assignment(name))]
