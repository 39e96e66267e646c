"""A terminal for tests: what a user sees of what was written, whoever wrote it in whatever order."""

from __future__ import annotations

import io
import threading
import time


class Screen(io.TextIOBase):
    """As much of a terminal as a line of progress needs: characters, line ends, return, and wiping to the end of the line.

    Every character may be followed by one of another thread, as pieces of one output may be on a real terminal.
    """

    def __init__(self) -> None:
        self.lines = [""]  # as they are
        self.states: list[str] = []  # every last line that was seen, before it was wiped
        self._column, self._escape = 0, ""
        self._lock = threading.Lock()

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")

    def write(self, text: str) -> int:
        for character in text:
            with self._lock:
                self._put(character)
            time.sleep(0)  # let others in
        return len(text)

    def _put(self, character: str) -> None:
        last = self.lines[-1]
        if self._escape or character == "\x1b":
            self._escape += character
            if self._escape == "\x1b[K":
                self.states.append(last)
                self.lines[-1], self._escape = last[: self._column], ""
        elif character == "\r":
            self._column = 0
        elif character == "\n":
            self.lines.append("")
            self._column = 0
        else:
            self.lines[-1] = last[: self._column] + character + last[self._column + 1 :]
            self._column += 1
