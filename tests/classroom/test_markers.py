"""The marks of a solution file: what each becomes, which files are refused, and that no answer is left."""

import ast
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.classroom.authoring import read_marked
from numpynet.classroom.markers import Marked
from numpynet.classroom.notebook import notebook_of

TASK = "# TASK 1 points=2: One\n"
NBGRADER = "def f(x):\n    ### BEGIN SOLUTION\n    return x + 123\n    ### END SOLUTION\n"
FULL = '''"""An example."""

# %% [markdown]
# # A page
#
# With text.

# %%
import math

# BEGIN TESTS
import random

# END TESTS

# TASK 1.1 points=2: One
# HINT First.
# HINT Second.


def one(x):
    """Do one."""
    start = 5  # given
    twice = (
        2 * x
    )  # SOLUTION
    half = 0.5 * twice  # SOLUTION NO PROMPT
    # BEGIN PROMPT
    # start = start + 1
    # END PROMPT
    # BEGIN SOLUTION
    # MUTANT minus: + -> -
    return twice + half + start
    # END SOLUTION


# BEGIN SOLUTION NO PROMPT
def helper_of_the_solution(x):
    return math.sin(x)


# END SOLUTION

# TASK 1.2 points=3 needs=1.1: Two


def two(x):
    text = "# BEGIN SOLUTION"
    # BEGIN SOLUTION
    return helper_of_the_solution(x), text
    # END SOLUTION


# BEGIN TESTS
CHECKS = random
# END TESTS
# BEGIN HIDDEN TESTS
HIDDEN = "a secret"
# END HIDDEN TESTS
'''


def test_what_becomes_of_every_mark():
    marked = Marked(FULL, "own.py")
    skeleton = marked.skeleton()
    assert [line for line in skeleton.splitlines() if line.strip()] == [
        '"""An example."""',
        "import math",
        "# Task 1.1: One (2 points)",
        "def one(x):",
        '    """Do one."""',
        "    start = 5  # given",
        "    # twice = ...",
        "    # YOUR CODE HERE",
        '    raise NotImplementedError("Task 1.1: one")',
        "    start = start + 1",
        "    # YOUR CODE HERE",
        '    raise NotImplementedError("Task 1.1: one")',
        "# Task 1.2: Two (3 points; needs 1.1)",
        "def two(x):",
        '    text = "# BEGIN SOLUTION"',
        "    # YOUR CODE HERE",
        '    raise NotImplementedError("Task 1.2: two")',
    ]
    assert Marked(skeleton).skeleton() == skeleton
    assert marked.page() == "# A page\n\nWith text.\n"
    assert [(t.id, t.points, t.needs, t.functions, t.hints) for t in marked.tasks] == [
        ("1.1", 2, (), ("one",), ("First.", "Second.")),
        ("1.2", 3, ("1.1",), ("two",), ()),
    ]
    namespace = {}
    exec(marked.solution(), namespace)
    assert namespace["one"](2.0) == 11.0
    assert "CHECKS" not in namespace
    (mutant,) = marked.mutants()
    exec(mutant.source, namespace)
    assert (mutant.task, namespace["one"](2.0)) == ("1.1", 7.0)
    checks = marked.checks()
    assert "import math\n" in checks and "import random" in checks and "CHECKS = random" in checks
    assert "# TASK 1.2 points=3 needs=1.1 functions=two: Two" in checks
    assert "secret" not in checks
    for line in ("return twice + half + start", "def helper_of_the_solution(x):", 'HIDDEN = "a secret"', "2 * x"):
        assert (line in marked.removed()) == (line != "2 * x")  # too short to mean anything
        for text in (skeleton, checks, notebook_of(marked), marked.page()):
            assert line not in text


def test_nbgrader_and_otter_files_are_read():
    for text in (NBGRADER, NBGRADER.replace("###", "#"), NBGRADER.replace("### ", "#")):
        assert Marked(TASK + text).skeleton() == (
            '# Task 1: One (2 points)\ndef f(x):\n    # YOUR CODE HERE\n    raise NotImplementedError("Task 1: f")\n'
        )


