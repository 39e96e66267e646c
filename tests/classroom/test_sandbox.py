"""The child process: what it can do and cannot, and what is left of it."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from numpynet.classroom.sandbox import seccomp
from numpynet.classroom.sandbox.host import Child, ChildGone, Limits, children_of_this
from numpynet.classroom.sandbox.stand_ins import Handle, StandIns
from numpynet.gradcheck.run import arrays_in

ALL = ("namespaces", "other-user", "landlock", "seccomp")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the doors are those of Linux")


@pytest.fixture(scope="module")
def running():
    """One child for many questions."""
    source = """
import numpy as np
kept = np.ones(3)
def add(a, b): return a + b
def both(a, **more): return {"a": a, "more": [more, (1, 2.5, None, True, "text")]}
def edits(a): a += 1; return a.copy()
def same(a): return a
def shares(): return kept
def overwrites(): kept[:] += 1; return np.zeros(1)
def f_forward(x): return x, {"x": x * 2}
def f_backward(dy, cache): return dy * cache["x"]
def spoils(cache): cache["x"] *= 0; return np.zeros(1)
def draws(rng, n): return rng.random(n)
def judges(f, g): return [bool(f(3.0) == 9.0), bool(g(3.0) == 9.0)]
def begin_ticket(W): return {"theta": {"W": W}, "weight_mask": {"W": np.ones_like(W)}}
def kinds(): return [np.matrix([[1.0]]), np.array([None]), np.float32(2), np.ma.masked_array([1.0])]
def fails(): raise KeyError("no")
def waits(): raise NotImplementedError("Task 9")
def calls_itself(f, cache): return f(cache)
def none(): pass
def named():
    from collections import OrderedDict, namedtuple
    return namedtuple("Gradients", "dx dW")(np.zeros(1), OrderedDict(a=1))
hidden = None
"""
    names = [line.split()[1].split("(")[0] for line in source.splitlines() if line.startswith("def ")]
    with Child("mine.py", source.encode(), [*names, "hidden", "not_there"]) as child:
        stand_ins = StandIns(child)
        stand_ins.sees_changes = True
        yield child, stand_ins.functions()


def test_what_is_there_is_known(running):
    child, f = running
    assert child.imported["status"] == "imported"
    assert "hidden" not in f
    assert "not_there" not in f
    assert child.facts["imported"] == ["collections", "numpy"]


def test_arrays_go_and_come(running):
    _, f = running
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    result = f["add"](a, 2 * a)
    assert (type(result), result.dtype, result.shape) == (np.ndarray, np.float32, (2, 3))
    assert np.array_equal(result, 3 * a)
    back = f["both"](a, mask=None, keep_prob=0.7)
    assert list(back) == ["a", "more"]
    assert back["more"] == [{"mask": None, "keep_prob": 0.7}, (1, 2.5, None, True, "text")]


def test_what_happens_to_arrays_there_happens_here(running):
    _, f = running
    a = np.zeros(3)
    f["edits"](a)
    assert a.tolist() == [1, 1, 1]
    assert np.shares_memory(f["same"](a), a)
    shared = f["shares"]()
    f["overwrites"]()
    assert shared.tolist() == [2, 2, 2]


def test_inputs_cannot_be_turned_into_such_for_which_an_answer_is_right():
    """Who edits an argument edits the grader's array only in a check that is about that."""
    with Child("edits.py", b"def f(a):\n    a *= 0\n    return a", ["f"]) as child:
        stand_ins = StandIns(child)
        a = np.ones(3)
        result = stand_ins.functions()["f"](a)
        assert a.tolist() == [1, 1, 1]
        assert not np.shares_memory(result, a)
        stand_ins.sees_changes = True
        stand_ins.functions()["f"](a)
        assert a.tolist() == [0, 0, 0]


