"""The grader's end: starts a child, puts questions to it with a deadline, drains what it prints, and stops it.

Whatever the child does, one of two things comes of a question: an answer that has been checked to be one, or
``ChildGone`` with the reason. After that nothing of the child is left, nor of anything that it may have started.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numpynet.classroom.sandbox import wire
from numpynet.classroom.sandbox.source import FOREIGN

CHILD = Path(__file__).with_name("child.py")
MAX_OUTPUT = 1 << 16  # of what is printed; the rest is counted and thrown away
FLOOD = 1 << 26  # who prints this much is stopped
START_SECONDS = 20.0  # for Python and NumPy, on a busy machine; the student's code does not run yet


class Limits(NamedTuple):
    """What one child may use."""

    seconds: float = 3.0  # for one call; an import may take twice that
    cpu: int = 60  # seconds for everything
    total: float = 40.0  # seconds for all of a submission
    memory: int = 1 << 30  # of address space; NumPy alone needs 192 MiB
    file: int = 1 << 20
    files: int = 64


class ChildGone(BaseException):
    """The child is no more; ``status`` is "timeout" or "crash". Not an ``Exception``, so that no check catches it."""

    def __init__(self, status: str, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class Child:
    """A process that runs one file. Use it in a ``with`` statement: at its end the process is gone.

    Parameters
    ----------
    file : the name that the file has in messages
    source : what is in it
    functions : names that may be called
    beside : module name -> source, of files that were handed in with it
    limits : see ``Limits``
    seed : of the shared generators in the child
    slot : which user number it gets, where it may get one
    hidden : folders that are covered
    refused : packages that cannot be imported
    leave_open : doors that are not closed: only for tests of the others

    Attributes
    ----------
    closed : the doors that are closed, as told before the student's code ran
    facts : what can be said of the source: "imported", "reaches", "fingerprint"
    imported : how the import ended: "status" ("imported", "unreadable", "unimportable"), "functions"
    output : what was printed, as far as it is kept
    """

    def __init__(
        self,
        file: str,
        source: bytes,
        functions: Sequence[str],
        *,
        beside: dict[str, bytes] | None = None,
        limits: Limits | None = None,
        seed: int = 0,
        slot: int = 0,
        hidden: Sequence[str] = (),
        refused: Sequence[str] = FOREIGN,
        leave_open: Sequence[str] = (),
    ) -> None:
        limits = limits or Limits()
        self.limits = limits
        self.number = 0
        self.output = bytearray()
        self.printed = 0
        self.refer: Callable[[Any], Any] = _refuse
        self.resolve: Callable[[Any], Any] = _refuse
        self.answer_ask: Callable[[dict], dict] = _refuse
        self.closed: list[str] = []
        self.facts: dict[str, Any] = {"imported": [], "reaches": [], "fingerprint": np.zeros(0, np.int64)}
        self.imported: dict[str, Any] = {}
        self._setup = {
            "file": file,
            "source": source,
            "beside": beside or {},
            "functions": list(functions),
            "limits": {name: int(getattr(limits, name)) for name in ("cpu", "memory", "file", "files")},
            "seed": seed,
            "slot": slot,
            "hidden": [os.fspath(path) for path in hidden],
            "refused": list(refused),
            "leave_open": list(leave_open),
        }

    def __enter__(self) -> Child:
        adopt_orphans()
        self._others = children_of_this()
        site = os.path.dirname(os.path.dirname(np.__file__))
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-u", "-X", "utf8", "-W", "ignore", str(CHILD), site],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={name: "1" for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")},
            cwd="/",
            start_new_session=True,
        )
        self._streams = (self.process.stdin, self.process.stdout, self.process.stderr)
        for stream in self._streams:
            os.set_blocking(stream.fileno(), False)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def _start(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        self._send(self._setup, deadline)
        self.closed = _texts(self._receive(deadline).get("closed"))
        facts = self._receive(time.monotonic() + 2 * self.limits.seconds)
        fingerprint = facts.get("fingerprint")
        self.facts = {
            "imported": _texts(facts.get("imported")),
            "reaches": _texts(facts.get("reaches")),
            "fingerprint": fingerprint if isinstance(fingerprint, np.ndarray) else np.zeros(0, np.int64),
        }
        imported = self._receive(time.monotonic() + 2 * self.limits.seconds)
        if imported.get("status") not in ("imported", "unreadable", "unimportable"):
            raise self.gone("crash", "it answered with something else than was asked")
        imported["functions"] = [f for f in _texts(imported.get("functions")) if f in self._setup["functions"]]
        self.imported = imported

    def __exit__(self, *_: object) -> None:
        self.stop()

    def request(self, message: dict[str, Any], seconds: float | None = None) -> tuple[int, dict[str, Any]]:
        """Send a question and return its number and the answer; questions of the child in between are answered.

        Parameters
        ----------
        message : see ``pack`` in wire.py
        seconds : for the answer, the time of questions in between not counted; None takes that of the limits

        Returns
        -------
        number, answer
        """
        deadline = time.monotonic() + (self.limits.seconds if seconds is None else seconds)
        self.number += 1
        number = self.number
        self._send(message, deadline)
        while True:
            answer = self._receive(deadline)
            if "ask" not in answer:
                return number, answer
            asked = time.monotonic()
            reply = self.answer_ask(answer)
            deadline += time.monotonic() - asked  # that was our time, not the student's
            self._send(reply, deadline)

    def stop(self) -> None:
        """End the child and everything that it may have started."""
        self.stop_quietly()
        self.process.kill()
        self.process.wait()
        end_orphans(self._others)
        with contextlib.suppress(OSError, ChildGone):  # a flood is over now, whatever is left of it
            self._drain()
        for stream in self._streams:
            with contextlib.suppress(OSError):
                stream.close()

    def text(self) -> str:
        """What was printed, cut to what is kept."""
        text = self.output.decode("utf-8", "replace")
        more = self.printed - len(self.output)
        return text + (f"\n[{more} more bytes were printed]" if more > 0 else "")

    # ---- the wire ---------------------------------------------------------------------------------------------------

    def _send(self, message: dict[str, Any], deadline: float) -> None:
        try:
            data = memoryview(b"".join(wire.pack(self.number, message, self.refer)))
        except wire.WireError as error:
            raise ValueError(f"a check asks for too much: {error}") from None
        while data:
            self._wait(self.process.stdin, selectors.EVENT_WRITE, deadline)
            try:
                data = data[os.write(self.process.stdin.fileno(), data[: 1 << 20]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise self._ended() from None

    def _receive(self, deadline: float) -> dict[str, Any]:
        try:
            number, header_length, body_length = wire.prefix_of(self._read(wire.PREFIX.size, deadline))
            plan = wire.plan_of(number, self._read(header_length, deadline), body_length)
            if number != self.number:
                raise wire.WireError("this is no answer to the last question")
            message = wire.unpack(plan, self._read(plan.length, deadline), self.resolve)
        except (ValueError, TypeError, OverflowError, MemoryError, RecursionError) as error:
            raise self.gone("crash", f"it sent what is no answer: {error}"[:200]) from None
        if type(message) is not dict:
            raise self.gone("crash", "it sent what is no answer")
        return message

    def _read(self, length: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < length:
            self._wait(self.process.stdout, selectors.EVENT_READ, deadline)
            try:
                piece = os.read(self.process.stdout.fileno(), min(length - len(data), 1 << 20))
            except BlockingIOError:
                continue
            if not piece:
                raise self._ended()
            data += piece
        return bytes(data)

    def _wait(self, stream: Any, event: int, deadline: float) -> None:
        """Wait until a stream is ready; read what the child prints meanwhile."""
        with selectors.DefaultSelector() as selector:
            selector.register(stream, event)
            if not self.process.stderr.closed:
                selector.register(self.process.stderr, selectors.EVENT_READ)
            while True:
                left = deadline - time.monotonic()
                if left <= 0:  # also where there is always something to read
                    raise self.gone("timeout", "it took too long and was stopped")
                ready = selector.select(left)
                for key, _ in ready:
                    if key.fileobj is self.process.stderr and not self._drain():
                        selector.unregister(self.process.stderr)
                        self.process.stderr.close()
                if any(key.fileobj is stream for key, _ in ready):
                    return

    def _drain(self) -> bool:
        """Read what is there of the output; False where it has ended."""
        if self.process.stderr.closed:
            return False
        try:
            piece = os.read(self.process.stderr.fileno(), 1 << 16)
        except BlockingIOError:
            return True
        self.printed += len(piece)
        self.output += piece[: max(0, MAX_OUTPUT - len(self.output))]
        if self.printed > FLOOD:
            raise self.gone("crash", f"it printed more than {FLOOD >> 20} MiB and was stopped")
        return bool(piece)

    def gone(self, status: str, message: str) -> ChildGone:
        """Stop the child and return the exception that says why.

        Parameters
        ----------
        status : "timeout" or "crash", for instance
        message : what happened

        Returns
        -------
        ChildGone, to be raised
        """
        self.stop_quietly()
        return ChildGone(status, message)

    def stop_quietly(self) -> None:
        """End the process and its group; its pipes are closed at the end of the ``with`` statement."""
        if self.process.returncode is None:  # once it was waited for, the number may be somebody else's
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def _ended(self) -> ChildGone:
        """Return why a child is gone that nobody has stopped."""
        self.stop_quietly()
        code = self.process.wait()
        if code == -signal.SIGXCPU:
            return ChildGone(
                "timeout", f"it used more than {self.limits.cpu} seconds of processor time and was stopped"
            )
        if code < 0 and code != -signal.SIGKILL:
            with contextlib.suppress(ValueError):
                return ChildGone("crash", f"the program crashed ({signal.Signals(-code).name})")
        return ChildGone("crash", "the program ended by itself, or closed its connection, instead of answering")


def adopt_orphans() -> None:
    """Make this process the parent of what a child leaves behind, where the system can do that."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def children_of_this() -> set[int]:
    """Return the processes that this one is the parent of; none where the system does not say."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError, ValueError):
            found |= set(map(int, path.read_text().split()))
    return found


def end_orphans(others: set[int]) -> None:
    """End the processes that a child has left to this one.

    Parameters
    ----------
    others : children that were there before, and have nothing to do with it
    """
    for _ in range(100):
        left = children_of_this() - others
        if not left:
            return
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)


def _refuse(value: Any) -> Any:
    raise wire.WireError(f"a {type(value).__name__} cannot travel here")


def _texts(value: Any) -> list[str]:
    """Return the texts in a list that came from the child, whatever else is there."""
    return [text[:80] for text in value if type(text) is str][:60] if type(value) is list else []
