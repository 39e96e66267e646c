"""What students get: the files of a release, made of one marked solution file, the same bytes every time.

=================  ===================================================================================================
``NAME.py``        the skeleton: fill it in and hand it in
``NAME.ipynb``     the same as a notebook, with the text of the page and a cell of checks after each task
``README.md``      the page that teaches
``checks.py``      the public checks
``test_NAME.py``   the same checks for pytest, with a marker for every task (registered by ``conftest.py``)
``manifest.json``  tasks, points, hints, and a SHA-256 of every file
=================  ===================================================================================================
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpynet
from numpynet.classroom.authoring import CHECKS_FILE, read_marked
from numpynet.classroom.markers import Marked
from numpynet.classroom.notebook import notebook_of
from numpynet.classroom.task import Assignment
from numpynet.storage import write_text

MANIFEST = "manifest.json"
MANIFEST_VERSION = 1


def is_marked(assignment: Assignment) -> bool:
    """Say whether an assignment was made from a marked solution, so that it can be released.

    Parameters
    ----------
    assignment : any

    Returns
    -------
    False for one that is written by hand.

    Examples
    --------
    >>> from numpynet.classroom.task import load_assignment
    >>> is_marked(load_assignment("warmup")), is_marked(load_assignment("dropout"))
    (False, True)
    """
    return assignment.solution is not None and bool(read_marked(assignment.solution).tasks)


def release_files(marked: Marked, assignment: Assignment) -> dict[str, str]:
    """Return the files of a release, name -> text.

    Parameters
    ----------
    marked : the solution file, read
    assignment : that was made of it

    Returns
    -------
    Name -> text.

    Examples
    --------
    >>> from numpynet.classroom.task import load_assignment
    >>> dropout = load_assignment("dropout")
    >>> list(release_files(read_marked(dropout.solution), dropout))
    ['dropout.py', 'dropout.ipynb', 'README.md', 'checks.py', 'test_dropout.py', 'conftest.py', 'manifest.json']
    """
    name = assignment.name
    files = {
        assignment.file: marked.skeleton(),
        f"{name}.ipynb": notebook_of(marked),
        "README.md": f"{marked.page()}\n{_how_to(assignment)}",
        CHECKS_FILE: marked.checks(),
        f"test_{name}.py": TEST_FILE.format(name=name),
        "conftest.py": CONFTEST,
    }
    return {**files, MANIFEST: json.dumps(manifest(marked, assignment, files), indent=1, sort_keys=True) + "\n"}


def manifest(marked: Marked, assignment: Assignment, files: dict[str, str]) -> dict[str, Any]:
    """Return what is known of a release: tasks, hints and hashes.

    Parameters
    ----------
    marked : the solution file, read
    assignment : that was made of it
    files : of the release, name -> text

    Returns
    -------
    What JSON can hold.

    Examples
    --------
    >>> from numpynet.classroom.task import load_assignment
    >>> dropout = load_assignment("dropout")
    >>> manifest(read_marked(dropout.solution), dropout, {})["tasks"][0]["id"]
    '1.1'
    """
    tasks = [
        {
            "id": task.id,
            "title": task.title,
            "points": mark.points,
            "needs": list(task.needs),
            "functions": list(task.functions),
            "hints": list(mark.hints),
            "seconds": max((check.seconds for check in task.checks if check.seconds), default=None),
        }
        for task, mark in zip(assignment.tasks, marked.tasks)
    ]
    return {
        "version": MANIFEST_VERSION,
        "numpynet": numpynet.__version__,
        "assignment": assignment.name,
        "title": assignment.title,
        "file": assignment.file,
        "max_score": assignment.points,
        "seeds": "practice: --seed, 0 by default; grading: SHA-256 of salt and name",
        "tasks": tasks,
        "sha256": {file: sha256(text) for file, text in sorted(files.items())},
    }


def sha256(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8.

    Parameters
    ----------
    text : any

    Returns
    -------
    64 hexadecimal digits.

    Examples
    --------
    >>> sha256("")[:8]
    'e3b0c442'
    """
    return hashlib.sha256(text.encode()).hexdigest()


