"""Several grading processes at once: each is fed one submission after the other, and replaced when it is gone."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from numpynet.classroom.grading import Rules, blank_record
from numpynet.classroom.submissions import Submission
from numpynet.classroom.task import Assignment


class Job(NamedTuple):
    """What is to be graded, and how."""

    folder: Path
    grades: Path
    assignment: Assignment
    assignment_name: str  # as it was typed: a name, or the path of a teacher's file
    rules: Rules
    detail: str = "ratio"
    jobs: int = 1


class Slot:
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
        """Send a line; that nobody reads it any more will be seen when its end is read.

        Parameters
        ----------
        message : what JSON can hold
        """
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
        """End the process; its child follows it."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                stream.close()


def graded(job: Job, todo: deque[Submission]) -> Iterator[tuple[Submission, dict[str, Any]]]:
    """Grade submissions in several processes; yield each with its record as it is finished.

    Parameters
    ----------
    job : see ``prepare``
    todo : submissions; they are taken from it

    Yields
    ------
    submission, record : in the order in which they are finished
    """
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
                    slot = Slot(job, number)
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


def _news(job: Job, slot: Slot, message: dict[str, Any]) -> dict[str, Any] | None:
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
