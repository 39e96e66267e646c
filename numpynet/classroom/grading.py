"""One submission -> one record: every check, what it earned, and what was found.

The student's code runs in a child process; the checks, their inputs and what is right stay here. A child that was stopped
is replaced by a fresh one, so that one endless loop costs its own task and no other.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpynet
from numpynet.classroom.feedback import DETAILS, is_said, safe_message, student_text, words_in
from numpynet.classroom.sandbox.host import Child, ChildGone, Limits
from numpynet.classroom.sandbox.stand_ins import StandIns
from numpynet.classroom.similarity import shipped_share
from numpynet.classroom.submissions import Submission
from numpynet.classroom.task import Assignment, Check, CheckResult, Task, run_check
from numpynet.classroom.variants import Variant
from numpynet.conformance.contract import Subject

RECORD_VERSION = 1
MAX_STOPS = 3  # of one submission; what is left then is not tried
WORST_FIRST = ("timeout", "crash", "error", "fail", "wait", "skip", "pass")


class Rules(NamedTuple):
    """What one grading has in common for all submissions."""

    salt: str
    variant: Variant = Variant()
    limits: Limits = Limits()
    hidden: tuple[str, ...] = ()  # folders that a submission must not see
    required: tuple[str, ...] = ()  # doors that must be closed, or nothing is graded
    leave_open: tuple[str, ...] = ()  # doors that are not closed: for tests of the others


def seed_of(salt: str, assignment: str, name: str) -> int:
    """Return the seed of a submission: the same for the same name and salt, and unknown without the salt.

    Parameters
    ----------
    salt : known to the grader alone
    assignment : its name
    name : of the submission

    Returns
    -------
    A number below 2^48.

    Examples
    --------
    >>> seed_of("s", "warmup", "ann") == seed_of("s", "warmup", "ann") != seed_of("t", "warmup", "ann")
    True
    """
    message = f"{assignment}\0{name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hmac.new(salt.encode(), message, hashlib.sha256).digest()[:6], "big")


def grade(
    submission: Submission,
    assignment: Assignment,
    rules: Rules,
    *,
    slot: int = 0,
    progress: Callable[[dict[str, Any]], None] = lambda record: None,
) -> dict[str, Any]:
    """Grade one submission.

    Parameters
    ----------
    submission, assignment, rules : what, by what, how
    slot : a number that no other grading has at the same time
    progress : called with the record after each task

    Returns
    -------
    The record, of what JSON can hold: "status" is "graded", "ungradable" (not to be read or imported), "timeout" or
    "crashed" (while it was imported); "tasks" hold the checks with their points; "feedback" of a check is what the
    student may read, at each level of detail, "report" is for the teacher.

    Raises
    ------
    RuntimeError
        No child process can be started on this machine.
    """
    started = time.monotonic()
    record = blank_record(submission, assignment, rules)
    if submission.problem:
        return _ended(record, "ungradable", submission.problem, started)
    session = _Session(submission, assignment, rules, slot, record)
    try:
        with session.child() as child:
            imported = child.imported
        if imported["status"] != "imported":
            return _ended(record, "ungradable", _why_not(imported, assignment.file), started)
        passed: set[str] = set()
        for task in assignment.tasks:
            entry = _graded_task(task, session, passed, record["seed"])
            record["tasks"].append(entry)
            if entry["status"] == "pass":
                passed.add(task.id)
            record["score"] = _sum(entry["points"] for entry in record["tasks"])
            record["seconds"] = round(time.monotonic() - started, 3)
            progress(record)
    except ChildGone as gone:  # while it was imported
        if not record["sandbox"]:
            raise RuntimeError(f"no child process could be started: {gone.message}") from None
        status = "timeout" if gone.status == "timeout" else "crashed"
        return _ended(record, status, f"while {assignment.file} was imported: {gone.message}", started)
    finally:
        session.close()
        record["output"] = session.output[:4000]
    return _ended(record, "graded", "", started)


def blank_record(submission: Submission, assignment: Assignment, rules: Rules) -> dict[str, Any]:
    """Return the record of a submission of which nothing has been graded yet.

    Parameters
    ----------
    submission, assignment, rules : what, by what, how

    Returns
    -------
    The record, see ``grade``, with status "grader_error" and no points.
    """
    seed = seed_of(rules.salt, assignment.name, submission.name)
    return {
        "version": RECORD_VERSION,
        "numpynet": numpynet.__version__,
        "assignment": assignment.name,
        "title": assignment.title,
        "submission": submission.name,
        "key": record_key(submission, assignment, rules),
        "status": "grader_error",
        "message": "",
        "score": 0.0,
        "max_score": assignment.points,
        "seconds": 0.0,
        "seed": seed,
        "variant": list(rules.variant),
        "sandbox": [],
        "flags": [],
        "imported": [],
        "shipped": 0.0,
        "fingerprint": [],
        "tasks": [],
        "output": "",
        "reproduce": f"numpynet grade SUBMISSIONS -o GRADES --only {shlex.quote(submission.name)}",
        "outline": [[task.id, task.points] for task in assignment.tasks],
    }


def record_key(submission: Submission, assignment: Assignment, rules: Rules) -> str:
    """Return a digest of everything that a record depends on; the same key, the same record.

    Parameters
    ----------
    submission, assignment, rules : what, by what, how

    Returns
    -------
    64 hexadecimal digits.
    """
    outline = [(task.id, check.name, check.points) for task in assignment.tasks for check in task.checks]
    parts = (submission.digest(), assignment.name, outline, rules.salt, rules.variant, rules.limits, RECORD_VERSION)
    return hashlib.sha256(repr((*parts, numpynet.__version__)).encode("utf-8", "surrogatepass")).hexdigest()


class _Session:
    """The child of one submission, replaced when it is gone."""

    def __init__(
        self, submission: Submission, assignment: Assignment, rules: Rules, slot: int, record: dict[str, Any]
    ) -> None:
        self.submission, self.assignment, self.rules, self.slot, self.record = (
            submission,
            assignment,
            rules,
            slot,
            record,
        )
        self.words = words_in(submission.source, *submission.beside.values())
        self.running: Child | None = None
        self.stand_ins: StandIns | None = None
        self.stops = 0
        self.output = ""
        self.ends = time.monotonic() + rules.limits.total

    @contextmanager
    def child(self) -> Iterator[Child]:
        """Give the running child, started if there is none; it ends with an exception, and stays without."""
        try:
            if self.running is None:
                self._start()
            yield self.running
        except ChildGone:
            self.stops += 1
            self.close()
            raise

    def _start(self) -> None:
        child = Child(
            self.assignment.file,
            self.submission.source,
            self.assignment.functions,
            beside=dict(self.submission.beside),
            limits=self.rules.limits,
            seed=_check_seed(self.record["seed"], "child", ""),  # from which nobody gets back to the seed of the checks
            slot=self.slot,
            hidden=self.rules.hidden,
            leave_open=self.rules.leave_open,
        )
        self.running = child
        try:
            child.__enter__()
        finally:
            self._note(child)
        self.stand_ins = StandIns(child, lambda name: is_said(name, self.words))

    def _note(self, child: Child) -> None:
        """Enter into the record what is known of the child and its source."""
        if missing := [door for door in self.rules.required if door not in child.closed] if child.closed else ():
            self.close()
            raise RuntimeError(f"these doors are required and cannot be closed here: {', '.join(missing)}")
        if self.record["sandbox"]:
            return
        record, facts = self.record, child.facts
        record["sandbox"] = child.closed
        record["imported"] = facts["imported"]
        record["fingerprint"] = [int(h) for h in facts["fingerprint"].reshape(-1)[:20000]]
        extra = [self.assignment.solution] if self.assignment.solution else []
        record["shipped"] = round(shipped_share(record["fingerprint"], *extra), 3)
        flags = [f"imports {name}" for name in facts["imported"] if name in child._setup["refused"]]
        record["flags"] = flags + facts["reaches"]

    def prepare(self, check: Check) -> None:
        """Set what the calls of a check may take: each its time, and twice that for all of them."""
        seconds = self.rules.limits.seconds
        each = seconds if check.seconds is None else max(check.seconds, seconds)
        until = min(time.monotonic() + 2 * each, self.ends + each)
        self.stand_ins.begin_check(each, until, sees_changes=check.sees_changes)

    def subject(self) -> Subject:
        """Return the student's functions as stand-ins, by the convention of the equation book."""
        functions = self.assignment.adapt(self.stand_ins.functions(), self.rules.variant)
        return Subject(self.assignment.file, functions, trusted=False)

    def close(self) -> None:
        """End the child, if there is one."""
        if self.running is not None:
            child, self.running, self.stand_ins = self.running, None, None
            child.stop()
            self.output = (self.output + child.text())[:8000]


