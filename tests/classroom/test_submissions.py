"""A folder of hand-ins: a row for whatever is in it, and nothing is followed, opened or believed that should not be."""

import json
import os

import pytest

from numpynet.classroom.submissions import MAX_SOURCE, read_submission, submissions_in


def read(folder):
    return {s.name: s for s in submissions_in(folder, "layers.py")}


def test_files_folders_and_notebooks(tmp_path):
    (tmp_path / "ann.py").write_text("a = 1")
    (tmp_path / "bob").mkdir()
    (tmp_path / "bob" / "layers.py").write_text("b = 1")
    (tmp_path / "bob" / "helper.py").write_text("c = 1")
    (tmp_path / "bob" / "notes.txt").write_text("?")
    (tmp_path / "eve" / "eve" / "deep").mkdir(parents=True)
    (tmp_path / "eve" / "eve" / "deep" / "my_layers.py").write_text("e = 1")
    cells = [
        {"cell_type": "markdown", "source": "text"},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "x = 1\n", "!ls"]},
        {"cell_type": "code", "source": "y = 2"},
    ]
    (tmp_path / "joe.ipynb").write_text(json.dumps({"cells": cells}))
    (tmp_path / ".DS_Store").write_text("")
    found = read(tmp_path)
    assert {name: s.source for name, s in found.items() if name != "joe"} == {
        "ann": b"a = 1",
        "bob": b"b = 1",
        "eve": b"e = 1",
    }
    assert found["bob"].beside == {"helper": b"c = 1"}
    assert found["joe"].source == b"pass  # %matplotlib inline\nx = 1\npass  # %ls\n\ny = 2"
    assert all(not s.problem for s in found.values())


def test_what_cannot_be_graded_says_why(tmp_path):
    outside = tmp_path / "outside.py"
    outside.write_text("secret = 1")
    folder = tmp_path / "submissions"
    folder.mkdir()
    (folder / "empty.py").write_text(" \n")
    (folder / "essay.pdf").write_text("%PDF")
    (folder / "large.py").write_bytes(b"#" * (MAX_SOURCE + 1))
    (folder / "no_file").mkdir()
    (folder / "two").mkdir()
    (folder / "two" / "a.py").write_text("a")
    (folder / "two" / "b.py").write_text("b")
    (folder / "bad.ipynb").write_text('{"cells": [3]}')
    (folder / "deep.ipynb").write_text("[" * 100_000)
    os.mkfifo(folder / "pipe.py")
    os.symlink(outside, folder / "link.py")
    os.symlink(tmp_path, folder / "linked_folder")
    os.symlink(folder / "nowhere", folder / "dangling")
    (folder / "inner_link").mkdir()
    os.symlink(outside, folder / "inner_link" / "layers.py")
    (folder / "linked_helper").mkdir()
    (folder / "linked_helper" / "layers.py").write_text("x = 1")
    os.symlink(outside, folder / "linked_helper" / "helper.py")
    found = read(folder)
    assert not found["linked_helper"].problem
    assert found.pop("linked_helper").beside == {}
    for name, word in {
        "empty": "empty",
        "essay.pdf": "neither",
        "large": "bytes",
        "no_file": "there is no layers.py",
        "two": "a.py, b.py",
        "bad": "no notebook",
        "deep": "no notebook",
        "pipe": "no ordinary file",
        "link": "symbolic link",
        "linked_folder": "symbolic link",
        "dangling": "symbolic link",
        "inner_link": "symbolic link",
    }.items():
        assert word in found[name].problem, name
        assert found.pop(name).source == b""
    assert found == {}


ODD = [b"-rf.py", b"a,b.py", b'a"b.py', b"=1+1.py", b"new\nline.py", b"\xff\xfe.py", "naïve 学生.py".encode(), b"x" * 200 + b".py",
       b".py", b"..py", b"$(touch x).py", b"a b.py", "\u202egnp.py".encode(), b"con.py", b"%s.py", b"<b>.py", b".hidden.py"]  # fmt: skip


def test_names_may_be_anything(tmp_path):
    for name in ODD:
        with open(os.path.join(os.fsencode(tmp_path), name), "w") as file:
            file.write("x = 1")
    found = submissions_in(tmp_path, "layers.py")
    assert len(found) == len(ODD)
    assert sum(s.source == b"x = 1" for s in found) == len(ODD)
    assert len({s.name for s in found}) == len({s.slug for s in found}) == len(ODD)
    for s in found:
        assert s.name.isprintable()
        assert s.name.encode("utf-8")
        assert s.slug.replace("-", "").replace("_", "").isalnum()
        assert len(s.slug) < 60


def test_names_stay_apart(tmp_path):
    (tmp_path / "ann.py").write_text("1")
    (tmp_path / "ann").mkdir()
    (tmp_path / "ann" / "layers.py").write_text("2")
    (tmp_path / "ann.ipynb").write_text('{"cells": []}')
    for name in (b"a\n.py", b"a\t.py", b"a?.py"):
        with open(os.path.join(os.fsencode(tmp_path), name), "w") as file:
            file.write("x = 1")
    names = [s.name for s in submissions_in(tmp_path, "layers.py")]
    assert len(set(names)) == len(names) == 6
    assert {"ann", "ann.py", "ann.ipynb"} <= set(names)


def test_the_digest_is_of_everything(tmp_path):
    path = tmp_path / "ann"
    path.mkdir()
    (path / "layers.py").write_text("1")
    first = read_submission("ann", path, "layers.py").digest()
    (path / "helper.py").write_text("2")
    second = read_submission("ann", path, "layers.py").digest()
    assert first != second
    (path / "layers.py").write_text("3")
    assert read_submission("ann", path, "layers.py").digest() not in (first, second)


def test_a_file_that_may_not_be_read(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("whoever is root may read everything")
    (tmp_path / "ann.py").write_text("1")
    (tmp_path / "ann.py").chmod(0)
    assert "cannot be read" in read(tmp_path)["ann"].problem


def test_what_is_no_file_leaves_nothing_open(tmp_path):
    """A folder called layers.py once kept a file handle each time, of the thousand that a process has."""
    (tmp_path / "ann" / "layers.py").mkdir(parents=True)
    (tmp_path / "ann" / "helper.py").mkdir()
    os.mkfifo(tmp_path / "bob.py")
    before = len(os.listdir("/proc/self/fd"))
    found = submissions_in(tmp_path, "layers.py")
    assert [bool(s.problem) for s in found] == [True, True]
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_notebook_may_be_large_and_its_code_may_not(tmp_path):
    """Figures in the outputs are no reason for nothing to be graded."""
    figure = {"output_type": "display_data", "data": {"image/png": "A" * (MAX_SOURCE + 1)}}
    for name, source, outputs in (("ann", "x = 1", [figure]), ("bob", "x = 1\n" * (MAX_SOURCE // 6 + 1), [])):
        notebook = {"cells": [{"cell_type": "code", "metadata": {}, "source": source, "outputs": outputs}]}
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(notebook))
    ann, bob = submissions_in(tmp_path, "layers.py")
    assert (ann.source, ann.problem) == (b"x = 1", "")
    assert "the code of the notebook has" in bob.problem
