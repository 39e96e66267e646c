"""One submission at a time, where a system has put it: Gradescope, PrairieLearn, a step of a workflow."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

import numpynet
from numpynet.classroom.exports import result_text
from numpynet.classroom.exports.gradescope import gradescope_zip
from numpynet.classroom.grading import Rules, blank_record, grade
from numpynet.classroom.sandbox.doors import bound_memory, hide_memory
from numpynet.classroom.sandbox.host import Limits
from numpynet.classroom.submissions import Submission, read_submission
from numpynet.classroom.task import load_assignment
from numpynet.classroom.variants import variant_of
from numpynet.storage import write_bytes, write_text


def write_zip(assignment: str, out: Path, detail: str, salt: str | None, variant: str) -> int:
    """Write the zip of a Gradescope autograder and return the exit code.

    Parameters
    ----------
    assignment : its name, or the path of a teacher's file
    out : the zip, overwritten
    detail : how much students are told, one of ``DETAILS``
    salt : of the seeds of the inputs; None draws one
    variant : the convention of the course, see ``variant_of``

    Returns
    -------
    The exit code, 0; what goes wrong raises.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_zip("warmup", Path(folder, "autograder.zip"), "where", "a salt", "transposed")
    autograder.zip: warmup, 20 points; set the assignment's points to 20
    0
    """
    loaded = load_assignment(assignment)
    variant_of(variant)
    extra = {}
    if assignment.endswith(".py"):
        extra["assignment.py"] = Path(assignment).read_bytes()
    settings = {
        "assignment": "assignment.py" if extra else assignment,
        "detail": detail,
        "salt": salt or secrets.token_hex(16),
        "variant": variant,
        "seconds": Limits().seconds,
    }
    write_bytes(out, gradescope_zip(settings, extra))
    print(f"{out.name}: {loaded.name}, {loaded.points:g} points; set the assignment's points to {loaded.points:g}")
    return 0


def run_one(settings_file: Path, folder: Path, metadata: Path | None, results: Path, format_: str) -> int:
    """Grade one submission and write the file that the system reads; return the exit code.

    Whatever happens, there is a result: where the grader itself fails, one with no points that says so.

    Parameters
    ----------
    settings_file : that ``write_zip`` put into the zip
    folder : of the submission
    metadata : of Gradescope, in JSON; None where there is none
    results : the file to write
    format_ : see ``result_text``

    Returns
    -------
    The exit code: 1 if the grader failed.
    """
    hide_memory()
    bound_memory()
    settings = json.loads(settings_file.read_text(encoding="utf-8"))
    name = settings["assignment"]
    loaded = load_assignment(str(settings_file.parent / name) if name.endswith(".py") else name)
    rules = Rules(
        settings["salt"],
        variant_of(settings["variant"]),
        Limits(seconds=settings["seconds"]),
        tuple(
            str(path.resolve())
            for path in (folder, results.parent, settings_file.parent, Path(numpynet.__file__).parent)
            if path.is_dir()
        ),
    )
    who = student(metadata)
    submission = Submission(who, folder)
    try:
        submission = read_submission(who, folder, loaded.file)
        record = grade(submission, loaded, rules, slot=os.getpid())
    except Exception as error:  # a result is owed to the student; the teacher sees what it was
        record = blank_record(submission, loaded, rules)
        record["message"] = f"the grader failed ({type(error).__name__}); please tell your teacher"
    write_text(results, result_text(format_, record, settings["detail"]))
    print(
        f"{record['status']}: {record['score']:g} of {record['max_score']:g}; protection: {', '.join(record['sandbox'])}"
    )
    return 1 if record["status"] == "grader_error" else 0


def student(metadata: Path | None) -> str:
    """Return who handed in, by the ids that Gradescope gives; they seed the inputs and are stored nowhere.

    Parameters
    ----------
    metadata : file in JSON; None, or one that is not as expected, names nobody

    Returns
    -------
    The ids, sorted and joined by "+", or "submission".

    Examples
    --------
    >>> student(None)
    'submission'
    """
    try:
        users: Any = json.loads(metadata.read_text(encoding="utf-8"))["users"] if metadata else []
        ids = sorted(str(user["id"]) for user in users)
    except (OSError, ValueError, KeyError, TypeError):
        ids = []
    return "+".join(ids) or "submission"
