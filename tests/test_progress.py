"""The progress line: on a terminal it says how far and how long, anywhere else it is silent."""

from __future__ import annotations

import io
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from numpynet import progress as module
from numpynet.cli import main
from numpynet.parallel import run_tasks
from numpynet.progress import Progress, aside, say, wipe
from tests.terminal import Screen


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def nobody_shows():
    """Some tests leave their line on their terminal."""
    yield
    wipe()


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


# ---- several at once ------------------------------------------------------------------------------------------------


def screen_of(monkeypatch):
    """One terminal for everything that is printed, as a user has it; pytest would take it away from a fixture."""
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setattr("sys.stderr", screen)
    return screen


@pytest.fixture
def always_shown(monkeypatch):
    """Progress is drawn at every call: nothing is left out because it came too soon."""

    class Fast:
        now = 0.0

        def monotonic(self):
            Fast.now += 1.0
            return Fast.now

    monkeypatch.setattr(module, "time", Fast())


def names_on(screen):
    """Whose progress was on the screen."""
    return {re.match(r"[a-z]+( \d+)?", state)[0] for state in screen.states if "%" in state}


def test_lines_of_several_threads_come_out_whole(monkeypatch, always_shown):
    screen = screen_of(monkeypatch)
    progress = Progress("all", 40)
    progress.show(0)

    def work(worker):
        own = Progress(f"worker {worker}", 10)
        for step in range(10):
            own.show(step, "some words behind")
            say(f"line {step} of worker {worker}")
        own.close()

    with ThreadPoolExecutor(4) as pool:
        work_done = [pool.submit(work, worker) for worker in range(4)]
        for done, future in enumerate(work_done):
            future.result()
            progress.show(10 * (done + 1))
    progress.close()
    assert sorted(screen.lines) == sorted(["", *(f"line {k} of worker {w}" for k in range(10) for w in range(4))])
    assert names_on(screen) == {"all"}


def test_tasks_in_threads_leave_the_line_to_the_command_and_its_output_stands_on_lines_of_its_own(
    monkeypatch, always_shown
):
    """Each task drew its own line over that of the command, and what was printed as a task ended began behind it."""
    screen = screen_of(monkeypatch)

    def task(number):
        own = Progress(f"task {number}", 20)
        for step in range(20):
            own.show(step)
            time.sleep(0.001)
        own.close()
        return number

    def on_done(index, result):
        print(f"task {index} gave")
        time.sleep(0.01)  # it takes its time, as figures do
        print(f"{result}")

    with ThreadPoolExecutor(3) as pool:
        assert run_tasks(task, range(6), executor=pool, what="jobs", on_done=on_done) == list(range(6))
    assert names_on(screen) == {"jobs"}
    assert screen.lines[-1] == ""
    told = list(zip(screen.lines[:-1:2], screen.lines[1:-1:2]))
    assert sorted(told) == [(f"task {n} gave", str(n)) for n in range(6)]


def test_the_next_may_show_when_the_first_is_closed_or_its_thread_has_ended(always_shown):
    first, second = Terminal(), Terminal()
    ended = threading.Event()

    def show_and_wait():
        progress = Progress("first", 2, stream=first)
        progress.show(1)
        ended.wait(10)
        if closes:
            progress.close()
            closed.set()
            time.sleep(0.2)

    for closes in (True, False):
        ended.clear()
        closed = threading.Event()
        thread = threading.Thread(target=show_and_wait)
        thread.start()
        while "first" not in first.getvalue():
            time.sleep(0.001)
        progress = Progress("second", 9, stream=second)
        progress.show(1)
        assert lines_of(second) == []
        ended.set()
        if closes:
            assert closed.wait(10)
        else:
            thread.join()
        progress.show(2)
        assert len(lines_of(second)) == 1
        progress.close()
        thread.join()
        first.truncate(0), second.truncate(0)


