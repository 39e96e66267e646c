"""How an implementation is found and imported, and what is said of one that cannot be."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from numpynet.conformance.contract import Subject, subject_of
from numpynet.conformance.reference import relu_backward
from numpynet.conformance.subject import VARIABLE, CannotImport, load_file, load_subject
from numpynet.gradcheck import REFERENCE, relu_pair


def written(tmp_path, text, name="mine.py"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_file_is_run_and_nothing_is_left_behind(tmp_path):
    written(tmp_path, "from dataclasses import dataclass\nhalf = 0.5\n", "my_helper.py")
    path = written(
        tmp_path,
        "from dataclasses import dataclass\nimport my_helper\n@dataclass\nclass A:\n    x: 'float' = my_helper.half\n"
        "def prune_count(rate, alive):\n    return A().x\nprint(__name__)\n",
    )
    before = set(sys.modules) - {"my_helper"}, list(sys.path)
    try:
        subject = load_subject(path)
    finally:
        sys.modules.pop("my_helper", None)
    assert (set(sys.modules), sys.path) == before
    assert subject.functions["prune_count"](0, 0) == 0.5
    assert not list(tmp_path.glob("__pycache__/mine*"))


def test_an_edited_file_is_read_anew(tmp_path):
    path = written(tmp_path, "a = 1")
    assert load_file(path).a == 1
    path.write_text("a = 2")  # within a second and of the same length: a compiled copy would be taken for good
    assert load_file(path).a == 2


def test_what_a_file_prints_does_not_get_into_the_output(tmp_path, capsys):
    load_file(written(tmp_path, "print('hello')"))
    assert capsys.readouterr() == ("", "hello\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:\n    pass\n", "SyntaxError in line 1: "),
        ("x = 1\n\ny = x / 0\n", "ZeroDivisionError in line 3: division by zero"),
        ("import no_such_module_at_all\n", "ModuleNotFoundError in line 1: No module named 'no_such_module_at_all'"),
        ("import sys\nsys.exit(0)\n", "it ends the program in line 2"),
        ("raise ValueError('two\\nlines')\n", "ValueError in line 1: two lines"),
        ("assert False\n", "AssertionError in line 1"),
        ("def f():\n  if True:\n\tpass\n", "TabError in line 3: "),
        ("x = 0\0\n", "SyntaxError"),
    ],
)
def test_a_file_that_does_not_run_is_one_line(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(CannotImport) as caught:
        load_subject(path)
    assert str(caught.value).startswith(f"{path} cannot be imported: {message}")
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_said_so(tmp_path):
    for path, message in (
        (tmp_path / "nowhere.py", "there is no such file"),
        (tmp_path, "is a folder"),
        (written(tmp_path, "{}", "work.ipynb"), "is a notebook; save its functions in a .py file first"),
    ):
        with pytest.raises(CannotImport, match=message):
            load_subject(path)
    with pytest.raises(CannotImport, match=r"No module named 'no_such_module' \(a file is given by a path"):
        load_subject("no_such_module")


def test_a_file_without_any_function_of_the_contract(tmp_path):
    path = written(tmp_path, "def liner_forward(x): pass\n")
    with pytest.raises(ValueError, match=r"mine.py: there is none of the functions to check in it; known are linear_"):
        load_subject(path)


def test_a_module_by_its_name_and_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert load_subject().functions["relu_backward"] is relu_backward
    monkeypatch.setenv(VARIABLE, str(written(tmp_path, "def prune(W, mask, rate): pass")))
    assert list(load_subject().functions) == ["prune"]
    written(tmp_path, "def rewind(W_0, mask): pass", "a_module_in_the_folder.py")
    monkeypatch.chdir(tmp_path)
    try:
        assert list(load_subject("a_module_in_the_folder").functions) == ["rewind"]
    finally:
        sys.modules.pop("a_module_in_the_folder", None)


def test_other_names_optimizers_and_pairs():
    pair = relu_pair(REFERENCE.relu_forward, REFERENCE.relu_backward)
    module = SimpleNamespace(inverted_dropout_forward=min, prune=max, OPTIMIZERS={"sgd": 1}, PAIRS=[pair])
    subject = subject_of(module, "mine.py")
    assert subject == Subject("mine.py", {"dropout_forward": min, "prune": max}, ("sgd",), (pair,))
    assert subject.layers.dropout_forward is min
    with pytest.raises(TypeError, match=r"PAIRS must hold LayerPair records .* got 3"):
        subject_of(SimpleNamespace(PAIRS=[3]), "mine.py")
    with pytest.raises(TypeError, match="OPTIMIZERS must be a list of names"):
        subject_of(SimpleNamespace(prune=max, OPTIMIZERS="sgd"), "mine.py")