@pytest.mark.parametrize(
    ("source", "line", "words"),
    [
        (NBGRADER.replace("    ### END SOLUTION\n", ""), 2, "without END"),
        (NBGRADER.replace("    ### BEGIN SOLUTION\n", ""), 3, "without BEGIN"),
        (NBGRADER.replace("END SOLUTION", "END PROMPT"), 4, "without BEGIN"),
        (NBGRADER.replace("    return", "    # BEGIN SOLUTION\n    return"), 3, "inside"),
        ("# BEGIN SOLUTION\nf = 1\n# END SOLUTION\n", 1, "NO PROMPT"),
        ("# BEGIN TESTS NO PROMPT\nf = 1\n# END TESTS\n", 1, "NO PROMPT"),
        (NBGRADER.replace("    ### END", "    # a\n### END"), 5, "indented"),
        (
            "def f():\n    # BEGIN SOLUTION\n    return 1\ndef g():\n    # END SOLUTION\n    pass\n",
            4,
            "leaves the function",
        ),
        ("x = 1  # SOLUTION\n", 1, "must stand in a function"),
        ("# TASK 1: No points\n", 1, "needs points="),
        ("# TASK 1 points=2\n", 1, "no TASK mark as it should be"),
        (TASK + NBGRADER.replace("    return", "    # MUTANT a/b: x -> y\n    return"), 4, "no MUTANT mark"),
        ("# TASK 1 points=1 weight=2: One\n", 1, "not weight="),
        ("# HINT Too early.\n", 1, "before the first task"),
        ("# TASK 1 points=1: One\n# TASK 1 points=1: Two\n", 2, "a second time"),
        ("# TASK 1 points=1: One\n# HNIT Nearly.\n", 2, "is HINT meant"),
        (TASK + "def f():\n    return 1  # SOLUTOIN\n", 3, "is SOLUTION meant"),
        ("def f(:\n", 1, "cannot be read"),
    ],
)
def test_wrong_marks_are_refused_with_their_line(source, line, words):
    with pytest.raises(ValueError, match=words) as caught:
        Marked(source, "own.py").skeleton()
    assert f"own.py:{line}: " in str(caught.value) or "cannot be read" in words


def test_a_mutant_needs_its_line():
    for text, words in (
        (" z -> y", "does not contain"),
        (" x + 123 -> x +", "solution.py:4: mutant m cannot be read"),
        (" x + 123 -> x", None),
    ):
        source = TASK + NBGRADER.replace("    return", f"    # MUTANT m:{text}\n    return")
        if words:
            with pytest.raises(ValueError, match=words):
                Marked(source).mutants()
        else:
            assert Marked(source).mutants()[0].new == "x"
    with pytest.raises(ValueError, match="belongs into the solution"):
        Marked(TASK + "# MUTANT m: a -> b\n").mutants()


LINES = st.lists(
    st.sampled_from(["    a = 11111111", "    if a:\n        a = 22222222", "", "    # a note of mine"]), max_size=6
)


@given(st.lists(st.tuples(LINES, LINES), min_size=1, max_size=3), st.sampled_from(["#", "###"]))
def test_no_solution_survives_and_every_skeleton_runs(functions, sign):
    text = TASK
    for k, (before, solution) in enumerate(functions):
        given_lines = "\n".join(line.replace("11111111", "3").replace("22222222", "4") for line in before)
        inner = "\n".join([*solution, f"    return a * 5555555{k}"])
        text += f"\n\ndef f{k}(a):\n{given_lines}\n    {sign} BEGIN SOLUTION\n{inner}\n    {sign} END SOLUTION\n"
    marked = Marked(text)
    skeleton = marked.skeleton()
    ast.parse(skeleton)
    assert Marked(skeleton).skeleton() == skeleton
    assert not any(digits in skeleton for digits in ("11111111", "22222222", "5555555"))
    namespace = {}
    exec(skeleton, namespace)
    for k in range(len(functions)):
        with pytest.raises(NotImplementedError, match=f"Task 1: f{k}"):
            namespace[f"f{k}"](1)
    exec(marked.solution(), namespace)
    assert namespace["f0"](0) % 55555550 == 0


@pytest.mark.parametrize(
    "after", ["# BEGIN TESTS\nx = 1\n# END TESTS\n", "\n# TASK 1 points=1: One\n", "x = 1\n# Not text.\n"]
)
def test_text_ends_with_a_mark_and_with_code(after):
    marked = Marked(f"# %% [markdown]\n# # Title\n#\n# Text: MUST and NOTES are words.\n{after}")
    assert marked.page() == "# Title\n\nText: MUST and NOTES are words.\n"
    assert len(marked.tasks) == after.count("TASK")


def test_what_is_remembered_of_a_file_is_what_is_in_it_now_and_nobody_can_change_it(tmp_path):
    """Two files of one text are told apart, a file that was changed is read anew, and the lists could be appended to."""
    path, copy = tmp_path / "one.py", tmp_path / "two.py"
    for file in (path, copy):
        file.write_text(FULL)
    first = read_marked(path)
    assert (read_marked(copy).file, read_marked(copy).skeleton()) == ("two.py", first.skeleton())
    for name, value in vars(first).items():
        hash(tuple(value.items()) if isinstance(value, MappingProxyType) else value)  # of a list there is none
        assert isinstance(value, (str, tuple, frozenset, MappingProxyType)), name
    path.write_text(FULL.replace("points=2", "points=3"))
    assert (read_marked(path).tasks[0].points, first.tasks[0].points) == (3, 2)
