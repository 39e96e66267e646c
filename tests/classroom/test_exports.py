"""The exports: golden files, and the field lists of the systems that read them.

The golden files are written anew by ``python -m tests.classroom.test_exports``, to be read before they are committed.
"""

import base64
import csv
import io
import json
import math
import os
import stat
import subprocess
import sys
import xml.etree.ElementTree as ET
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.classroom.exports import result_text
from numpynet.classroom.exports.github import github_results
from numpynet.classroom.exports.otter import otter_csv
from numpynet.classroom.exports.prairielearn import prairielearn_results
from numpynet.cli import main
from tests.classroom.folder import HONEST, ZEROS

GOLDEN = Path(__file__).with_name("golden")
SUFFIX = {"gradescope": "json", "prairielearn": "json", "github": "json", "junit": "xml"}


def check(name, status, points, max_points, text=""):
    feedback = {"off": "", "where": text[:20], "ratio": text, "cause": text}
    return {"name": name, "status": status, "points": points, "max_points": max_points, "feedback": feedback}


def task(id, title, *checks):
    points = sum(c["points"] for c in checks)
    status = "wait" if any(c["status"] == "wait" for c in checks) else "fail"
    return {
        "id": id,
        "title": title,
        "status": status,
        "points": points,
        "max_points": sum(c["max_points"] for c in checks),
        "checks": list(checks),
    }


def records():
    outline = [["1", 5.0], ["2.1", 3.5]]
    common = {
        "assignment": "warmup",
        "title": "Warm-up",
        "max_score": 8.5,
        "outline": outline,
        "sandbox": ["limits"],
        "seconds": 1.25,
    }
    mixed = [
        task(
            "1",
            "Linear",
            check("values", "pass", 2, 2),
            check("gradients", "fail", 0, 3, "dW is wrong in 3 of 9 entries <&>"),
        ),
        task(
            "2.1",
            "Dropout",
            check("values", "pass", 1.5, 1.5),
            check("gradients", "timeout", 0, 1, "it took too long"),
            check("rest", "skip", 0, 1, "needs gradients"),
        ),
    ]
    waiting = [
        task("1", "Linear", check("values", "wait", 0, 2, "not written yet"), check("gradients", "skip", 0, 3)),
        task("2.1", "Dropout", check("values", "wait", 0, 3.5)),
    ]
    return [
        {**common, "submission": "ann, b.", "status": "graded", "message": "", "score": 3.5, "tasks": mixed},
        {**common, "submission": "=bob", "status": "ungradable", "message": "the file is empty", "score": 0.0, "tasks": []},
        {**common, "submission": "eve", "status": "graded", "message": "", "score": 0.0, "tasks": waiting},
    ]  # fmt: skip


def golden_texts():
    for format_, suffix in SUFFIX.items():
        for record, name in zip(records(), ("mixed", "ungradable", "waiting")):
            yield f"{format_}_{name}.{suffix}", result_text(format_, record, "ratio")
    yield "final_grades.csv", otter_csv(records())


@pytest.mark.parametrize(("name", "text"), list(golden_texts()), ids=lambda value: value if len(value) < 40 else "")
def test_golden(name, text):
    assert (GOLDEN / name).read_bytes().decode("utf-8").replace("\r\n", "\n") == text.replace("\r\n", "\n")


def test_gradescope_fields():
    """specs.md of gradescope/autograder_samples, field by field."""
    top = {"score": (int, float), "execution_time": (int, float), "output": str, "output_format": str, "test_output_format": str,
           "test_name_format": str, "visibility": str, "stdout_visibility": str, "extra_data": dict, "tests": list}  # fmt: skip
    each = {
        "score": (int, float),
        "max_score": (int, float),
        "status": str,
        "name": str,
        "number": str,
        "output": str,
        "tags": list,
        "visibility": str,
    }
    for record in records():
        results = json.loads(result_text("gradescope", record, "ratio"))
        assert results.keys() == top.keys()
        assert all(isinstance(results[name], kind) for name, kind in top.items())
        assert results["visibility"] == "visible"
        assert results["stdout_visibility"] == "hidden"
        for test in results["tests"]:
            assert test.keys() == each.keys()
            assert all(isinstance(test[name], kind) for name, kind in each.items())
            assert test["status"] in ("passed", "failed")
            assert test["visibility"] == "visible"  # with one that is hidden students see no total
            assert "\r" not in test["output"]
        assert math.isclose(sum(test["max_score"] for test in results["tests"]), record["max_score"])
        assert math.isclose(sum(test["score"] for test in results["tests"]), results["score"])