def test_a_cache_stays_there_and_tells_when_it_is_edited(running):
    _, f = running
    _, cache = f["f_forward"](np.ones(2))
    assert isinstance(cache, Handle)
    assert type(cache).__name__ == "dict"
    assert f["f_backward"](np.full(2, 3.0), cache).tolist() == [6, 6]
    before = [a.copy() for a in arrays_in(cache)]
    f["spoils"](cache)
    assert [a.tolist() for a in arrays_in(cache)] != [a.tolist() for a in before]


def test_tickets_can_be_read(running):
    _, f = running
    ticket = f["begin_ticket"](np.arange(3.0))
    assert isinstance(ticket, Handle)
    assert ticket.theta["W"].tolist() == [0, 1, 2]
    assert ticket.weight_mask["W"].tolist() == [1, 1, 1]


def test_generators_are_seeded_by_a_draw(running):
    _, f = running
    one, same, other = np.random.default_rng(1), np.random.default_rng(1), np.random.default_rng(2)
    first = f["draws"](one, 4)
    assert first.tolist() == f["draws"](same, 4).tolist()
    assert first.tolist() != f["draws"](one, 4).tolist()
    assert first.tolist() != f["draws"](other, 4).tolist()


def test_functions_of_the_grader_are_called_here(running):
    _, f = running
    called = []

    def square(x):
        called.append(x)
        return x * x

    assert f["judges"](square, lambda x: x + 1) == [True, False]
    assert called == [3.0]

    def broken(cache):
        raise ZeroDivisionError("here")

    with pytest.raises(ValueError, match="ZeroDivisionError: here"):
        f["calls_itself"](broken, 1)


def test_opaque_values_of_the_grader_come_back(running):
    _, f = running
    secret = object()
    got = []
    f["calls_itself"](lambda cache: got.append(cache), secret)
    assert got == [secret]


def test_a_value_of_the_grader_is_no_answer(running):
    """A child that hands a value of the grader back as its result has got nothing that a check could take for one."""
    _, f = running

    class Right:
        shape = ()

        def __eq__(self, other):
            return True

    got = f["same"](Right())
    assert type(got).__name__ == "Own"
    assert not hasattr(got, "shape")


def test_questions_of_the_child_have_limits(running):
    _, f = running
    calls = []

    def count(x):
        calls.append(np.size(x))

    with pytest.raises(ValueError, match="too large"):
        f["calls_itself"](count, np.zeros(1 << 15))
    assert calls == []
    source = b"def asks(f):\n    while True:\n        try: f(1)\n        except ValueError: pass"
    asking = Child("asks.py", source, ["asks"], limits=Limits(seconds=1.5))
    with asking as child, pytest.raises(ChildGone, match="too long"):
        StandIns(child).functions()["asks"](count)
    assert 1 <= len(calls) <= 50_000


def test_types_are_what_they_are(running):
    _, f = running
    matrix, objects, scalar, masked = f["kinds"]()
    assert [type(x).__name__ for x in (matrix, objects, masked)] == ["matrix", "array_of_object", "MaskedArray"]
    assert all(isinstance(x, Handle) for x in (matrix, objects, masked))
    assert type(scalar) is np.float32
    assert f["none"]() is None
    gradients = f["named"]()
    assert type(gradients) is tuple
    assert isinstance(gradients[1], Handle)  # only the outermost is opened


def test_exceptions_come_back_with_their_line(running):
    _, f = running
    with pytest.raises(NotImplementedError, match="Task 9"):
        f["waits"]()
    with pytest.raises(Exception, match="no") as caught:
        f["fails"]()
    assert type(caught.value).__name__ == "KeyError"
    assert str(caught.traceback[-1].path) == "mine.py"


