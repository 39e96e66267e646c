"""The article's example: each misbehaviour is there, and the right version has none of it."""

import itertools
import math
import re

import numpy as np
import pytest

from numpynet.data.dataset import Split
from numpynet.equations.dropout import inverted_dropout_forward
from numpynet.equations.losses import softmax_cross_entropy_forward
from numpynet.equations.masks import sample_mask
from numpynet.experiments import document_dropout as article
from numpynet.network import MLP

SEPARABLE = Split(np.eye(10).repeat(12, axis=0), np.arange(10).repeat(12))


@pytest.mark.equation("D29")
@pytest.mark.parametrize("drop_prob", [0.5, 0.2, 0.7])
def test_the_mask_comes_back_in_place_of_the_masked_values(drop_prob):
    h = np.random.default_rng(0).standard_normal((50, 7))
    wrong, wrong_of_0 = (
        article.dropout_that_returns_the_mask(a, drop_prob, np.random.default_rng(1)) for a in (h, 0 * h)
    )
    assert set(np.unique(wrong)) == {0.0, 1.0}
    assert np.array_equal(wrong, wrong_of_0)
    mask = sample_mask(np.random.default_rng(1), h.shape, 1 - drop_prob, dtype=h.dtype)
    right, _ = inverted_dropout_forward(h, mask, 1 - drop_prob)
    assert np.array_equal(right, np.where(mask == 1, h / (1 - drop_prob), 0))


@pytest.mark.equation("D29")
@pytest.mark.parametrize("keep_prob", [0.5, 0.8, 0.3])
@pytest.mark.parametrize("n_classes", [2, 4, 7])
def test_the_loss_of_random_bits_is_the_closed_form(n_classes, keep_prob):
    rows = np.array(list(itertools.product([0.0, 1.0], repeat=n_classes)))
    probability = np.where(rows == 1, keep_prob, 1 - keep_prob).prod(axis=1)
    for label in range(n_classes):
        losses = [softmax_cross_entropy_forward(row[None], np.array([label]))[0] for row in rows]
        assert probability @ losses == pytest.approx(article.returned_mask_loss(n_classes, keep_prob), rel=1e-12)


@pytest.mark.equation("D29")
def test_no_gradient_passes_and_no_parameter_moves():
    run = article.train_with_the_mask_returned(SEPARABLE, MLP((10, 8, 10)), steps=200, lr=0.5)
    assert run.moved == 0
    # Mean of 200 * 120 losses in [ln(10) - 1, ln(1 + 9 e)], a range below 2: Hoeffding at 1e-9.
    assert np.mean(run.losses) == pytest.approx(2.411681, abs=3.2724 * 2 / np.sqrt(200 * 120))
    assert article.returned_mask_loss(10, 0.5) == pytest.approx(2.411681, abs=5e-7)
    assert article.returned_mask_loss(10, 0.5) > math.log(10)  # worse than guessing
    right = article.train_with_hidden_dropout(SEPARABLE, MLP((10, 8, 10), keep_prob=0.8), steps=5, lr=0.5)
    assert right.moved > 0.01


def test_the_example_as_printed_runs_only_when_the_batch_fits():
    rng = np.random.default_rng(0)
    fitting = []
    for n in (64, 100, 391, 392, 393, 784):
        try:
            article.dropout_as_printed(np.zeros((n, 10)), 0.5, rng)
        except ValueError:
            continue
        fitting.append(n)
    assert fitting == [392, 784]
    assert [n for n in range(1, 1200) if 10 * n % 784 == 0] == [392, 784, 1176]


def test_the_example_as_printed_overwrites_its_argument_and_the_right_one_does_not():
    h = np.random.default_rng(0).uniform(0.2, 0.8, (392, 10))
    taken = h.copy()
    out = article.dropout_as_printed(taken, 0.4, np.random.default_rng(1))
    assert np.shares_memory(out, taken)
    assert set(np.unique(taken)) == {0.0, 1.0}
    kept = h.copy()
    inverted_dropout_forward(kept, sample_mask(np.random.default_rng(1), h.shape, 0.6, dtype=h.dtype), 0.6)
    assert np.array_equal(kept, h)


@pytest.mark.parametrize("keep_prob", [0.8, 0.5, 0.3])
def test_without_a_scale_the_mean_is_not_kept(keep_prob):
    h = np.random.default_rng(0).uniform(0.2, 0.8, (1000, 100))
    unscaled = article.dropout_without_scale(h, keep_prob, np.random.default_rng(1))
    scaled, _ = inverted_dropout_forward(
        h, sample_mask(np.random.default_rng(1), h.shape, keep_prob, dtype=h.dtype), keep_prob
    )
    bound = 3.2724 / np.sqrt(h.size)  # Hoeffding at 1e-9 for numbers in [0, 1]
    assert unscaled.mean() == pytest.approx(keep_prob * h.mean(), abs=bound)
    assert scaled.mean() == pytest.approx(h.mean(), abs=bound / keep_prob)
    assert abs(unscaled.mean() - h.mean()) > 5 * bound


