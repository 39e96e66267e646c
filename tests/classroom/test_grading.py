"""The folder of submissions, graded: what each is worth, what is said of it, and that nothing of it is left."""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from numpynet.classroom.feedback import KNOWN_MESSAGE, feedback_page, safe_message, student_text
from numpynet.classroom.grading import Rules, grade, seed_of
from numpynet.classroom.sandbox.host import Child, Limits, children_of_this
from numpynet.classroom.similarity import nearest, similarity
from numpynet.classroom.submissions import Submission
from numpynet.classroom.task import Assignment, Check, CheckResult, Task
from numpynet.classroom.variants import Variant
from numpynet.gradcheck.report import Report
from tests.classroom.folder import CASES, FOLDER, HONEST, WARMUP, ZEROS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the doors are those of Linux")
RULES = Rules("a salt", limits=Limits(seconds=5.0))
SHORT = Limits(seconds=1.0, total=12.0)  # for those that use up whatever they get
ENDLESS = {
    "hostile_endless_call", "hostile_endless_import", "hostile_sleep_import", "hostile_stops_itself", "hostile_drips", "hostile_memory",
    "hostile_numeric_backward", "hostile_asks",
    "hostile_tiny_bomb",
}  # fmt: skip
# These wait for a limit of time, or fill one of memory, or are as good as others.
PATIENT = ENDLESS | {
    "hostile_flood", "hostile_200_megabytes", "hostile_os_exit_in_call", "hostile_segfault",
    "hostile_closes_everything", "hostile_recursion", "hostile_threads", "hostile_atexit", "honest_prints_much", "honest_other_style",
    "honest_latin_1_declared", "wrong_buffer", "wrong_cache_edited", "hostile_tiny_bomb", "hostile_stale_functions", "hostile_frames_ahead",
    "hostile_own_loop", "hostile_handles_of_nothing", "hostile_class_of_no_name", "hostile_structured", "hostile_no_files_left",
    "hostile_knows_shapes", "hostile_well_behaved_at_first", "hostile_hides_its_edits", "hostile_forged_exceptions",
}  # fmt: skip


@pytest.fixture(scope="module")
def closed():
    with Child("empty.py", b"pass", ()) as child:
        return child.closed


def graded(source, assignment=WARMUP, **rules):
    return grade(Submission("somebody", Path("somebody.py"), source), assignment, RULES._replace(**rules))


def left_behind():
    folders = [Path(os.sep, "tmp"), Path(os.sep, "var", "tmp"), Path(os.sep, "dev", "shm"), Path(os.sep), Path()]
    return [path for folder in folders for path in folder.glob("numpynet_left_behind*")]


def marked(case):
    return pytest.param(case, id=case.name, marks=pytest.mark.slow if case.name in PATIENT else ())


@pytest.mark.parametrize("case", [marked(case) for case in CASES])
def test_submission(case, closed):
    if case.name.startswith("hostile") and not {"seccomp", "landlock"} <= set(closed):
        pytest.skip("this machine cannot close the doors that this submission tries")
    before = children_of_this()
    record = graded(case.source, case.assignment)
    assert (record["status"], record["score"]) == (case.status, case.score), [
        task["checks"] for task in record["tasks"]
    ]
    assert record["max_score"] == case.assignment.points
    assert "LEAK" not in record["output"]
    assert children_of_this() == before
    assert left_behind() == []
    if case.cause:
        assert case.cause in [check["cause"] for task in record["tasks"] for check in task["checks"]]
    page = feedback_page(record, "cause", [])
    assert "script>alert" not in page
    json.dumps(record)


