"""A line that says how far a long job is and how long it will take; on a terminal only, silent in files and pipes."""

from __future__ import annotations

import sys
import time
from typing import TextIO


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
        """Say that this many units are done; written at most ten times a second.

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
        self.stream.write(f"\r\x1b[K{self.what}  {100 * share:3.0f} %{left}  {note}")
        self.stream.flush()

    def close(self) -> None:
        """Wipe the line, so that what follows starts on a clean one."""
        if self.on_terminal:
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
