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
import csv
import io
import json
import os
import secrets
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpynet
from numpynet.classroom.feedback import feedback_page
from numpynet.classroom.grading import Rules, blank_record, record_key
from numpynet.classroom.sandbox.host import Child, ChildGone, Limits
from numpynet.classroom.similarity import nearest
from numpynet.classroom.submissions import Submission, submissions_in
from numpynet.classroom.summary import summary_page
from numpynet.classroom.task import Assignment, load_assignment
from numpynet.classroom.variants import Variant, variant_of
from numpynet.progress import Progress
from numpynet.storage import write_bytes, write_text

ALIKE = 0.8  # from here on two files are worth a look


class Job(NamedTuple):
    """What is to be graded, and how."""

    folder: Path
    grades: Path
    assignment: Assignment
    assignment_name: str  # as it was typed: a name, or the path of a teacher's file
    rules: Rules
    detail: str = "ratio"
    jobs: int = 1


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
    earlier: dict[str, Any] = {}
    if settings_file.exists():
        earlier = json.loads(settings_file.read_text(encoding="utf-8"))
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


def closed_doors(rules: Rules) -> list[str]:
    """Return what this machine can close, by trying; raise where that is less than required.

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
    for submission, record in _graded(job, todo):
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


# ---- processes -------------------------------------------------------------------------------------------------------


class _Slot:
    """A grading process and what it is busy with."""

    def __init__(self, job: Job, number: int) -> None:
        # The path is handed over, so that the process does not look for packages where the command was typed: there may
        # be a submission called json.py. Every standard module it could find there it would otherwise import.
        paths = [os.path.abspath(path) for path in sys.path if path]
        code = f"import sys; sys.path[:] = {paths!r}; from numpynet.classroom.slot import main; main()"
        threads = {name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **threads},
            cwd="/",
        )
        self.submission: Submission | None = None
        self.so_far: dict[str, Any] | None = None
        self.deadline = time.monotonic() + 120
        self.text = bytearray()
        rules = {**job.rules._asdict(), "variant": list(job.rules.variant), "limits": list(job.rules.limits)}
        name = job.assignment_name if not job.assignment_name.endswith(".py") else os.path.abspath(job.assignment_name)
        self.say(
            {"assignment": name, "rules": rules, "folder": str(job.folder.resolve()), "slot": os.getpid() * 8 + number}
        )

    def say(self, message: Mapping[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def lines(self) -> Iterator[dict[str, Any]]:
        """Yield the messages that have arrived; an end is a message as well."""
        piece = os.read(self.process.stdout.fileno(), 1 << 16)
        if not piece:
            yield {"ended": True}
        self.text += piece
        while b"\n" in self.text:
            line, _, rest = self.text.partition(b"\n")
            self.text = bytearray(rest)
            yield json.loads(line)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                stream.close()


def _graded(job: Job, todo: deque[Submission]) -> Iterator[tuple[Submission, dict[str, Any]]]:
    """Grade submissions in several processes; yield each with its record as it is finished."""
    if not todo:
        return
    n_left = len(todo)
    seconds = 90 + 3 * job.rules.limits.total  # far more than any submission gets: the grader itself hangs
    with selectors.DefaultSelector() as selector:
        free = list(range(min(job.jobs, len(todo))))
        try:
            while n_left:
                while free and todo:
                    number = free.pop()
                    slot = _Slot(job, number)
                    selector.register(slot.process.stdout, selectors.EVENT_READ, (number, slot))
                ready = selector.select(1.0)
                for key, _ in ready:
                    number, slot = key.data
                    for message in slot.lines():
                        record = _news(job, slot, message)
                        if record is not None:
                            n_left -= 1
                            yield slot.submission, record
                            slot.submission = slot.so_far = None
                        if "ended" in message:
                            selector.unregister(slot.process.stdout)
                            slot.stop()
                            free.append(number)
                        elif slot.submission is None and todo:
                            slot.submission, slot.so_far = todo.popleft(), None
                            slot.deadline = time.monotonic() + seconds
                            slot.say({"grade": slot.submission.name})
                for key in list(selector.get_map().values()):
                    _, slot = key.data
                    if slot.submission is not None and time.monotonic() > slot.deadline:
                        slot.process.kill()  # its end is a message
        finally:
            for key in list(selector.get_map().values()):
                key.data[1].stop()


def _news(job: Job, slot: _Slot, message: dict[str, Any]) -> dict[str, Any] | None:
    """Return the record that a message of a slot brings or makes necessary."""
    if slot.submission is None:
        if "ended" in message:
            raise ValueError("a grading process ended before it had begun; is the assignment in order?")
        return None
    if "so_far" in message:
        slot.so_far = message["so_far"]
        return None
    if "record" in message:
        return message["record"]
    if "failed" in message or "ended" in message:
        record = slot.so_far or blank_record(slot.submission, job.assignment, job.rules)
        why = message.get("failed", "the grading process was ended")
        return {
            **record,
            "status": "grader_error",
            "message": f"the grader failed: {why}; grade it again, and look at it",
        }
    return None


# ---- the table -------------------------------------------------------------------------------------------------------


def grades_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Return the table of a class, one row for each record.

    Examples
    --------
    >>> print(grades_csv([]).split(",")[0])
    submission
    """
    tasks = [task for task, _ in records[0]["outline"]] if records else []
    header = ["submission", "status", "score", "max_score", *(f"task_{task}" for task in tasks), "seconds", "sandbox"]
    header += ["flags", "similarity_shipped", "similarity", "similar_to", "seed", "message"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    for record in records:
        earned = {task["id"]: task["points"] for task in record["tasks"]}
        row = [record["submission"], record["status"], f"{record['score']:g}", f"{record['max_score']:g}"]
        row += [f"{earned.get(task, 0):g}" for task in tasks]
        row += [f"{record['seconds']:.2f}", "+".join(record["sandbox"]) or "none", "; ".join(record["flags"])]
        row += [f"{record['shipped']:.2f}", f"{record['similarity']:.2f}", record["similar_to"], record["seed"]]
        writer.writerow([harmless(cell) for cell in (*row, record["message"])])
    return text.getvalue()


def harmless(cell: object) -> str:
    """Return the text of a cell that no spreadsheet takes for a formula.

    Examples
    --------
    >>> harmless("=1+1"), harmless(-3)
    ("'=1+1", '-3')
    """
    text = "".join(c if c.isprintable() else " " for c in str(cell))
    return "'" + text if isinstance(cell, str) and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
