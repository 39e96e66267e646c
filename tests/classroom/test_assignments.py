"""The assignments themselves: each is whole, right, and sharp; the same through the grader as at a student's desk."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from numpynet.classroom import desk, practice
from numpynet.classroom.assignment_command import run_build, run_check
from numpynet.classroom.authoring import assignment_from, read_marked
from numpynet.classroom.grading import Rules, grade
from numpynet.classroom.practice import NotPassed, check, check_task
from numpynet.classroom.release import MANIFEST, is_marked, read_manifest, release_files, sha256
from numpynet.classroom.rungs import own_pair_check
from numpynet.classroom.self_check import problems, subject_from
from numpynet.classroom.submissions import Submission, read_submission
from numpynet.classroom.task import Check, Task, assignment_names, load_assignment
from numpynet.cli import main
from numpynet.conformance.contract import Subject
from numpynet.gradcheck.report import Report

NAMES = [name for name in assignment_names() if is_marked(load_assignment(name))]
RULES = Rules("a salt")


def parts(name):
    assignment = load_assignment(name)
    return assignment, read_marked(assignment.solution)


DROPOUT, MARKED = parts("dropout")


def graded(source, assignment):
    return grade(Submission("somebody", Path("somebody.py"), source.encode()), assignment, RULES)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_wrong_with_it(name):
    assignment, marked = parts(name)
    lines = []
    assert problems(marked, assignment, lines.append) == []
    assert all(task.hints for task in marked.tasks)
    assert "## For the curious" in marked.page()
    assert {mutant.task for mutant in marked.mutants()} == {task.id for task in assignment.tasks}


@pytest.mark.parametrize("name", NAMES)
def test_the_grader_agrees(name):
    assignment, marked = parts(name)
    record = graded(marked.solution(), assignment)
    assert (record["status"], record["score"]) == ("graded", assignment.points)
    record = graded(marked.skeleton(), assignment)
    assert (record["status"], record["score"]) == ("graded", 0)
    assert {task["status"] for task in record["tasks"]} <= {"wait", "skip"}


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_wrong_solutions_lose_points_in_the_grader(name):
    assignment, marked = parts(name)
    for mutant in marked.mutants():
        points = {
            task["id"]: (task["points"], task["max_points"]) for task in graded(mutant.source, assignment)["tasks"]
        }
        assert points[mutant.task][0] < points[mutant.task][1], mutant.name


@pytest.mark.parametrize("name", NAMES)
def test_a_release_is_the_same_every_time_and_knows_its_files(name, tmp_path, capsys):
    assignment, marked = parts(name)
    assert main(["assignment", "new", name, str(tmp_path / "a")]) == 0
    files = release_files(marked, assignment)
    assert {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "a").iterdir()} == files
    manifest = read_manifest(tmp_path / "a")
    assert manifest["sha256"] == {file: sha256(text) for file, text in files.items() if file != MANIFEST}
    assert sum(task["points"] for task in manifest["tasks"]) == assignment.points == manifest["max_score"]
    assert main(["assignment", "check", str(tmp_path / "a" / assignment.file)]) == 1
    out = capsys.readouterr().out
    assert "WAIT" in out and "FAIL" not in out and "ERROR" not in out
    (tmp_path / "a" / assignment.file).write_text(marked.solution(), encoding="utf-8")
    assert main(["assignment", "check", str(tmp_path / "a" / assignment.file)]) == 0
    out = capsys.readouterr().out
    assert out.count("PASS") == len(assignment.tasks)
    assert "public checks passed" in out and "all tests passed" not in out.lower()
    assert main(["assignment", "new", name, str(tmp_path / "a")]) == 2  # the work that is there stays
    assert (tmp_path / "a" / assignment.file).read_text(encoding="utf-8") == marked.solution()


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_can_be_handed_in(name, tmp_path):
    assignment, marked = parts(name)
    notebook = json.loads(release_files(marked, assignment)[f"{name}.ipynb"])
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = notebook["cells"]
    ids = [cell["metadata"]["nbgrader"]["grade_id"] for cell in cells]
    assert len(set(ids)) == len(ids) and [cell["id"] for cell in cells] == ids
    for cell in cells:
        nbgrader = cell["metadata"]["nbgrader"]
        assert nbgrader["schema_version"] == 3 and nbgrader["cell_type"] == cell["cell_type"]
        assert ("points" in nbgrader) == nbgrader["grade"]
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
    points = [cell["metadata"]["nbgrader"].get("points", 0) for cell in cells]
    assert sum(points) == assignment.points
    path = tmp_path / f"{name}.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    submission = read_submission("somebody", path, assignment.file)
    assert b"practice" not in submission.source  # the checks of the course are not the student's
    subject = subject_from(submission.source.decode(), assignment)
    assert set(subject.functions) == set(assignment.functions)


def test_a_notebook_that_is_filled_in_gets_its_marks(tmp_path):
    notebook = json.loads(release_files(MARKED, DROPOUT)["dropout.ipynb"])
    for cell in notebook["cells"]:
        if cell["id"] == "task-6-1":  # all of it at once; the stubs above are written over
            cell["source"] = MARKED.solution()
    path = tmp_path / "dropout.ipynb"
    path.write_text(json.dumps(notebook), encoding="utf-8")
    record = grade(read_submission("somebody", path, DROPOUT.file), DROPOUT, RULES)
    assert record["score"] == DROPOUT.points
    assert run_check(path) == 0


# ---- the student's loop, on one assignment --------------------------------------------------------------------------


def with_changes(**functions):
    """The solution, with some functions replaced."""
    return MARKED.solution() + "".join(f"\n\n{code}" for code in functions.values())


def test_a_broken_task_stops_what_depends_on_it(tmp_path, capsys):
    wrong = "def dropout_forward(h, *, unit_mask, keep_prob):\n    return h * unit_mask, (unit_mask, keep_prob)\n"
    path = tmp_path / "dropout.py"
    path.write_text(with_changes(wrong=wrong), encoding="utf-8")
    assert run_check(path) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:-1]] == ["PASS", "FAIL", "SKIP", "SKIP", "PASS", "PASS", "PASS"]
    assert "does not divide the kept units" in lines[1]
    assert lines[2].endswith("needs task 2.1")


def test_a_layer_that_is_in_no_contract_gets_a_diagnosis_too(tmp_path, capsys):
    for name, task, old in (("dropout", "4.1", "factor * (h.T"), ("lottery", "2.1", "weight_mask * (x.T")):
        source = parts(name)[1].solution()
        assert old in source
        (tmp_path / f"{name}.py").write_text(source.replace(old, old.partition("* ")[2]), encoding="utf-8")
        assert run_check(tmp_path / f"{name}.py", task=task) == 1
        assert "the weight mask is not applied to dW" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("def sample_mask(rng, shape, keep_prob):\n    return rng.nothing\n", "1.1  ERROR"),
        ("def sample_mask(rng, shape, keep_prob):\n    return 'text'\n", "returns a str"),
        ("def sample_mask(rng, shape, keep_prob):\n    raise NotImplementedError('Task 1.1')\n", "1.1  WAIT"),
        ("def mc_predict(network, rng, shape, keep_prob, n_samples):\n    return 3\n", "two things should come back"),
        ("def expected_output(network, n_units, keep_prob):\n    return {}\n", "5.1  FAIL"),
    ],
)
def test_whatever_comes_back_there_is_a_line(tmp_path, capsys, code, words):
    path = tmp_path / "dropout.py"
    path.write_text(with_changes(code=code), encoding="utf-8")
    assert run_check(path) == 1
    assert words in capsys.readouterr().out


DRAWN = "[network((rng.random(shape) < keep_prob) * 1.0) for _ in range(n_samples)]"
MC = "def mc_predict(network, rng, shape, keep_prob, n_samples):\n    "
EVALUATED = "def standard_dropout_backward(dy, cache):\n    return dy * (cache if np.ndim(cache) else 1)"
CONNECTED = "def dropconnect_backward(dz, cache):\n    h, V, f = cache\n    return dz @ V.T, (f if np.ndim(f) else 1) * (h.T @ dz), dz.sum(0)"
INVERTED = "def standard_dropout_forward(h, *, unit_mask, keep_prob):\n    f = 1 if unit_mask is None else unit_mask / keep_prob\n"
REINIT = "def reinit_ticket(ticket, rng):\n    draw = lambda a: rng.{}\n    theta = {{n: draw(a) if a.ndim == 2 else {} for n, a in ticket['theta_0'].items()}}\n    return begin_ticket(theta, ticket['weight_mask'])"
SHUFFLE = "def shuffle_masks(weight_mask, rng):\n    return {{n: {} for n, m in weight_mask.items()}}"
BEGIN = "_begin = begin_ticket\ndef begin_ticket(theta_0, weight_mask=None):\n    return _begin(theta_0, {n: np.ones_like(a) for n, a in theta_0.items()} if weight_mask is None else weight_mask)"
REMEMBERS = "_loss = network_loss\ndef network_loss(*args, **kwargs):\n    loss, g = _loss(*args, **kwargs)\n    return loss, {n: a for n, a in g.items() if n != 'W3'}"
NEVER_CATCHES = "def check_linear(forward, backward):\n    x, W, D, M = np.ones((5, 7)), np.ones((7, 4)), np.ones((5, 7)), np.ones((7, 4))\n    y, cache = forward(x, W, np.ones(4), unit_mask=D, keep_prob=0.7, weight_mask=M)\n    dx, dW, db = backward(np.ones((5, 4)), cache)\n    return db.shape == (4,)"


@pytest.mark.parametrize(
    ("name", "task", "code", "words"),
    [
        (
            "backprop",
            "1.1",
            "_f = linear_forward\ndef linear_forward(x, W, b, *, unit_mask=None, keep_prob=1.0, weight_mask=None):\n    return _f(x, W, b, unit_mask=np.ones_like(x) if unit_mask is None else unit_mask, keep_prob=keep_prob, weight_mask=weight_mask)",
            "keep_prob belongs to the mask",
        ),
        ("backprop", "2.1", "def relu_forward(z):\n    return np.maximum(z, 0), z >= 0", "where z is exactly 0"),
        (
            "backprop",
            "3.2",
            "_b = softmax_cross_entropy_backward\ndef softmax_cross_entropy_backward(dloss, cache):\n    return _b(1.0, cache)",
            "the upstream gradient is ignored",
        ),
        ("backprop", "5.1", REMEMBERS, "there is no gradient of W3"),
        (
            "dropout",
            "1.1",
            "def sample_mask(rng, shape, keep_prob):\n    return rng.random(shape) < keep_prob",
            "an array of bool",
        ),
        ("dropout", "3.1", EVALUATED, "in evaluation (unit_mask=None) dh"),
        ("dropout", "3.1", INVERTED + "    return h * f, f", "the inverted convention"),
        ("dropout", "4.1", CONNECTED, "in evaluation (weight_mask=None) dW"),
        (
            "dropout",
            "5.1",
            "def expected_output(network, n_units, keep_prob):\n    return network(np.full(n_units, keep_prob))",
            "not the mean of the outputs",
        ),
        ("dropout", "6.1", f"{MC}o = {DRAWN}\n    return np.mean(o, 0), np.std(o, 0)", "the standard deviation"),
        (
            "dropout",
            "6.1",
            f"{MC}o = {DRAWN.replace('rng', 'np.random')}\n    return np.mean(o, 0), np.var(o, 0)",
            "draw from rng alone",
        ),
        (
            "dropout",
            "6.1",
            f"{MC}y = network(np.full(shape, keep_prob))\n    return y, 0 * y",
            "average the outputs, not the masks",
        ),
        (
            "lottery",
            "1.2",
            "_prune = prune\ndef prune(W, mask, rate):\n    return _prune(W, np.ones_like(mask), rate)",
            "pruned before are alive again",
        ),
        ("lottery", "3.1", BEGIN, "an entry for every matrix, and no other"),
        ("lottery", "5.1", REINIT.format("normal(0, 2 / sum(a.shape), a.shape)", "0 * a"), "times 2 / (d_in + d_out)"),
        ("lottery", "5.1", REINIT.format("uniform(-1, 1, a.shape) * np.sqrt(6 / sum(a.shape))", "0 * a"), "not normal"),
        ("lottery", "5.1", REINIT.format("normal(0, np.sqrt(2 / sum(a.shape)), a.shape)", "a"), "biases of fresh"),
        ("lottery", "5.2", SHUFFLE.format("rng.permutation(m, axis=1)"), "every row of W1 has as many ones"),
        ("lottery", "5.2", SHUFFLE.format("np.random.permutation(m.ravel()).reshape(m.shape)"), "draw from rng alone"),
        ("detective", "2.2", NEVER_CATCHES, "where a wrong implementation was judged"),
    ],
)
def test_what_students_write_gets_its_name(tmp_path, capsys, name, task, code, words):
    path = tmp_path / f"{name}.py"
    path.write_text(f"{parts(name)[1].solution()}\n\n{code}\n", encoding="utf-8")
    assert run_check(path, task=task) == 1
    assert words in capsys.readouterr().out


def test_a_factor_without_a_name_is_no_other_bug(tmp_path, capsys):
    path = tmp_path / "dropout.py"
    path.write_text(MARKED.solution().replace("/ keep_prob", "/ keep_prob**0.5"), encoding="utf-8")
    assert run_check(path, task="2.1") == 1
    out = capsys.readouterr().out
    assert "times the right one" in out and "Most likely" not in out


@pytest.mark.parametrize("name", NAMES)
def test_the_page_holds_no_marks(name):
    page = parts(name)[1].page()
    assert "BEGIN" not in page and "how it is judged" not in page


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no alarms")
@pytest.mark.parametrize("suffix", [".py", ".ipynb"])
def test_an_endless_loop_at_import_is_one_line(tmp_path, capsys, monkeypatch, suffix):
    monkeypatch.setattr(desk, "SECONDS", 0.3)
    source = "while True: ...\n"
    cell = {"cell_type": "code", "source": source, "metadata": {}, "outputs": [], "execution_count": None}
    text = json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    (tmp_path / f"dropout{suffix}").write_text(source if suffix == ".py" else text, encoding="utf-8")
    assert main(["assignment", "check", str(tmp_path / f"dropout{suffix}")]) == 2
    assert "an endless loop?" in capsys.readouterr().err


def test_a_folder_is_its_file_and_a_file_must_be_there(tmp_path, capsys):
    main(["assignment", "new", "dropout", str(tmp_path)])
    assert main(["assignment", "check", str(tmp_path)]) == 1
    assert "dropout: 4 not written, 3 skipped" in capsys.readouterr().out
    assert main(["assignment", "check", str(tmp_path / "mine.py")]) == 2
    assert "there is no file" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no alarms")
def test_an_endless_loop_costs_one_task(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(practice, "SECONDS", 0.3)
    path = tmp_path / "dropout.py"
    endless = "def sample_mask(rng, shape, keep_prob):\n    while True:\n        pass\n"
    source = MARKED.solution() + f"\n\n{endless}"
    path.write_text(source, encoding="utf-8")
    assert run_check(path, task="1.1") == 1
    out = capsys.readouterr().out
    assert out.startswith("1.1  ERROR") and "an endless loop?" in out
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no alarms")
def test_after_a_check_that_took_too_long_the_others_of_the_task_are_not_tried_and_no_later_task_suffers(monkeypatch):
    monkeypatch.setattr(practice, "SECONDS", 0.05)
    tried = []

    def endless(subject, seed):
        while True:
            ...

    def fine(subject, seed):
        tried.append(seed)
        return Report("pass", "f", "f")

    task = Task("1", "One", ("f",), (Check("a", 1, fine), Check("b", 1, endless), Check("c", 1, fine)))
    subject = Subject("mine.py", {"f": abs})
    results = check_task(task, subject, 7).checks
    assert [(r.status, r.message.split(":")[0]) for r in results[::2]] == [("pass", ""), ("skip", "b took too long")]
    assert results[1].status == "error" and "an endless loop?" in results[1].message
    assert tried == [7]
    assert not practice.passes(task, subject, 7)
    assert practice.passes(task._replace(checks=task.checks[::2]), subject, 8)
    assert tried == [7, 7, 8, 8]


def test_a_check_is_tried_only_if_those_that_it_needs_have_passed():
    tried = []

    def answer(name, status):
        def run(subject, seed):
            tried.append(name)
            return Report(status, "f", "f")

        return run

    checks = (
        Check("a", 1, answer("a", "pass")),
        Check("b", 1, answer("b", "fail"), needs=("a",)),
        Check("c", 1, answer("c", "pass"), needs=("a", "b")),
        Check("d", 1, answer("d", "pass"), needs=("c",)),
    )
    results = check_task(Task("1", "One", ("f",), checks), Subject("mine.py", {"f": abs}), 0).checks
    assert [result.status for result in results] == ["pass", "fail", "skip", "skip"]
    assert [result.message for result in results[2:]] == ["needs b", "needs c"]
    assert tried == ["a", "b"]


def test_a_file_that_cannot_be_imported_is_one_line(tmp_path, capsys):
    path = tmp_path / "dropout.py"
    path.write_text("import numpy as np\n\ndef f(:\n", encoding="utf-8")
    assert main(["assignment", "check", str(path)]) == 2
    assert "line 3" in capsys.readouterr().err
    for arguments in (
        ["check", str(tmp_path / "no.py")],
        ["new", "no", str(tmp_path)],
        ["new", "warmup", str(tmp_path)],
    ):
        assert main(["assignment", *arguments]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    ["assignment new {} given", "assignment build {} -o given", "assignment check mine.py --assignment {}",
     "grade class -o grades --assignment {}", "autograder zip {} -o autograder.zip"],
)  # fmt: skip
def test_names_that_an_error_offers_are_accepted(command, tmp_path, monkeypatch, capsys):
    """``new`` and ``build`` offered the warm-up, which has no solution file with marks, and refused it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "class").mkdir()
    for path in (tmp_path / "class" / "ann.py", tmp_path / "mine.py"):
        path.write_text("x = 1\n", encoding="utf-8")
    assert main(command.format("nope").split()) == 2
    (error,) = capsys.readouterr().err.splitlines()
    offered = error.partition("there are ")[2].split(", ")
    assert set(NAMES) <= set(offered)
    for name in set(offered) - set(NAMES):  # the others are tried all over this file
        assert main(command.format(name).split()) != 2