def _graded_task(task: Task, session: _Session, passed: set[str], seed: int) -> dict[str, Any]:
    """Run the checks of a task; one that was stopped or crashed is the last that is tried."""
    started = time.monotonic()
    results: list[CheckResult] = []
    over = ""
    missing = [needed for needed in task.needs if needed not in passed]
    if missing:
        over = f"needs task {', '.join(missing)}"
    for check in task.checks:
        done = {result.name for result in results if result.passed}
        lacking = [needed for needed in check.needs if needed not in done]
        if session.stops >= MAX_STOPS:
            over = over or "the program had to be stopped too often"
        if time.monotonic() > session.ends:
            over = over or "the time for all tasks together is over"
        if over or lacking:
            results.append(
                CheckResult(check.name, "skip", 0, check.points, message=over or f"needs {', '.join(lacking)}")
            )
            continue
        try:
            with session.child():
                session.prepare(check)
                results.append(run_check(check, session.subject(), _check_seed(seed, task.id, check.name)))
        except ChildGone as gone:
            results.append(CheckResult(check.name, gone.status, 0, check.points, message=gone.message))
            over = "an earlier check had to be stopped"
        except Exception as error:  # what came back is of a kind that the check did not think of; it earns nothing
            message = f"what your functions return is not what the check can work with ({type(error).__name__})"
            results.append(CheckResult(check.name, "error", 0, check.points, message=message))
    statuses = {result.status for result in results}
    if statuses <= {"wait", "skip"} and "wait" in statuses:
        statuses = {"wait"}
    return {
        "id": task.id,
        "title": task.title,
        "status": next((status for status in WORST_FIRST if status in statuses), "skip"),
        "points": _sum(result.points for result in results),
        "max_points": task.points,
        "seconds": round(time.monotonic() - started, 3),
        "checks": [_check_entry(result, session.words) for result in results],
    }