def test_one_progress_within_another_takes_turns_with_it(always_shown):
    stream = Terminal()
    outer, inner = Progress("outer", 4, stream=stream), Progress("inner", 4, stream=stream)
    for progress in (outer, inner, outer, inner):
        progress.show(1)
    assert [line.split()[0] for line in lines_of(stream)] == ["outer", "inner", "outer", "inner"]
    outer.close()  # the inner one was not closed: it had failed
    assert stream.getvalue().endswith("\r\x1b[K")


def test_what_is_said_stands_above_the_line_which_comes_back(monkeypatch, always_shown):
    screen = screen_of(monkeypatch)
    progress = Progress("training", 4)
    progress.show(1, "loss 0.5")
    say("step 1\nstep 2")
    with aside():
        print("step", 3)
        progress.show(2, "loss 0.4")  # not now
        assert screen.lines == ["step 1", "step 2", "step 3", ""]
        say("step 4")
    assert screen.lines[:-1] == ["step 1", "step 2", "step 3", "step 4"]
    assert screen.lines[-1].startswith("training   50 %") and screen.lines[-1].endswith("loss 0.4")
    progress.close()
    assert screen.lines == ["step 1", "step 2", "step 3", "step 4", ""]


def test_an_error_is_told_on_a_line_of_its_own(monkeypatch):
    screen = screen_of(monkeypatch)

    def run_train(options):
        Progress("training", 5).show(2)
        raise ValueError("too much")

    monkeypatch.setattr("numpynet.train_run.run_train", run_train)
    assert main(["train"]) == 2
    assert screen.lines == ["numpynet: error: too much", ""]
    assert any("training   40 %" in state for state in screen.states)


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="pseudo terminals of POSIX")
def test_a_line_is_never_longer_than_the_terminal(monkeypatch, always_shown):
    """What was longer went on in the next line, and only that one was wiped."""
    leader, follower = os.openpty()
    monkeypatch.setattr(
        os, "get_terminal_size", lambda number: os.terminal_size((30, 5)) if number == follower else 1 / 0
    )
    with os.fdopen(leader, "rb", buffering=0) as reading, os.fdopen(follower, "w") as stream:
        Progress("training", 4, stream=stream).show(1, "a note " * 20)
        seen = reading.read(200).decode().removeprefix("\r\x1b[K")
        assert len(seen) == 29
        assert seen.startswith("training   25 %  a note a")
        wipe()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="pseudo terminals of POSIX")
@pytest.mark.parametrize(("columns", "seen"), [(0, "training   25 %  note"), (1, ""), (2, "t"), (9, "training")])
def test_a_terminal_without_a_size_gets_the_whole_line_and_a_narrow_one_what_fits(
    monkeypatch, always_shown, columns, seen
):
    """Of 0 columns the last character was cut off: of "trials 0 to 15" the 5."""
    leader, follower = os.openpty()
    monkeypatch.setattr(os, "get_terminal_size", lambda number: os.terminal_size((columns, 5)))
    with os.fdopen(leader, "rb", buffering=0) as reading, os.fdopen(follower, "w") as stream:
        Progress("training", 4, stream=stream).show(1, "note")
        assert reading.read(200).decode() == "\r\x1b[K" + seen
        wipe()


def test_who_has_no_output_at_all_says_nothing(monkeypatch):
    """Python sets sys.stdout to None where the process was started with it closed; print knows that, and say did not."""
    monkeypatch.setattr("sys.stdout", None)
    monkeypatch.setattr("sys.stderr", None)
    say("level 3")
    Progress("training", 4).show(4)


def test_a_terminal_that_is_gone_takes_no_later_line_away(always_shown):
    """Whoever could not wipe the line counted for ever as writing something else, and no other line was shown."""
    first, second = Terminal(), Terminal()
    Progress("training", 4, stream=first).show(1)
    first.close()
    with pytest.raises(ValueError, match="closed"), aside():
        raise AssertionError("it was not wiped, and the rest was written")
    with pytest.raises(ValueError, match="closed"):
        wipe()
    thread = threading.Thread(target=lambda: Progress("again", 4, stream=second).show(1))
    thread.start()
    thread.join()
    assert lines_of(second) == ["again   25 %  "]