def test_prairielearn_fields():
    """externalGrading.md: not gradable costs no attempt; points are shown only if every test has both numbers."""
    mixed, empty, waiting = (prairielearn_results(record, "ratio") for record in records())
    assert empty == {"gradable": False, "format_errors": ["the file is empty"]}
    assert waiting["gradable"] is False
    assert mixed["gradable"] is True
    assert 0 <= mixed["score"] <= 1
    assert mixed["score"] == 3.5 / 8.5
    for test in mixed["tests"]:
        assert test.keys() == {"name", "description", "points", "max_points", "message", "output", "images"}
    assert len(json.dumps(mixed)) < 1 << 20


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 0.25]), st.booleans()), min_size=1, max_size=8)
)
def test_both_totals_of_github_agree(points):
    checks = [check(f"c{k}", "pass" if passed else "fail", p * passed, p) for k, (p, passed) in enumerate(points)]
    total = sum(p for p, _ in points)
    record = {**records()[0], "tasks": [task("1", "One", *checks)], "outline": [["1", total]], "max_score": total}
    results = github_results(record, "off")
    assert results["version"] == 3
    tests = results["tests"]
    n_passed = sum(test["status"] == "pass" for test in tests)
    by_scores = sum(test["score"] for test in tests)
    by_count = n_passed / len(tests) * total if tests else 0.0
    assert math.isclose(by_count, by_scores, abs_tol=1e-9)
    assert math.isclose(by_scores, sum(p for p, passed in points if passed), abs_tol=1e-9)


def test_github_fields():
    for record in records():
        results = github_results(record, "ratio")
        assert results.keys() == {"version", "status", "message", "max_score", "tests"}
        assert results["status"] in ("pass", "fail", "error")
        assert (results["message"] is not None) == (results["status"] == "error")
        for test in results["tests"]:
            assert test.keys() == {
                "name",
                "status",
                "message",
                "test_code",
                "task_id",
                "filename",
                "line_no",
                "duration",
                "score",
                "output",
            }
            assert isinstance(test["task_id"], int)
            assert len(test["output"]) <= 500
        assert json.loads(base64.b64decode(base64.b64encode(json.dumps(results).encode()))) == results


def test_junit_counts():
    for record in records():
        (suite,) = ET.fromstring(result_text("junit", record, "ratio"))
        tags = [child.tag for case in suite for child in case]
        assert suite.get("tests") == str(len(suite))
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert suite.get(attribute) == str(tags.count(tag))
        for case in suite:
            properties = {p.get("name"): float(p.get("value")) for p in case.find("properties")}
            assert properties.keys() == {"points", "max_points"}


def test_otter_rows():
    header, first, *rows = csv.reader(io.StringIO(otter_csv(records())))
    assert header == ["file", "1", "2.1", "total_points_earned", "percent_correct", "grading_status"]
    assert first == ["points-per-question", "5", "3.5", "8.5", "1", "--"]
    assert [row[-1] for row in rows] == ["Completed", "the file is empty", "Completed"]
    assert rows[1][0] == "'=bob"


@pytest.fixture
def autograder(tmp_path, capsys):
    """The zip of the warm-up, unpacked as Gradescope does; its Python is this one."""
    assert (
        main(["autograder", "zip", "warmup", "-o", str(tmp_path / "a.zip"), "--seed-salt", "s", "--detail", "cause"])
        == 0
    )
    assert "set the assignment's points to 20" in capsys.readouterr().out
    root = tmp_path / "autograder"
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archive.extractall(root / "source")
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    for name in ("setup.sh", "run_autograder"):
        assert modes[name] & stat.S_IXUSR
        (root / "source" / name).chmod(0o755)
    (root / "venv" / "bin").mkdir(parents=True)
    (root / "submission").mkdir()
    python = root / "venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return root


def run(root):
    command = [str(root / "source" / "run_autograder")]
    subprocess.run(
        command, env={**os.environ, "AUTOGRADER_ROOT": str(root)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return json.loads((root / "results" / "results.json").read_text())


@pytest.mark.skipif(sys.platform != "linux", reason="Gradescope runs Linux")
def test_the_zip_grades_as_gradescope_runs_it(autograder):
    metadata = {"users": [{"id": 7, "email": "a@b", "name": "Ann"}], "assignment": {"total_points": "20.0"}}
    (autograder / "submission_metadata.json").write_text(json.dumps(metadata))
    (autograder / "submission" / "layers.py").write_text(HONEST.replace("dropped.T @ dy", "2 * dropped.T @ dy"))
    results = run(autograder)
    assert results["score"] == 12
    assert any("counted twice" in test["output"] for test in results["tests"])
    assert sum(test["max_score"] for test in results["tests"]) == 20
    assert "Ann" not in json.dumps(results)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Gradescope runs Linux")
def test_there_is_always_a_result(autograder):
    assert run(autograder)["score"] == 0  # nothing handed in
    (autograder / "submission" / "layers.py").write_text(ZEROS + "\nwhile True: pass\n")
    assert "too long" in run(autograder)["output"]
    (autograder / "source" / "settings.json").write_text("{")
    assert "grader failed" in run(autograder)["output"]


def test_the_scripts_are_in_order():
    from numpynet.classroom.exports.gradescope import RUN, SETUP

    for script in (RUN, SETUP):
        assert subprocess.run(["bash", "-n"], input=script.encode()).returncode == 0


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, text in golden_texts():
        (GOLDEN / name).write_text(text, encoding="utf-8", newline="")