def _check_entry(result: CheckResult, words: frozenset[str]) -> dict[str, Any]:
    report = result.report
    return {
        "name": result.name,
        "status": result.status,
        "points": result.points,
        "max_points": result.max_points,
        "feedback": {detail: student_text(result, detail, words) for detail in DETAILS},
        "cause": "" if report is None or not report.causes else report.causes[0].id,
        "cause_text": "" if report is None or not report.causes else report.causes[0].text,
        "report": None if report is None or result.passed else report.to_dict(),
    }


def _check_seed(seed: int, task: str, check: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed} {task} {check}".encode()).digest()[:4], "big")


def _why_not(imported: dict[str, Any], file: str) -> str:
    """Say in a sentence that a student may read why a file could not be imported."""
    line = imported.get("line")
    where = f" in line {line}" if type(line) is int and line > 0 else ""
    message = imported.get("message") if type(imported.get("message")) is str else ""
    message = "".join(c if c.isprintable() else "?" for c in message)[:300]
    if imported["status"] == "unreadable":
        return f"{file} cannot be read as Python{where}: {message}"
    kind = imported.get("type") if type(imported.get("type")) is str else ""
    kind = re.sub(r"\W", "_", kind)[:60] or "an error"  # a class may have any name; this one goes to a terminal
    if kind == "SystemExit":
        return f"{file} ends the program{where} (sys.exit or exit at the top level?)"
    return f"{file} cannot be imported: {kind}{where}{safe_message(message)}"


def _ended(record: dict[str, Any], status: str, message: str, started: float) -> dict[str, Any]:
    record["status"], record["message"] = status, message
    record["seconds"] = round(time.monotonic() - started, 3)
    return record


def _sum(points: Sequence[float] | Iterator[float]) -> float:
    """Return a sum of points without the crumbs of binary fractions."""
    return round(float(sum(points)), 9)