# These do nothing to the machine that a user would not do, so they can be tried where every door is open.
HARMLESS = {
    "hostile_patch_numpy", "hostile_frames", "hostile_forged_answers", "hostile_forged_record", "hostile_wire_patched", "hostile_subclass",
    "hostile_float_subclass", "hostile_objects", "hostile_petabyte_header", "hostile_exit_0", "hostile_os_exit_at_import",
    "hostile_counts_calls", "hostile_lying_forward", "hostile_imports_numpynet", "hostile_weird_results", "hostile_exceptions",
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if case.name in HARMLESS])
def test_no_mark_rests_on_a_door(case):
    record = graded(case.source, leave_open=("namespaces", "other-user", "landlock", "seccomp"))
    assert record["sandbox"] == ["limits"]
    assert (record["status"], record["score"]) == (case.status, case.score)


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in CASES if case.name.startswith("honest")])
def test_honest_files_need_no_file(case):
    """They earn the same where no file can be opened, an import of the standard library included."""
    record = graded(case.source, leave_open=("namespaces", "other-user", "landlock"))
    if "no-files" not in record["sandbox"]:
        pytest.skip("this machine has no seccomp")
    assert (record["status"], record["score"]) == (case.status, case.score)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["hostile_reads_files", "hostile_finds_numpynet", "hostile_ptrace_and_proc", "hostile_links", "hostile_network"],
)
def test_seccomp_alone_keeps_files_and_the_network(name):
    case = next(case for case in CASES if case.name == name)
    record = graded(case.source, leave_open=("namespaces", "other-user", "landlock"))
    if "no-files" not in record["sandbox"]:
        pytest.skip("this machine has no seccomp")
    assert (record["status"], record["score"]) == (case.status, case.score)
    assert "LEAK" not in record["output"]


def test_there_are_enough_of_them():
    kinds = [case.name.split("_")[0] for case in CASES]
    assert {kind: kinds.count(kind) >= 5 for kind in set(kinds)} == {"honest": True, "wrong": True, "hostile": True}
    assert len(CASES) >= 60


def test_the_honest_solution_has_a_whole_record():
    record = graded(HONEST.encode())
    assert [task["status"] for task in record["tasks"]] == ["pass", "pass"]
    assert record["imported"] == ["numpy"]
    assert record["flags"] == []
    assert record["shipped"] == 1.0
    assert record["seed"] == seed_of("a salt", "warmup", "somebody")


def test_the_same_submission_gets_the_same_record():
    source = (HONEST + "\n\ndef dropout_backward(dy, cache):\n    return np.random.rand(*dy.shape)\n").encode()
    first, second = (graded(source) for _ in range(2))
    for record in (first, second):
        record.pop("seconds")
        for task in record["tasks"]:
            task.pop("seconds")
    assert first == second
    assert first["score"] < 20
    assert graded(source, salt="another")["seed"] != first["seed"]


def test_code_for_the_book_earns_little_in_a_course_with_a_convention_of_its_own():
    variant = Variant(drop_prob=True, transposed=True, gain=2.0)
    assert graded(HONEST.encode(), variant=variant)["score"] == 0
    converted = HONEST.replace(
        "x, W, b, *, unit_mask=None, keep_prob=1.0,", "x, W, b, *, unit_mask=None, drop_prob=0.0,"
    )
    converted = converted.replace("h, *, unit_mask, keep_prob", "h, *, unit_mask, drop_prob").replace(
        "    dropped = x if",
        "    keep_prob, W = 1 - drop_prob, W.T\n    weight_mask = None if weight_mask is None else weight_mask.T\n    dropped = x if",
    )
    converted = converted.replace("return dropped @ masked + b,", "return 2 * (dropped @ masked + b),")
    converted = converted.replace(
        "    return h * unit_mask / keep_prob,", "    keep_prob = 1 - drop_prob\n    return h * unit_mask / keep_prob,"
    )
    converted = converted.replace("    dx = dy @ masked.T", "    dy = 2 * dy\n    dx = dy @ masked.T")
    converted = converted.replace("return dx, dW, np.sum", "return dx, dW.T, np.sum")
    assert graded(converted.encode(), variant=variant)["score"] == 20


def test_an_endless_task_costs_no_other(closed):
    source = HONEST + "\n\ndef linear_forward(*a, **k):\n    while True:\n        pass\n"
    record = graded(source.encode(), limits=SHORT)
    assert [(task["status"], task["points"]) for task in record["tasks"]] == [("timeout", 0), ("pass", 8)]


