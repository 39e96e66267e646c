"""The progress line: on a terminal it says how far and how long, anywhere else it is silent."""

from __future__ import annotations

import io
import re

import pytest

from numpynet import progress as module
from numpynet.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    """A clock that is set by hand, in the place of ``time.monotonic``."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def lines_of(stream):
    """What a reader sees, one after the other: each line is wiped before the next is written."""
    return stream.getvalue().split("\r\x1b[K")[1:]


@pytest.mark.parametrize("stream", [io.StringIO(), object()])
def test_silent_where_nobody_watches(stream):
    progress = Progress("training", 10, stream=stream)
    for done in range(11):
        progress.show(done, "loss 0.5")
    progress.close()
    if isinstance(stream, io.StringIO):
        assert stream.getvalue() == ""


def test_silent_by_default_when_the_output_is_captured(capsys):
    progress = Progress("training", 3)
    progress.show(3)
    progress.close()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_share_note_and_time_left(clock):
    stream = Terminal()
    progress = Progress("training", 200, stream=stream)
    progress.show(0)
    clock.now += 10.0
    progress.show(50, "loss 0.52")  # 10 s for 50, so 30 s for the other 150
    clock.now += 20.0
    progress.show(100, "loss 0.31")  # 30 s for 100
    clock.now += 1.0
    progress.show(200)
    assert lines_of(stream) == [
        "training    0 %  ",
        "training   25 %  0:30 left  loss 0.52",
        "training   50 %  0:30 left  loss 0.31",
        "training  100 %  0:00 left  ",
    ]


def test_a_resumed_job_counts_only_its_own_time(clock):
    stream = Terminal()
    progress = Progress("training", 100, stream=stream)
    progress.show(80)
    clock.now += 5.0
    progress.show(90)  # 10 in 5 s; the 80 from before cost this program nothing
    assert "0:05 left" in lines_of(stream)[-1]


@pytest.mark.parametrize("seconds, text", [(7, "0:07"), (119.6, "2:00"), (3600 + 23 * 60 + 5, "1:23:05")])
def test_long_times_have_hours(clock, seconds, text):
    stream = Terminal()
    progress = Progress("training", 2, stream=stream)
    progress.show(0)
    clock.now += seconds
    progress.show(1)
    assert re.search(rf"  {text} left", lines_of(stream)[-1])


def test_written_at_most_ten_times_a_second_but_the_end_always(clock):
    stream = Terminal()
    progress = Progress("training", 1000, stream=stream)
    for done in range(1001):
        progress.show(done)
        clock.now += 0.001
    assert 9 <= len(lines_of(stream)) <= 12
    assert "100 %" in lines_of(stream)[-1]


def test_close_leaves_a_clean_line(clock):
    stream = Terminal()
    progress = Progress("training", 2, stream=stream)
    progress.show(1)
    progress.close()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_an_empty_job_is_finished():
    stream = Terminal()
    Progress("training", 0, stream=stream).show(0)
    assert "100 %" in lines_of(stream)[-1]