PROBE = """
import os, socket, ctypes, threading, time
def tried(action):
    try:
        action()
        return "done"
    except BaseException as error:
        return type(error).__name__
def probe(path, pid):
    return {
        "read": tried(lambda: open(path).read()),
        "list": tried(lambda: os.listdir(os.path.dirname(path))),
        "write": tried(lambda: open(path + ".new", "w")),
        "fork": tried(lambda: os.fork() or os._exit(0)),
        "thread": tried(lambda: threading.Thread(target=time.sleep, args=(0,)).start()),
        "connect": tried(lambda: socket.create_connection(("127.0.0.1", 9), 0.5)),
        "signal": tried(lambda: os.kill(pid, 0)),
        "trace": "done" if ctypes.CDLL(None).ptrace(16, pid, 0, 0) == 0 else "refused",
        "processes": tried(lambda: open(f"/proc/{pid}/environ", "rb").read()),
        "user": os.getuid(),
    }
"""
# What each door keeps shut by itself, whoever runs this; "connect" with an open door is refused because nobody listens.
SHUT = {
    "seccomp": {"write": "PermissionError", "fork": "PermissionError", "thread": "RuntimeError", "signal": "PermissionError",
                "connect": "PermissionError", "trace": "refused"},
    "landlock": {"read": "PermissionError", "list": "PermissionError", "write": "PermissionError", "processes": "PermissionError",
                 "trace": "refused"},
    "namespaces": {"signal": "ProcessLookupError", "processes": "FileNotFoundError", "trace": "refused", "connect": "OSError"},
}  # fmt: skip


def probed(tmp_path, leave_open):
    secret = tmp_path / "secret.txt"
    secret.write_text("the answers")
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        with Child("probe.py", PROBE.encode(), ["probe"], leave_open=leave_open) as child:
            return child.closed, StandIns(child).functions()["probe"](str(secret), sleeper.pid)
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.parametrize("door", SHUT)
def test_each_door_holds_by_itself(door, tmp_path):
    closed, found = probed(tmp_path, [other for other in ALL if other != door])
    if door not in closed:
        pytest.skip(f"this machine has no {door}")
    for what, outcome in SHUT[door].items():
        assert found[what] == outcome, what


def test_where_nothing_hides_files_none_is_opened(tmp_path):
    closed, found = probed(tmp_path, ("namespaces", "other-user", "landlock"))
    if "seccomp" not in closed:
        pytest.skip("this machine has no seccomp")
    assert closed == ["limits", "seccomp", "no-files"]
    assert found["read"] == found["list"] == found["processes"] == "PermissionError"


def test_system_calls_that_are_not_listed_are_refused(tmp_path):
    """All of them are tried, with arguments that make sense to none."""
    passed_on = {
        335,
        336,
    }  # the kernel's own return from a probe: it asks no filter, and ends who calls it from elsewhere
    listed = sorted({*seccomp.ALLOWED.values(), seccomp.OPEN, seccomp.OPENAT, seccomp.FCNTL, *passed_on})
    source = f"""
import ctypes, errno, os
def tries():
    libc = ctypes.CDLL(None, use_errno=True)
    through = []
    for number in range(480):
        if number not in {listed}:
            ctypes.set_errno(0)
            result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(-1)] * 6)
            if result != -1 or ctypes.get_errno() != errno.EPERM:
                through.append(number)
    return through
def opens(path, flags):
    try:
        return os.open(path, flags) and "done"
    except OSError as error:
        return type(error).__name__
def controls(command):
    import fcntl
    try:
        fcntl.fcntl(2, command, os.getpid())
        return "done"
    except OSError as error:
        return type(error).__name__
"""
    with Child(
        "tries.py", source.encode(), ["tries", "opens", "controls"], hidden=[str(tmp_path)], leave_open=("landlock",)
    ) as child:
        if not {"seccomp", "hidden-folders"} <= set(child.closed):
            pytest.skip("this machine has no seccomp, or no namespaces")
        f = StandIns(child).functions()
        assert f["tries"]() == []
        assert f["opens"](os.devnull, os.O_RDONLY) == "done"
        for flags in (
            os.O_WRONLY,
            os.O_RDWR,
            os.O_RDONLY | os.O_CREAT,
            os.O_RDONLY | os.O_TRUNC,
            os.O_TMPFILE | os.O_RDWR,
        ):
            assert f["opens"](os.devnull, flags) == "PermissionError"
        f_setown, f_setsig, f_notify, f_getfl = 8, 10, 1026, 3
        assert [f["controls"](c) for c in (f_setown, f_setsig, f_notify)] == ["PermissionError"] * 3
        assert f["controls"](f_getfl) == "done"


