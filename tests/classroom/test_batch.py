"""A class: rows, resuming, killing, odd folders, the table, the pages."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from numpynet.classroom import batch, pool
from numpynet.classroom.batch import prepare, run_batch
from numpynet.classroom.sandbox.host import children_of_this
from numpynet.classroom.summary import summary_page
from numpynet.classroom.table import grades_csv, harmless
from numpynet.cli import main
from tests.classroom.folder import HONEST, ZEROS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the doors are those of Linux")
WAIT = "def linear_forward(*a, **k):\n    raise NotImplementedError\n"


@pytest.fixture
def school(tmp_path):
    folder = tmp_path / "submissions"
    folder.mkdir()
    (folder / "ann.py").write_text(HONEST)
    (folder / "bob.py").write_text(HONEST.replace("dropped.T @ dy", "2 * dropped.T @ dy"))
    (folder / "=cmd.py").write_text(ZEROS)
    (folder / "broken.py").write_text("def f(:")
    os.symlink(folder / "ann.py", folder / "link.py")
    return folder


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {row["submission"]: row for row in csv.DictReader(file)}


def grade(folder, grades, *more):
    return main(["grade", str(folder), "-o", str(grades), "--limit", "5", *more])


def test_a_class_from_the_command_line(school, tmp_path, capsys):
    before = children_of_this()
    grades = tmp_path / "grades"
    formats = [
        word for name in ("gradescope", "prairielearn", "github", "junit", "otter-csv") for word in ("--format", name)
    ]
    assert grade(school, grades, "--assignment", "warmup", "-j", "2", *formats) == 0
    out = capsys.readouterr().out
    assert "5 submissions: 3 graded, 2 ungradable" in out
    rows = rows_of(grades / "grades.csv")
    assert {name: (row["status"], row["score"]) for name, row in rows.items()} == {
        "'=cmd": ("graded", "0"),
        "ann": ("graded", "20"),
        "bob": ("graded", "12"),
        "broken": ("ungradable", "0"),
        "link": ("ungradable", "0"),
    }
    assert rows["ann"]["similar_to"] == "bob"
    assert float(rows["ann"]["similarity_shipped"]) == 1
    assert "limits" in rows["ann"]["sandbox"].split("+")
    assert rows["ann"]["seed"] != rows["bob"]["seed"]
    assert "symbolic link" in rows["link"]["message"]
    assert len(list((grades / "results").glob("*.json"))) == len(list((grades / "feedback").glob("*.html"))) == 5
    assert len(list((grades / "exports").rglob("*.*"))) == 4 * 5 + 1
    summary = (grades / "summary.html").read_text()
    assert "everything is counted twice" in summary
    assert summary.count("data:image/png") == 3
    pages = "".join(path.read_text() for path in (grades / "feedback").iterdir())
    assert "def linear_backward" not in pages
    assert children_of_this() == before
    assert sorted(path.name for path in school.iterdir()) == ["=cmd.py", "ann.py", "bob.py", "broken.py", "link.py"]

    # Once more: nothing is graded again, and the assignment is known.
    records = {path: path.stat().st_mtime_ns for path in (grades / "results").glob("*.json")}
    assert grade(school, grades) == 0
    assert {path: path.stat().st_mtime_ns for path in (grades / "results").glob("*.json")} == records

    # A new hand-in is graded, with the seed of its author; the older record stays beside it.
    (school / "bob.py").write_text(HONEST)
    assert grade(school, grades) == 0
    again = rows_of(grades / "grades.csv")
    assert (again["bob"]["score"], again["bob"]["seed"]) == ("20", rows["bob"]["seed"])
    assert len(list((grades / "results").glob("bob-*.json"))) == 2
    assert grade(school, grades, "--only", "ann") == 0
    assert len(list((grades / "results").glob("ann-*.json"))) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "which assignment"),
        (["--assignment", "nothing"], "there is no assignment 'nothing'"),
        (["--assignment", "warmup", "--variant", "upside-down"], "no convention"),
        (["--assignment", "warmup", "--only", "zoe"], "there is no submission 'zoe'"),
    ],
)
def test_wrong_commands_are_one_line(school, tmp_path, capsys, more, message):
    assert grade(school, tmp_path / "grades", *more) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_folders_that_do_not_fit(school, tmp_path, capsys):
    assert grade(tmp_path / "none", tmp_path / "grades", "--assignment", "warmup") == 2
    assert grade(school, school, "--assignment", "warmup") == 2
    assert grade(school, school / "grades", "--assignment", "warmup") == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    assert grade(empty, tmp_path / "grades", "--assignment", "warmup", "--seed-salt", "s") == 0
    assert grade(empty, tmp_path / "grades", "--seed-salt", "another") == 2
    assert "another salt" in capsys.readouterr().err
    for text in (
        "{",
        "[]",
        '{"assignment": "warmup"}',
        '{"assignment": "warmup", "salt": "s", "limits": [], "variant": 7}',
    ):
        (tmp_path / "grades" / "grading.json").write_text(text)
        assert grade(empty, tmp_path / "grades", "--assignment", "warmup") == 2
        assert "not as numpynet grade writes it" in capsys.readouterr().err
    assert (tmp_path / "grades" / "grades.csv").read_text().startswith("submission,")


def test_a_door_that_is_required(school, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        batch.Child, "closed", property(lambda self: ["limits"], lambda self, value: None), raising=False
    )
    assert grade(school, tmp_path / "grades", "--assignment", "warmup", "--require", "landlock") == 2
    assert "cannot be closed on this machine: landlock" in capsys.readouterr().err


def test_a_machine_on_which_nothing_can_be_run(school, tmp_path, capsys, monkeypatch):
    script = tmp_path / "child.py"
    script.write_text("raise SystemError('not here')")
    monkeypatch.setattr("numpynet.classroom.sandbox.host.CHILD", script)
    assert grade(school, tmp_path / "grades", "--assignment", "warmup") == 2
    assert "no child process can be run on this machine" in (err := capsys.readouterr().err)
    assert "not here" in err
    assert err.count("\n") == 1


def test_killed_in_the_middle_and_started_again(tmp_path):
    """Not one record is lost or graded twice; nothing of the killed grader is left."""
    folder, grades = tmp_path / "submissions", tmp_path / "grades"
    folder.mkdir()
    for k in range(8):
        (folder / f"s{k}.py").write_text(ZEROS + f"\nk = {k}\n" + ("import time\ntime.sleep(30)\n" if k == 5 else ""))
    command = [
        sys.executable,
        "-m",
        "numpynet",
        "grade",
        str(folder),
        "-o",
        str(grades),
        "--assignment",
        "warmup",
        "--limit",
    ]
    grader = subprocess.Popen([*command, "60"], stdout=subprocess.DEVNULL)
    results = grades / "results"
    deadline = time.monotonic() + 60
    while len(list(results.glob("*.json"))) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    done = {path.name: path.stat().st_mtime_ns for path in results.glob("*.json")}
    assert len(done) == 5
    assert not list(results.glob(".numpynet*"))
    salt = json.loads((grades / "grading.json").read_text())["salt"]
    deadline = time.monotonic() + 10
    while _running(str(tmp_path)):  # the grading process and its child follow
        assert time.monotonic() < deadline, "something is left"
        time.sleep(0.05)
    (folder / "s5.py").write_text(ZEROS)
    records = run_batch(prepare(folder, grades))
    assert [record["status"] for record in records] == ["graded"] * 8
    after = {path.name: path.stat().st_mtime_ns for path in results.glob("*.json")}
    assert done.items() <= after.items()
    assert json.loads((grades / "grading.json").read_text())["salt"] == salt


def _running(word):
    """Processes whose command line has this word, or that run the child's script for nobody."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                command = file.read().decode("utf-8", "replace")
            with open(f"/proc/{pid}/stat") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if word in command or ("sandbox/child.py" in command and parent == 1):
            found.append(command)
    return found