def write_release(files: dict[str, str], folder: Path, *, again: bool = False) -> None:
    """Write the files of a release into a folder.

    Parameters
    ----------
    files : name -> text
    folder : made if it is not there
    again : whether a release that is there may be replaced; only files that are as they were released are

    Raises
    ------
    FileExistsError
        A file is there that would be overwritten, and it may be somebody's work.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_release({"a.py": "a = 1"}, Path(folder))
    ...     write_release({"a.py": "a = 2"}, Path(folder))
    Traceback (most recent call last):
    ...
    FileExistsError: a.py is there already ...
    """
    known: dict[str, str] = {}
    if again and (folder / MANIFEST).is_file():
        known = read_manifest(folder)["sha256"]
        known[MANIFEST] = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    for name in files:
        path = folder / name
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() != known.get(name):
            raise FileExistsError(
                f"{name} is there already in {folder}, and may be somebody's work; give another folder, or move it away"
            )
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        write_text(folder / name, text)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a release.

    Parameters
    ----------
    folder : of the release

    Returns
    -------
    What ``manifest`` returned.

    Raises
    ------
    ValueError
        It is not one, or one of another version.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "manifest.json").write_text("[]")
    ...     read_manifest(Path(folder))                                                # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    ValueError: ...manifest.json is no manifest of an assignment
    """
    path = folder / MANIFEST
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        known = {name: str(digest) for name, digest in found["sha256"].items()}
        kept = found["version"], str(found["file"]), list(found["tasks"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is no manifest of an assignment") from None
    if kept[0] != MANIFEST_VERSION:
        raise ValueError(f"{path} has version {kept[0]}; this numpynet reads version {MANIFEST_VERSION}")
    return {**found, "sha256": known}


def _how_to(assignment: Assignment) -> str:
    """Return the end of the page: the tasks as a table, and how to check one's work."""
    rows = [
        f"| {task.id} | {task.title} | {task.points:g} | {', '.join(task.needs) or '-'} "
        f"| {', '.join(f'`{function}`' for function in task.functions)} |"
        for task in assignment.tasks
    ]
    table = "\n".join(["| task | title | points | needs | functions |", "| --- | --- | --- | --- | --- |", *rows])
    first = assignment.tasks[0].id
    check = f"numpynet assignment check {assignment.file}"
    commands = {
        check: "all tasks, one line each",
        f"{check} --task {first}": "one task, every check of it",
        f"{check} --task {first} --hint": "the first hint; --hint 2 shows two",
        f"pytest -m {mark_of(first)}": "one task with pytest",
    }
    width = max(map(len, commands))
    lines = "\n".join(f"$ {command:<{width}}  # {words}" for command, words in commands.items())
    return HOW_TO.format(table=table, file=assignment.file, commands=lines)


def mark_of(task: str) -> str:
    """Return the pytest marker of a task.

    Parameters
    ----------
    task : its id

    Returns
    -------
    "task", and the id with _ for whatever is neither letter nor digit.

    Examples
    --------
    >>> mark_of("2.1")
    'task2_1'
    """
    return "task" + "".join(c if c.isalnum() else "_" for c in task)


HOW_TO = """## Tasks, and how to check them

{table}

Fill in `{file}` (or the notebook of the same name) and try it, as often as you like, without a network:

```console
{commands}
```

A task is PASS, FAIL with what was found, WAIT (not written yet) or SKIP (it needs an earlier one). The public checks are
not the mark: grading draws other numbers and may ask more.
"""

TEST_FILE = '''"""The public checks of {name} for pytest: ``pytest -m task1_1`` runs those of task 1.1. No need to change anything."""

from pathlib import Path

import pytest

from numpynet.classroom.practice import cases, outcome
from numpynet.classroom.release import mark_of

HERE = Path(__file__).resolve().parent


@pytest.mark.parametrize(
    ("task", "check"),
    [
        pytest.param(task, check, id=f"{{task}} {{check}}", marks=getattr(pytest.mark, mark_of(task)))
        for task, check in cases(HERE)
    ],
)
def test_task(task, check):
    status, text = outcome(HERE, task, check)
    if status in ("wait", "skip"):
        pytest.skip(f"{{status.upper()}}: {{text}}")
    assert status == "pass", text
'''

CONFTEST = '''"""Markers of the tasks, for pytest -m."""

from pathlib import Path

from numpynet.classroom.practice import cases
from numpynet.classroom.release import mark_of


def pytest_configure(config):
    for mark in sorted({mark_of(task) for task, _ in cases(Path(__file__).resolve().parent)}):
        config.addinivalue_line("markers", f"{mark}: the checks of this task")
'''