def test_open_doors_would_be_seen(tmp_path):
    """The probes find something where nothing is closed, so that what they do not find means something."""
    closed, found = probed(tmp_path, ALL)
    assert not set(closed) & set(ALL)
    assert found["read"] == found["list"] == found["write"] == "done"
    assert (tmp_path / "secret.txt.new").exists()
    assert found["connect"] == "ConnectionRefusedError"
    if os.geteuid() == 0:
        assert found["fork"] == found["thread"] == found["signal"] == "done"


def test_all_doors_together(tmp_path):
    closed, found = probed(tmp_path, ())
    assert "limits" in closed
    if "other-user" in closed:
        assert found["user"] != os.getuid()
    if "landlock" in closed:
        assert found["read"] == "PermissionError"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.txt"]


def test_folders_can_be_covered(tmp_path):
    (tmp_path / "secret.txt").write_text("the answers")
    source = b"import os\ndef look(path): return os.listdir(path)"
    with Child("look.py", source, ["look"], hidden=[str(tmp_path)], leave_open=("landlock", "other-user")) as child:
        if "hidden-folders" not in child.closed:
            pytest.skip("this machine has no namespaces")
        assert StandIns(child).functions()["look"](str(tmp_path)) == []
    assert (tmp_path / "secret.txt").exists()


def test_the_memory_of_the_grader_is_hidden_from_the_same_user():
    """A process that cannot be dumped cannot be traced by its own user, and its files under /proc are those of root."""
    code = "import ctypes; from numpynet.classroom.sandbox.doors import hide_memory; {}; print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    dumpable = [
        subprocess.run(
            [sys.executable, "-c", code.format(line)], capture_output=True, check=True, text=True
        ).stdout.strip()
        for line in ("pass", "hide_memory()")
    ]
    assert dumpable == ["1", "0"]


def test_what_a_child_leaves_behind_is_ended():
    """Without any door: a daemon, twice removed, in a session of its own."""
    source = b"""
import os, time
def daemon():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    time.sleep(0.2)
    return 1
"""
    before = children_of_this()
    with Child("daemon.py", source, ["daemon"], leave_open=ALL) as child:
        try:
            StandIns(child).functions()["daemon"]()
        except OSError:
            pytest.skip("the limit of processes held")  # not for root
        assert child.process.pid in children_of_this()
    assert children_of_this() == before


def test_time_is_up():
    source = b"def spins():\n    while True: pass\ndef naps(s):\n    import time; time.sleep(s); return s"
    with Child("spins.py", source, ["spins", "naps"], limits=Limits(seconds=1.5)) as child:
        stand_ins = StandIns(child)
        f = stand_ins.functions()
        assert f["naps"](0.05) == 0.05
        stand_ins.seconds = 60.0
        assert f["naps"](1.6) == 1.6  # a check may allow more
        stand_ins.seconds = None
        with pytest.raises(ChildGone, match="took too long") as caught:
            f["spins"]()
        assert caught.value.status == "timeout"
    with Child("spins.py", source, ["naps"], limits=Limits(seconds=5)) as child:
        stand_ins = StandIns(child)
        stand_ins.until = time.monotonic() + 0.3
        with pytest.raises(ChildGone, match="too long"):
            for _ in range(20):
                stand_ins.functions()["naps"](0.1)


def test_output_is_kept_up_to_a_limit():
    with Child("prints.py", b"print('x' * 200_000)", []) as child:
        pass
    assert len(child.output) == 1 << 16
    assert "134" in child.text()[-40:]  # how many more there were, in thousands


def test_the_grader_has_a_bound_of_memory():
    """What a submission makes a function of the grader compute cannot take the machine's memory."""
    code = "from numpynet.classroom.sandbox.doors import bound_memory; bound_memory(1 << 28); bytes(1 << 29)"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "MemoryError" in ended.stderr