def test_a_stage_after_a_task_that_is_needed():
    needs = Assignment("a", "A", "layers.py", (WARMUP.tasks[0], WARMUP.tasks[1]._replace(needs=("1",))))
    record = grade(Submission("x", Path("x"), ZEROS.encode()), needs, RULES)
    assert [task["status"] for task in record["tasks"]] == ["fail", "skip"]
    assert record["tasks"][1]["checks"][0]["feedback"]["where"] == "needs task 1"


def test_a_check_that_breaks_earns_nothing():
    def breaks(subject, seed):
        raise ZeroDivisionError

    tasks = (
        Task(
            "1",
            "One",
            ("f",),
            (Check("breaks", 3, breaks), Check("other", 1, lambda s, seed: Report("pass", "f", "f"))),
        ),
    )
    record = grade(Submission("x", Path("x"), b"def f(): pass"), Assignment("a", "A", "f.py", tasks), RULES)
    assert [check["status"] for check in record["tasks"][0]["checks"]] == ["error", "pass"]
    assert record["score"] == 1


def test_progress_is_told_task_by_task():
    seen = []
    grade(
        Submission("x", Path("x"), ZEROS.encode()),
        WARMUP,
        RULES,
        progress=lambda record: seen.append(len(record["tasks"])),
    )
    assert seen == [1, 2]


def test_required_doors(closed):
    with pytest.raises(RuntimeError, match="moat"):
        graded(HONEST.encode(), required=("moat",))
    assert graded(b"x = 1", required=tuple(closed))["status"] == "graded"


def numbers_in(text):
    return set(re.findall(r"\d+\.\d{3,}", text))


def test_feedback_holds_no_inputs_and_no_right_values(monkeypatch):
    """Inputs and right values of every check are collected, and looked for in every page at every level."""
    from numpynet.gradcheck import checker

    seen = []
    right_init = checker.Run.__post_init__

    def spying(run):
        right_init(run)
        seen.extend(a for a in run.inputs.arrays.values() if a.size < 500)
        if run.pair.law is not None:
            arrays, constants = run.fresh(run.inputs)
            seen.append(np.asarray(run.pair.law(*arrays.values(), **constants)))

    monkeypatch.setattr(checker.Run, "__post_init__", spying)
    leaky = (
        HONEST
        + """

def dropout_backward(dy, cache):
    raise ValueError("inputs " + repr(dy.tolist()))

def linear_backward(dy, cache):
    print(dy.tolist())
    return cache[0] @ cache[1].T[:, :0].sum(), dy, dy
"""
    )
    for source in (leaky, HONEST.replace("dropped.T @ dy", "1.5 * dropped.T @ dy"), ZEROS):
        record = graded(source.encode())
        for detail in ("off", "where", "ratio", "cause"):
            text = feedback_page(record, detail, []).partition("</style>")[2]
            shown = {f"{float(n):.3f}" for n in numbers_in(text)}
            hidden = {f"{abs(x):.3f}" for a in seen for x in a.reshape(-1)}
            assert not shown & hidden - {"1.500", "2.000", "0.667", "1.000"}
            assert str(record["seed"]) not in text
            assert "numpynet check" not in text
            assert "inputs" not in text
    assert len(seen) > 20


@pytest.mark.parametrize(
    "code",
    ["np.ones((2, 3)) @ np.ones((2, 3))", "np.ones(3) + np.ones(4)", "undefined_name", "x = 1; x()", "(1, 2, 3)[7]", "a, b = 1, 2, 3",
     "np.ones(3).reshape(2, 2)", "np.ones(3)[5]", "np.nothing", "None.T", "1 + 'a'", "1 // 0", "len()", "(lambda *, a: a)()",
     "(lambda a: a)(b=1)", "np.dot(np.ones((2, 3)), np.ones((2, 3)))", "import nothing_there", "a, b = 3", "np.ones(3).sum(axis=4)"],
)  # fmt: skip
def test_messages_of_numpy_and_python_are_passed_on(code):
    try:
        exec(code, {"np": np})
    except IndexError as error:
        if "tuple" in str(error):
            return  # "tuple index out of range" says nothing more than its type
        message = str(error)
    except Exception as error:
        message = str(error)
    assert safe_message(message) == f": {message}"


