"""A student's folder: which assignment a file belongs to, the functions in it, its hints."""

from __future__ import annotations

import signal
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpynet.classroom.authoring import CHECKS_FILE, read_marked
from numpynet.classroom.release import MANIFEST, read_manifest, sha256
from numpynet.classroom.submissions import read_submission
from numpynet.classroom.task import Assignment, assignment_names, load_assignment
from numpynet.conformance.contract import Subject
from numpynet.conformance.subject import CannotImport, load_file

SECONDS = 10.0  # for one check, and for the import; all checks of ours together take less than one


def find_assignment(path: Path | None, name: str | None = None) -> tuple[Assignment, Path]:
    """Return the assignment that a file belongs to, and the file.

    Parameters
    ----------
    path : of the student's file; None, or a folder, takes the one that the manifest of the (current) folder names
    name : of the assignment; None asks the manifest beside the file, and then the name of the file

    Returns
    -------
    assignment, path

    Raises
    ------
    ValueError
        It cannot be told.

    Examples
    --------
    >>> find_assignment(Path("dropout.py"))[0].title
    'Dropout by hand'
    """
    if path is not None and path.is_dir():
        folder, path = path, None
    else:
        folder = Path() if path is None else path.parent
    has_manifest = (folder / MANIFEST).is_file()
    if path is None and not has_manifest:
        here = "here" if folder == Path() else f"in {folder}"
        raise ValueError(
            f"there is no {MANIFEST} {here}; give the file to check, or go to the folder of the assignment"
        )
    if path is None:
        path = folder / read_manifest(folder)["file"]
    if name is not None:
        return load_assignment(name), path
    if has_manifest and (folder / CHECKS_FILE).is_file():
        return load_assignment(str(folder / CHECKS_FILE)), path
    for known in assignment_names():
        assignment = load_assignment(known)
        if path.stem == Path(assignment.file).stem:
            return assignment, path
    raise ValueError(f"which assignment is {path.name} of? Give --assignment: {', '.join(assignment_names())}")


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in code that does not come back; only where the system has alarms, and in the main thread.

    Parameters
    ----------
    seconds : of wall-clock time

    Yields
    ------
    None

    Raises
    ------
    TimeoutError
        In the code of the ``with`` block, when the time is over.

    Examples
    --------
    >>> with time_limit(0.01):
    ...     while True: ...
    Traceback (most recent call last):
    ...
    TimeoutError: nothing came back within 0.01 s (an endless loop?)
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise TimeoutError(f"nothing came back within {seconds:g} s (an endless loop?)")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def load_student(path: Path, assignment: Assignment) -> Subject:
    """Import a student's file, or the code cells of a notebook, as Python would run it.

    Parameters
    ----------
    path : of a .py file or a notebook
    assignment : whose functions are looked for

    Returns
    -------
    Subject, not trusted; with the functions that are there

    Raises
    ------
    ValueError
        It cannot be read or imported; the message names the line.

    Examples
    --------
    >>> import tempfile
    >>> from numpynet.classroom.task import load_assignment
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "mine.py")
    ...     _ = path.write_text("def sample_mask(rng, shape, keep_prob): ...")
    ...     list(load_student(path, load_assignment("dropout")).functions)
    ['sample_mask']
    """
    try:
        with time_limit(SECONDS):
            module = _notebook_module(path) if path.suffix == ".ipynb" else load_file(path)
    except CannotImport as error:
        if isinstance(error.__cause__, TimeoutError):
            raise CannotImport(f"{path} cannot be imported: {error.__cause__}") from error
        raise
    found = {name: getattr(module, name, None) for name in assignment.functions}
    functions = {name: f for name, f in found.items() if callable(f)}
    return Subject(str(path), functions, trusted=False)


def _notebook_module(path: Path) -> types.ModuleType:
    read = read_submission(path.name, path, path.name)
    if read.problem:
        raise CannotImport(f"{path}: {read.problem}")
    module = types.ModuleType(path.stem)
    try:
        exec(compile(read.source, str(path), "exec", dont_inherit=True), module.__dict__)
    except (Exception, SystemExit) as error:
        raise CannotImport(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def hints_for(assignment: Assignment, path: Path, task: str) -> list[str]:
    """Return the hints of a task, from the manifest beside a file or from the assignment itself.

    Parameters
    ----------
    assignment : that the file belongs to
    path : of the student's file
    task : its id

    Returns
    -------
    Hints, the mildest first; none for a task without.

    Examples
    --------
    >>> from numpynet.classroom.task import load_assignment
    >>> len(hints_for(load_assignment("dropout"), Path("dropout.py"), "1.1"))
    2
    """
    if (path.parent / MANIFEST).is_file():
        tasks = read_manifest(path.parent)["tasks"]
        return next((list(entry["hints"]) for entry in tasks if entry["id"] == task), [])
    marks = read_marked(assignment.solution).tasks if assignment.solution else []
    return next((list(mark.hints) for mark in marks if mark.id == task), [])


def changed_checks(folder: Path) -> bool:
    """Say whether the public checks in a folder are others than those that were released.

    Parameters
    ----------
    folder : of a release

    Returns
    -------
    False also where there is no manifest, or no checks.

    Examples
    --------
    >>> changed_checks(Path("nowhere"))
    False
    """
    path = folder / CHECKS_FILE
    if not (folder / MANIFEST).is_file() or not path.is_file():
        return False
    return sha256(path.read_text(encoding="utf-8")) != read_manifest(folder)["sha256"].get(CHECKS_FILE)
