"""A class: every submission of a folder graded, one row for each, whatever happens.

    GRADES/grading.json        assignment, salt, convention, limits: what makes marks repeatable; for the teacher alone
    GRADES/results/*.json      a record for each submission, written whole; for the teacher alone
    GRADES/feedback/*.html     a page for each student
    GRADES/grades.csv          one row for each submission
    GRADES/summary.html        the class: marks, tasks, bugs, what to look at

A record is final when it is written. Whoever is interrupted starts the same command again: what is graded stays, as long
as the file, the assignment and the rules are the same. What has changed is graded again, and the older record is kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpynet
from numpynet.classroom.feedback import feedback_page
from numpynet.classroom.grading import Rules, record_key
from numpynet.classroom.pool import Job, graded
from numpynet.classroom.sandbox.host import Child, ChildGone, Limits
from numpynet.classroom.similarity import nearest
from numpynet.classroom.submissions import Submission, submissions_in
from numpynet.classroom.summary import summary_page
from numpynet.classroom.table import grades_csv
from numpynet.classroom.task import load_assignment
from numpynet.classroom.variants import Variant, variant_of
from numpynet.progress import Progress
from numpynet.storage import write_bytes, write_text


def prepare(
    folder: Path,
    grades: Path,
    *,
    assignment: str | None = None,
    salt: str | None = None,
    variant: str | None = None,
    seconds: float | None = None,
    required: Sequence[str] = (),
    detail: str = "ratio",
    jobs: int = 1,
) -> Job:
    """Return the job; what is not given is what an earlier run in the same grades folder had.

    Parameters
    ----------
    folder : of the submissions
    grades : folder for the results, which must not hold the submissions
    assignment : its name, or the path of a teacher's file
    salt : of the seeds of the inputs; None draws one for a first run
    variant : the convention of the course, see ``variant_of``
    seconds : for one call of a student's function
    required : doors that must be closed, or nothing is graded
    detail : how much students are told, one of ``DETAILS``
    jobs : processes

    Returns
    -------
    Job

    Raises
    ------
    ValueError
        There is no submissions folder, no assignment is named, or an earlier run had another one.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     submissions = Path(folder, "submissions")
    ...     submissions.mkdir()
    ...     prepare(submissions, Path(folder, "grades"), assignment="warmup", salt="s").rules.salt
    's'
    """
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder; the folder of the submissions is needed")
    if folder.resolve() in (grades.resolve(), *grades.resolve().parents):
        raise ValueError(f"the grades cannot go into {folder}, where the submissions are; give another folder to -o")
    settings_file = grades / "grading.json"
    earlier = _settings_in(settings_file) if settings_file.exists() else {}
    name = assignment or earlier.get("assignment")
    if not name:
        raise ValueError("which assignment is it? Give its name with --assignment")
    if earlier and name != earlier["assignment"]:
        raise ValueError(f"{grades} holds grades of {earlier['assignment']}, not of {name}; give another folder to -o")
    if salt is not None and earlier and salt != earlier["salt"]:
        raise ValueError(f"{grades} was graded with another salt; leave --seed-salt out, or give another folder to -o")
    loaded = load_assignment(name)
    limits = Limits(*earlier["limits"]) if earlier else Limits()
    rules = Rules(
        salt or earlier.get("salt") or secrets.token_hex(16),
        variant_of(variant) if variant is not None else Variant(*earlier.get("variant", Variant())),
        limits if seconds is None else limits._replace(seconds=seconds),
        tuple(dict.fromkeys(str(path.resolve()) for path in (folder, grades, Path(numpynet.__file__).parent))),
        tuple(required),
    )
    for part in ("results", "feedback"):
        (grades / part).mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        (grades / "results").chmod(0o700)
    settings = {"assignment": name, "salt": rules.salt, "variant": list(rules.variant), "limits": list(rules.limits)}
    write_text(settings_file, json.dumps(settings, indent=2) + "\n")
    with contextlib.suppress(OSError):
        settings_file.chmod(0o600)
    return Job(folder, grades, loaded, name, rules, detail, jobs)


def _settings_in(file: Path) -> dict[str, Any]:
    """Return the settings that an earlier run has written."""
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
        if not all(isinstance(settings[name], str) for name in ("assignment", "salt")):
            raise TypeError("no text")
        Limits(*settings["limits"]), Variant(*settings["variant"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{file} is not as numpynet grade writes it (edited by hand?); give another folder to -o"
        ) from None
    return settings


def closed_doors(rules: Rules) -> list[str]:
    """Return what this machine can close, by trying; raise where that is less than required.

    Parameters
    ----------
    rules : of the grading

    Returns
    -------
    Names of doors, such as "landlock".

    Raises
    ------
    ValueError
        A door that is required stays open, or no child process can be run.

    Examples
    --------
    >>> "limits" in closed_doors(Rules("s"))
    True
    """
    child = Child("empty.py", b"pass", (), limits=rules.limits, hidden=rules.hidden)
    try:
        with child:
            closed = child.closed
    except ChildGone as gone:
        last = child.text().strip().splitlines()[-1:] or [""]
        raise ValueError(f"no child process can be run on this machine: {gone.message} {last[0]}") from None
    if missing := [door for door in rules.required if door not in closed]:
        raise ValueError(f"--require: these doors cannot be closed on this machine: {', '.join(missing)}")
    return closed


def run_batch(job: Job, *, only: str | None = None) -> list[dict[str, Any]]:
    """Grade a class and write everything; return the records, sorted by name.

    Parameters
    ----------
    job : see ``prepare``
    only : the name of one submission that is graded again; the others stay as they are

    Returns
    -------
    Records, see ``grade``.

    Raises
    ------
    ValueError
        There is no submission of the name ``only``.
    """
    submissions = submissions_in(job.folder, job.assignment.file)
    if only is not None and only not in [s.name for s in submissions]:
        raise ValueError(f"there is no submission {only!r} in {job.folder}")
    records: dict[str, dict[str, Any]] = {}
    todo: deque[Submission] = deque()
    for submission in submissions:
        record = _earlier(job, submission)
        if record is None or submission.name == only:
            todo.append(submission)
        else:
            records[submission.name] = record
    progress = Progress("grading", len(submissions))
    progress.show(len(records))
    for submission, record in graded(job, todo):
        records[submission.name] = record
        _write_record(job, submission, record)
        progress.show(len(records), submission.name)
    progress.close()
    ordered = [records[submission.name] for submission in submissions]
    _compare(ordered)
    for submission, record in zip(submissions, ordered):
        record["slug"] = submission.slug
        text = feedback_page(record, job.detail, job.rules.variant.sentences())
        write_text(job.grades / "feedback" / f"{record['slug']}.html", text)
    write_bytes(job.grades / "grades.csv", grades_csv(ordered).encode("utf-8", "replace"))
    write_text(job.grades / "summary.html", summary_page(job.assignment.title, ordered))
    return ordered


# ---- records ---------------------------------------------------------------------------------------------------------


def _record_path(job: Job, submission: Submission) -> Path:
    return job.grades / "results" / f"{submission.slug}.json"


def _earlier(job: Job, submission: Submission) -> dict[str, Any] | None:
    """Return the record of an earlier run, if it is of this very file, assignment and rules."""
    try:
        record = json.loads(_record_path(job, submission).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    same = isinstance(record, dict) and record.get("key") == record_key(submission, job.assignment, job.rules)
    return record if same and record.get("status") != "grader_error" else None


def _write_record(job: Job, submission: Submission, record: dict[str, Any]) -> None:
    """Write a record; one of an earlier hand-in keeps its place beside it."""
    path = _record_path(job, submission)
    if path.exists():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            before = json.loads(path.read_text(encoding="utf-8"))["score"]
            if before > record["score"]:  # nothing is lowered in silence
                record["flags"] = [*record["flags"], f"had {before:g} points before"]
        k = 1
        while path.with_suffix(f".{k}.json").exists():
            k += 1
        os.replace(path, path.with_suffix(f".{k}.json"))
    write_text(path, json.dumps(record, indent=1) + "\n")


def _compare(records: Sequence[dict[str, Any]]) -> None:
    """Enter into every record which other submission is most alike."""
    found = nearest({record["submission"]: record["fingerprint"] for record in records})
    for record in records:
        other, share = found[record["submission"]]
        record["similar_to"], record["similarity"] = other, round(share, 3)