@pytest.mark.equation("D28")
@pytest.mark.parametrize(("drop_prob", "floor"), [(0.5, 0.831232), (0.2, 0.185445), (0.7, 1.377806)])
@pytest.mark.parametrize("scaled", [False, True])
def test_dropout_on_logits_has_a_floor(drop_prob, floor, scaled):
    assert article.logit_dropout_floor(10, drop_prob) == pytest.approx(floor, abs=5e-7)
    labels = np.array([3, 8])
    best = np.where(np.arange(10) == labels[:, None], 60.0, -60.0)
    assert article.logit_dropout_loss(best, labels, 1 - drop_prob, scaled=scaled) == pytest.approx(floor, abs=5e-7)
    for seed in range(20):
        logits = 10 * np.random.default_rng(seed).standard_normal((2, 10)) + best / 10
        assert article.logit_dropout_loss(logits, labels, 1 - drop_prob, scaled=scaled) > floor


@pytest.mark.equation("D28", "N24")
def test_a_net_with_dropout_on_its_logits_gets_stuck_at_the_floor_and_one_with_hidden_dropout_does_not():
    wrong = article.train_with_logit_dropout(SEPARABLE, MLP((10, 30, 10)), keep_prob=0.5, steps=600, lr=1.0)
    right = article.train_with_hidden_dropout(SEPARABLE, MLP((10, 30, 10), keep_prob=0.5), steps=600, lr=1.0)
    floor = article.logit_dropout_floor(10, 0.5)
    # A step's loss is a mean of 120, mostly within [0, ln 10]; the last fifth are 120 steps: Hoeffding at 1e-9.
    assert len(wrong.late_losses) == len(right.late_losses) == 120
    assert np.mean(wrong.late_losses) > floor - 3.2724 * math.log(10) / 120
    assert np.mean(wrong.late_losses) > 5 * np.mean(right.late_losses)
    assert wrong.evaluation_loss < 0.05  # nothing is wrong with the data
    assert np.mean(right.late_losses) < 0.2


@pytest.mark.equation("N24")
@pytest.mark.parametrize("keep_prob", [0.5, 0.8])
def test_dropout_on_logits_loses_the_invariance_under_shifts(keep_prob):
    rng = np.random.default_rng(2)
    logits, labels = rng.standard_normal((6, 10)), rng.integers(0, 10, 6)
    plain = [softmax_cross_entropy_forward(logits + c, labels)[0] for c in (0, 3)]
    assert plain[0] == pytest.approx(plain[1], abs=1e-12)
    dropped = [article.logit_dropout_loss(logits + c, labels, keep_prob) for c in (0, 3)]
    assert abs(dropped[1] - dropped[0]) > 0.1
    assert article.logit_dropout_loss(logits, labels, 1.0) == pytest.approx(float(plain[0]), abs=1e-12)


def test_the_table_holds_every_misbehaviour_with_its_number():
    findings = {f.what: f for f in article.side_by_side(steps=20)}
    assert len(findings) == 10
    assert findings["entries of the output"].wrong == "[0.0, 1.0]"
    assert (findings["its argument afterwards"].wrong, findings["its argument afterwards"].right) == (
        "overwritten",
        "unchanged",
    )
    assert findings["largest change of a parameter in 200 steps"].wrong == "0"
    assert "2.4117" in findings["mean loss of these steps (expected)"].wrong
    assert "0.831232" in findings["training loss after 20 steps, classes apart"].wrong


def test_drawn_losses_come_with_their_standard_error():
    """0.8304 beside "expected: >= 0.831232" looked like a contradiction. The error must have the size of the misses."""
    n, misses = 24, []
    for seed in range(n):
        found = {f.what: f for f in article.side_by_side(seed, steps=10)}
        text = found["mean loss of these steps (expected)"].wrong
        mean, error, expected = map(float, re.fullmatch(r"(\S+), standard error (\S+) \((\S+)\)", text).groups())
        misses.append((mean - expected) / error)
        for text in found["training loss after 10 steps, classes apart"][1:]:
            assert re.match(r"\d\.\d{4}, standard error \d\.\d{4}", text)
    assert 0.5 < np.sqrt(np.mean(np.square(misses))) < 1.6  # of 24 normal numbers, but for 1 in 10,000 on either side


def test_the_report_says_what_was_meant_and_what_goes_wrong():
    report = article.report(3, hidden=9, epochs=1, steps=20)
    assert [name for name, _ in report.tables[0].rows] == ["training", "test"]
    assert all(0 < float(accuracy) < 100 for _, accuracy in report.tables[0].rows)
    assert "0.831232" in report.remark
    assert report.settings["seed"] == 3