def test_a_grading_process_that_dies_takes_one_submission(school, tmp_path, monkeypatch):
    """The batch goes on with a fresh process; the row says what happened, and what was graded before counts."""
    job = prepare(school, tmp_path / "grades", assignment="warmup")
    right = pool.Slot.say

    def say(slot, message):
        right(slot, message)
        if message.get("grade") == "bob":
            slot.process.kill()

    monkeypatch.setattr(pool.Slot, "say", say)
    records = {record["submission"]: record for record in run_batch(job)}
    assert len(records) == 5
    assert records["bob"]["status"] == "grader_error"
    assert records["ann"]["score"] == 20
    monkeypatch.setattr(pool.Slot, "say", right)
    assert {record["submission"]: record["score"] for record in run_batch(job)}[
        "bob"
    ] == 12  # such a record is not final


def test_where_the_command_is_typed_does_not_matter(school, tmp_path):
    """A submission called json.py, in the folder where the teacher works, is not imported by the grader."""
    for name in ("ann", "bob"):
        (school / f"{name}.py").unlink()
    for name in ("json", "hmac", "numpy"):
        (school / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    command = [sys.executable, "-m", "numpynet", "grade", ".", "-o", "../grades", "--assignment", "warmup"]
    assert subprocess.run(command, cwd=school, stdout=subprocess.DEVNULL).returncode == 0
    assert not (tmp_path / "imported").exists()
    assert len(rows_of(tmp_path / "grades" / "grades.csv")) == 6


def test_cells_are_no_formulas():
    record = {
        "submission": "=HYPERLINK(1)", "status": "graded", "score": 1.5, "max_score": 2, "outline": [["1", 2]], "tasks": [],
        "seconds": 1, "sandbox": [], "flags": ["+x", "a,b"], "shipped": 0, "similarity": 0, "similar_to": "@x", "seed": -1,
        "message": 'a "quoted"\nline',
    }  # fmt: skip
    ((header, *_), row) = (list(csv.reader(io.StringIO(grades_csv([record]))))[k] for k in (0, 1))
    assert header == "submission"
    assert row[0] == "'=HYPERLINK(1)"
    assert row[-1] == 'a "quoted" line'
    assert row[7] == "'+x; a,b"
    assert harmless("plain") == "plain"
    assert harmless("ann; =1+1;@x") == "ann; '=1+1;'@x"  # where a semicolon ends a cell
    assert harmless("\uff1d1") == "'\uff1d1"
    assert harmless("opens files; uses the network; a-b") == "opens files; uses the network; a-b"


def test_the_summary_of_a_class_of_strange_names():
    record = {
        "submission": "<script>", "status": "grader_error", "score": 0.0, "max_score": 2, "outline": [["1", 2]], "tasks": [],
        "flags": ["<b>"], "shipped": 0.9, "similarity": 0.9, "similar_to": "<i>", "message": "it failed",
    }  # fmt: skip
    page = summary_page("Warm-up", [record])
    assert "<script>" not in page
    assert "90% of it is like what numpynet ships" in page
