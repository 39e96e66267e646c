"""The report: readable text at four levels, JSON without NaN, a picture, and a command that repeats the check."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from numpynet.gradcheck import (
    DETAILS,
    MUTANTS,
    REFERENCE,
    ZOO,
    GradientMismatch,
    Sizes,
    bug,
    check_layers,
    check_pair,
    dropout_pair,
)
from numpynet.gradcheck.report import Report


def report_of(id, seed=20431):
    return check_layers(bug(id).plant(), seed=seed, stop=True)[-1]


def test_the_text_says_where_how_much_why_and_how_to_repeat_it():
    report = report_of("9")
    lines = report.text().splitlines()
    assert lines[0].startswith("GradientMismatch  layer 3 of 7  dropout(keep_prob=")
    assert lines[0].endswith("d loss / d h")
    assert re.search(r"worst entry \[\d+, \d+\]:  yours  -?\d+\.\d{6}   expected  -?\d+\.\d{6}   ratio 0\.", lines[1])
    assert "exactly the dropped ones" in lines[2]
    assert f"yours = {report.q:.4f} x expected on every wrong entry, and that is keep_prob" in lines[3]
    assert lines[4].startswith("  most likely: the 1/keep_prob scale is missing in backward")
    assert "passed before: layers softmax_cross_entropy, relu; " in lines[5]
    assert lines[6] == "  method: complex step, h 1e-30, tolerance 1e-09"
    assert lines[7].startswith("  reproduce: numpynet check FILE.py --task dropout --seed 20431 --shape ")


def test_each_level_of_detail_says_more_and_an_examination_is_not_told_the_cause():
    report = report_of("9")
    off, where, ratio, cause = (report.text(detail) for detail in DETAILS)
    assert off == "FAIL  dropout"
    assert "worst entry" in where
    assert "yours" not in where
    assert "yours" in ratio
    assert "most likely" not in ratio
    assert "keep_prob" not in ratio.splitlines()[3]
    assert "most likely" in cause
    dicts = [report.to_dict(detail) for detail in DETAILS]
    assert [("index" in d, "ratio" in d, "hypotheses" in d) for d in dicts] == [
        (False, False, False),
        (True, False, False),
        (True, True, False),
        (True, True, True),
    ]


@pytest.mark.parametrize("planted", (*ZOO, *MUTANTS), ids=lambda b: b.id)
def test_every_report_becomes_text_and_strict_json_at_every_level(planted):
    [report] = check_layers(planted.plant(), seed=9, only=planted.pair)
    for detail in DETAILS:
        assert report.text(detail)
        read = json.loads(report.to_json(detail), parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
        assert read["version"] == 1
        assert read["status"] == "fail"
    assert read["hypotheses"][0]["id"] == planted.expected
    assert set(read["hypotheses"][0]) == {"id", "text", "residual", "score"}
    assert read["reproduce"] in report.text()


def test_json_replaces_infinity_by_null_and_a_flag():
    report = Report("fail", "relu", "relu", kind="gradient", array="dz", analytic=float("inf"), numeric=float("nan"))
    read = json.loads(report.to_json())
    assert read["analytic"] is None
    assert read["numeric"] is None
    assert {"analytic is not finite", "numeric is not finite"} <= set(read["flags"])


@pytest.mark.parametrize("id", ["9", "15", "20e", "24c", "17"])
def test_seed_and_shape_of_a_report_repeat_it(id):
    report = report_of(id, seed=77)
    command = re.fullmatch(r"numpynet check FILE.py --task (\w+) --seed (\d+) --shape ([\d,]+)", report.reproduce())
    task, seed, shape = command.groups()
    sizes = Sizes(*map(int, shape.split(",")))
    [again] = check_layers(bug(id).plant(), seed=int(seed), sizes=sizes, only=task)
    assert (again.index, again.analytic, again.numeric) == (report.index, report.analytic, report.numeric)
    assert again.q == report.q


def test_the_figure_shows_both_gradients_and_where_they_differ():
    report = report_of("15")
    figure = report.figure()
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[:3] == ["yours", "expected", "yours - expected"]
    difference = figure.axes[2].images[0].get_array()
    np.testing.assert_allclose(difference, report.analytic_array - report.numeric_array)
    [marker] = figure.axes[2].lines
    assert (marker.get_ydata()[0], marker.get_xdata()[0]) == report.index


def test_the_figure_of_a_vector_and_of_nothing():
    assert len(report_of("2b").figure().axes) == 4  # three panels and the colour bar
    with pytest.raises(ValueError, match="nothing to draw"):
        report_of("28a").figure()


def test_a_failed_check_raises_with_the_text_as_a_note():
    report = report_of("13")
    with pytest.raises(GradientMismatch) as caught:
        report.raise_if_failed()
    assert "unit mask is not applied" in "".join([str(caught.value), *getattr(caught.value, "__notes__", [])])
    assert caught.value.report is report
    passed = check_pair(dropout_pair(REFERENCE.dropout_forward, REFERENCE.dropout_backward))
    assert passed.raise_if_failed() is passed


def test_a_report_of_success_says_what_was_done():
    report = check_pair(dropout_pair(REFERENCE.dropout_forward, REFERENCE.dropout_backward))
    assert re.fullmatch(r"PASS  dropout  \(6 stages, worst error \de-1\d, complex step\)", report.text())
    assert report.to_dict()["hypotheses"] == []


def test_an_unknown_level_is_refused():
    with pytest.raises(ValueError, match="off, where, ratio, cause"):
        Report("pass", "relu", "relu").text("loud")


def test_corrected_code_is_never_printed():
    for planted in ZOO:
        assert "def " not in planted.explanation
        assert "return " not in planted.explanation.replace("return statement", "")