def test_hints_come_in_steps(tmp_path, capsys):
    main(["assignment", "new", "dropout", str(tmp_path)])
    capsys.readouterr()
    path = str(tmp_path / "dropout.py")
    first, second = (main(["assignment", "check", path, "--hint", k]) or capsys.readouterr().out for k in "12")
    assert first.count("task 1.1, hint") == 1 and "--hint 2" in first
    assert second.count("task 1.1, hint") == 2
    main(["assignment", "check", path, "--task", "4.1", "--hint", "9"])
    assert capsys.readouterr().out.count("task 4.1, hint") == 3


def test_a_cell_of_a_notebook_prints_and_returns_nothing(capsys):
    namespace = {}
    exec(MARKED.solution(), namespace)
    assert check("dropout", namespace, task="2.1") is None
    assert check("dropout", namespace, task="2.1", strict=True) is None
    assert capsys.readouterr().out.count("public checks passed") == 2
    exec(MARKED.skeleton(), namespace)
    assert check("dropout", namespace, task="2.1") is None
    with pytest.raises(NotPassed, match=r"task 2\.1"):
        check("dropout", namespace, task="2.1", strict=True)


def test_pytest_runs_one_task(tmp_path):
    main(["assignment", "new", "dropout", str(tmp_path)])
    (tmp_path / "dropout.py").write_text(MARKED.solution().replace("/ keep_prob", "/ 1.0"), encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", "-m", "task2_1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "1 failed, 2 skipped, 19 deselected" in done.stdout
    assert "does not divide the kept units" in done.stdout


# ---- a teacher's own ---------------------------------------------------------------------------------------------------

OWN = '''"""Twice a number."""

# %% [markdown]
# # Twice
#
# ## For the curious

# %%
# BEGIN TESTS
from numpynet.classroom.authoring import assignment_from
from numpynet.classroom.rungs import own_check
from numpynet.conformance.laws import call, law, require

# END TESTS
# TASK 1 points=3: Twice


def twice(x):
    """Twice x."""
    # BEGIN SOLUTION
    # MUTANT square: 2 * x -> x * x
    return 2 * x
    # END SOLUTION


# BEGIN TESTS
@law("even", "twice")
def even(subject, seed, sizes):
    require(call(subject, "twice", 3) == 6, "twice 3 is 6")


CHECKS = {"1": [own_check(even, 2)]}
# END TESTS
# BEGIN HIDDEN TESTS
@law("large", "twice")
def large(subject, seed, sizes):
    require(call(subject, "twice", 10**6 + seed % 7) == 2 * (10**6 + seed % 7), "wrong for a million")


CHECKS["1"].append(own_check(large, 1))
# END HIDDEN TESTS
# BEGIN TESTS
ASSIGNMENT = assignment_from(__file__, "Twice", CHECKS)
# END TESTS
'''


def test_a_teachers_own_file_is_built_checked_and_graded(tmp_path, capsys):
    path = tmp_path / "twice.py"
    path.write_text(OWN, encoding="utf-8")
    assert run_build(str(path), tmp_path / "release") == 0
    out = capsys.readouterr().out
    assert "wrong solutions: 1, of which 1" in out
    assert "public checks: 2 points" in out
    assert not any(b"million" in file.read_bytes() for file in (tmp_path / "release").iterdir())
    (tmp_path / "release" / "twice.py").write_text("def twice(x):\n    return {3: 6}.get(x)\n", encoding="utf-8")
    assert run_check(tmp_path / "release" / "twice.py") == 0  # good for the public check
    own = load_assignment(str(path))
    record = graded((tmp_path / "release" / "twice.py").read_text(encoding="utf-8"), own)
    assert (record["score"], record["max_score"]) == (2, 3)  # and not for the hidden one
    with pytest.raises(FileExistsError, match=r"twice\.py is there already"):
        run_build(str(path), tmp_path / "release")
    (tmp_path / "release" / "checks.py").write_text("changed = 1", encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("return 2 * x", "return 2 * x + 1 if x == 3 else 2 * x", "the solution does not pass task 1"),
        ("# MUTANT square: 2 * x -> x * x", "# MUTANT same: 2 * x -> x + x", "a wrong solution, same, passes task 1"),
        ('    """Twice x."""', '    """Twice x: return 2 * x"""', "a line of the solution is in twice.py"),
        ("# BEGIN SOLUTION\n", "# BEGIN SOLUTION NO PROMPT\n", "of the skeleton is fail"),
        ('    """Twice x."""', "    x = x + 0  # TODO", None),
    ],
)
def test_a_build_finds_what_is_wrong(tmp_path, capsys, old, new, words):
    path = tmp_path / "twice.py"
    path.write_text(OWN.replace(old, new), encoding="utf-8")
    assert run_build(str(path), tmp_path / "release") == (1 if words else 0)
    out = capsys.readouterr().out
    assert words is None or f"WRONG: {words}" in out or words in out
    assert (tmp_path / "release").exists() == (words is None)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("points=3", "points=4", "announces 4 points, its checks have 3"),
        ('CHECKS = {"1"', 'CHECKS = {"2"', "'1'|no checks"),
        ("# TASK 1 points=3: Twice", "# TASK 2 points=3: Twice", "has no checks"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path, old, new, words):
    path = tmp_path / "twice.py"
    path.write_text(OWN.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        load_assignment(str(path))


SECOND = """# TASK 2 points=1 needs=1: Thrice
def thrice(x):
    return x + 2 * x


# BEGIN TESTS
@law("three", "thrice")
def three(subject, seed, sizes):
    require(call(subject, "thrice", 1) == 3, "thrice 1 is 3")


MORE = {"2": [own_check(three, 1)]}


"""


def test_a_solution_that_was_left_in_does_not_hide_behind_an_earlier_task(tmp_path, capsys):
    path = tmp_path / "twice.py"
    source = OWN.replace("# BEGIN TESTS\n@law", f"{SECOND}@law").replace("CHECKS = {", "CHECKS = {**MORE, ")
    path.write_text(source, encoding="utf-8")
    assert run_build(str(path), tmp_path / "release") == 1
    out = capsys.readouterr().out
    assert "WRONG: thrice has no stub in the skeleton" in out and "WRONG: task 2 of the skeleton is pass" in out


def test_a_wrong_mark_is_told_with_its_own_line(tmp_path, capsys):
    path = tmp_path / "twice.py"
    path.write_text(OWN.replace("# END SOLUTION", "# END SOLUTON"), encoding="utf-8")
    assert main(["assignment", "build", str(path), "-o", str(tmp_path / "release")]) == 2
    assert re.match(r"numpynet: error: twice\.py:\d+: ", capsys.readouterr().err)


def test_checks_need_a_task(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("# TASK 1 points=1 functions=f: One", encoding="utf-8")
    with pytest.raises(ValueError, match="has a task 2 that the file does not announce"):
        assignment_from(path, "Own", {"1": (), "2": ()})


def test_an_unforeseen_answer_is_no_crash_of_the_loop():
    task = DROPOUT.tasks[-2]
    subject = subject_from("def expected_output(network, n, q):\n    return object()", DROPOUT)
    assert check_task(task, subject, 0).status in ("error", "fail")


def test_the_example_of_the_page_for_teachers_can_be_built(tmp_path):
    page = Path(__file__).parents[2].joinpath("docs", "write_an_assignment.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"^## A whole one\n\n```\n(.*?)^```$", page, re.M | re.S)
    (tmp_path / "twice.py").write_text(source, encoding="utf-8")
    assert run_build(str(tmp_path / "twice.py"), tmp_path / "release") == 0


def test_the_layer_of_the_page_for_teachers_can_be_checked():
    page = Path(__file__).parents[2].joinpath("docs", "write_an_assignment.md").read_text(encoding="utf-8")
    (source,) = re.findall(r"^```\n(from numpynet\.gradcheck import.*?)^```$", page, re.M | re.S)
    namespace = {"np": np}
    exec(source, namespace)
    made = own_pair_check(namespace["make"], "f_forward", "f_backward", (0, 1, 2, 3, 4, 7), 3, name="gradients")
    functions = {
        "f_forward": lambda z, *, slope: (np.where(z > 0, z, z * slope), np.where(z > 0, 1, slope).astype(z.dtype)),
        "f_backward": lambda dh, factor: dh * factor,
    }
    assert made.run(Subject("f.py", functions, trusted=False), 0).status == "pass"
    functions["f_backward"] = lambda dh, factor: dh * (factor == 1)
    assert made.run(Subject("f.py", functions, trusted=False), 0).status == "fail"