@pytest.mark.parametrize(
    "message", ["[0.25, 0.5]", "secret 0.25", "name 'x' is not defined 0.25", "0.1 " * 50, "labels 1 0 2 2 1"]
)
def test_other_messages_are_not(message):
    assert safe_message(message) == ""
    assert not KNOWN_MESSAGE.fullmatch(message)


def test_levels_of_detail():
    report = Report(
        "fail", "relu", "relu", kind="gradient", array="dz", n_wrong=3, n_entries=9, index=(1, 2), ratio=1.5, seed=7
    )
    result = CheckResult("gradients", "fail", 0, 3, report)
    assert student_text(result, "off") == ""
    assert "1.5" not in student_text(result, "where")
    assert "1.5000 times" in student_text(result, "ratio")
    law = Report("fail", "prune", "prune", kind="law", message="no revival: 3 dead weights of -0.25 are alive again")
    result = CheckResult("laws", "fail", 0, 3, law)
    assert student_text(result, "where") == "no revival"
    assert student_text(result, "cause") == "no revival: 3 dead weights of # are alive again"


def test_files_that_are_alike():
    other = graded((HONEST.replace("dropped", "kept").replace("masked", "alive") + "\n# mine\n").encode())[
        "fingerprint"
    ]
    assert similarity(graded(HONEST.encode())["fingerprint"], other) == 1.0
    assert similarity([1, 2], [1, 2]) == 0.0  # too short to say
    different = next(case for case in CASES if case.name == "honest_other_style")
    assert similarity(other, graded(different.source)["fingerprint"]) < 0.6
    everything = [*other, *range(20 * len(other))]  # a file that holds all there is makes nobody a copier
    assert similarity(other, everything) < 0.2
    assert nearest({"a": other, "b": other, "c": []})["c"] == ("", 0.0)


def test_names_that_go_to_a_terminal_and_a_page():
    """Exceptions and classes may be called anything: an escape sequence, or what a function was given."""
    text = (FOLDER / "hostile_terminal.txt").read_bytes()
    message = graded(text)["message"]
    assert message.isprintable()
    assert "script>" not in message
    assert len(message) < 200
    report = Report("error", "relu", "relu", message="forward raised x0_4339: boo (line 3 of layers.py)")
    told = student_text(CheckResult("values", "error", 0, 3, report), "cause")
    assert told == "forward raised an exception of your own (line 3 of layers.py)"


def test_no_input_travels_to_a_page_in_a_name():
    """Names in messages and of classes are repeated if the student's file has them: they cannot be made of what was seen."""
    pages = graded((FOLDER / "hostile_carries_inputs_out.txt").read_bytes())
    said = [check["feedback"]["cause"] for task in pages["tasks"] for check in task["checks"]]
    assert "forward raised an exception of your own" in said[0]
    assert any(text.startswith("forward raised NameError (") for text in said)
    source = (
        b"def linear_forward(x, W, b, **constants):\n    return type('x' + str(abs(x.flat[0]))[2:], (), {})(), None\n"
    )
    source += b"def linear_backward(dy, cache):\n    return None\n"
    assert (
        graded(source)["tasks"][0]["checks"][0]["feedback"]["cause"]
        == "the output of forward is a object, not an array"
    )
    source = b"def linear_forward(x, W, b, **constants):\n    return x @ weight\n\ndef linear_backward(dy, cache):\n    return dy.t\n"
    told = graded(source)["tasks"][0]["checks"][0]["feedback"]["where"]
    assert told == "forward raised NameError: name 'weight' is not defined (line 2 of layers.py)"
    source = b"import numpy as np\n\ndef dropout_forward(h, **constants):\n    return np.empty((0, int(abs(h.flat[0]) * 1e9))), None\n"
    source += b"def dropout_backward(dy, cache):\n    return dy\n"
    told = graded(source)["tasks"][1]["checks"][0]["feedback"]["where"]
    assert told.startswith("the output of forward has shape (0, #), where (")
    assert safe_message(f"operands could not be broadcast together with shapes ({'1234567,' * 3}) (2,)") == ""
