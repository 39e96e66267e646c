"""A line that says how far a long job is and how long it will take; on a terminal only, silent in files and pipes.

A terminal has room for one such line, whoever writes. So only one ``Progress`` shows at a time: those of other threads are
silent until it is closed. Whatever else is written meanwhile goes through ``say`` or ``aside``, on lines of its own.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple, TextIO

WIPE = "\r\x1b[K"  # what puts a terminal at the beginning of an empty line


class _Line(NamedTuple):
    """What stands on the terminal now."""

    owner: Progress
    thread: threading.Thread
    text: str


_lock = threading.RLock()
_line: _Line | None = None
_asides = 0  # how many write something else at present


class Progress:
    """Show ``what  42 %  0:12 left`` on one line of a terminal, rewritten in place.

    Parameters
    ----------
    what : a word or two
    total : how many units the job has
    stream : where to show it; nothing is written unless it is a terminal

    Examples
    --------
    >>> progress = Progress("training", total=10)
    >>> progress.show(3, "loss 0.52")
    >>> progress.close()
    """

    def __init__(self, what: str, total: int, *, stream: TextIO | None = None) -> None:
        self.what, self.total = what, total
        self.stream = sys.stderr if stream is None else stream
        self.on_terminal = bool(getattr(self.stream, "isatty", lambda: False)())
        self.first_done: int | None = None
        self.started = self.shown = 0.0

    def show(self, done: int, note: str = "") -> None:
        """Say that this many units are done; written at most ten times a second, and not while another thread shows.

        Parameters
        ----------
        done : units so far
        note : shown behind

        """
        now = time.monotonic()
        if self.first_done is None:  # a resumed job does not start at 0
            self.first_done, self.started = done, now
        if not self.on_terminal or (now - self.shown < 0.1 and done < self.total):
            return
        self.shown = now
        share = done / self.total if self.total else 1.0
        fresh = done - self.first_done
        left = f"  {_clock((self.total - done) * (now - self.started) / fresh)} left" if fresh > 0 else ""
        self._draw(f"{self.what}  {100 * share:3.0f} %{left}  {note}"[: _width(self.stream)])

    def close(self) -> None:
        """Wipe the line, so that what follows starts on a clean one, and other threads may show theirs."""
        with _lock:
            if _line is not None and (_line.owner is self or _line.thread is threading.current_thread()):
                wipe()

    def _draw(self, text: str) -> None:
        global _line
        here = threading.current_thread()
        with _lock:
            # One within another, in the same thread, take turns; so an unclosed one of a failed job is no obstacle either.
            taken = _line is not None and _line.owner is not self and _line.thread is not here
            if taken and _line.thread.is_alive():
                return
            _line = _Line(self, here, text)
            if not _asides:
                _write(self.stream, WIPE + text)


def say(text: str, *, stream: TextIO | None = None) -> None:
    """Print a text on lines of its own, whole, with the line of progress wiped before and shown again behind it.

    Parameters
    ----------
    text : one line, or several
    stream : where to; None takes the standard output

    Examples
    --------
    >>> say("level 3")
    level 3
    """
    with _lock, aside():
        _write(sys.stdout if stream is None else stream, f"{text}\n")


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """Keep the line of progress away while something else is written, by whatever means.

    Yields
    ------
    nothing, while no progress is shown

    Examples
    --------
    >>> with aside():
    ...     print("level 3")
    level 3
    """
    global _asides
    with _lock:
        _asides += 1
    try:
        with _lock:
            if _line is not None and _asides == 1:
                _write(_line.owner.stream, WIPE)
        yield
    finally:
        with _lock:
            _asides -= 1
            if _line is not None and not _asides:
                _write(_line.owner.stream, WIPE + _line.text)


def wipe() -> None:
    """Wipe the line of progress, whoever shows it: it will not be closed any more.

    Examples
    --------
    >>> wipe()
    """
    global _line
    with _lock:
        gone, _line = _line, None
        if gone is not None and not _asides:
            _write(gone.owner.stream, WIPE)


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:  # as sys.stdout of a process that was started without one
        stream.write(text)
        stream.flush()


def _width(stream: TextIO) -> int | None:
    """How much of a text stays on one line of a terminal: what is longer is wrapped, and could not be wiped."""
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
        return columns - 1 if columns > 0 else None  # a terminal that nobody told its size has 0
    except (OSError, ValueError, AttributeError):  # it has no number, or none that is a terminal's
        return None


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
