"""What an experiment may say: pairs, intervals, both ratios, and stopping steps that are only lower bounds."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.lottery.analysis import NUMBERS, Cell, cells, compare, ratio_text, stop_text
from numpynet.statistics import RatioInterval, mean_of_ratios, ratio_of_means, t_quantile


def row(trial, arm="ticket", level=0, draw=0, censored=False, **numbers):
    base = dict.fromkeys(NUMBERS, 0.5) | numbers
    return base | {"trial": trial, "arm": arm, "level": level, "draw": draw, "censored": censored, "live_units": [3, 2]}


def cell(accuracy, steps=None, censored=None, trials=None):
    n = len(accuracy)
    steps = [10.0] * n if steps is None else steps
    values = {"test_accuracy_stop": np.array(accuracy), "stop_step": np.array(steps, float)}
    return Cell(tuple(trials or range(n)), values, np.array([False] * n if censored is None else censored))


def test_a_paired_difference_by_hand():
    both = compare(cell([0.61, 0.64, 0.60, 0.63]), cell([0.60, 0.62, 0.61, 0.60]))
    d = [0.01, 0.02, -0.01, 0.03]  # mean 0.0125, sd 0.017078, t(.975, 3) 3.182446
    assert both.difference.mean == pytest.approx(0.0125)
    assert both.difference.half_width == pytest.approx(3.182446305 * np.std(d, ddof=1) / 2)
    assert (both.positive, both.difference.n) == (3, 4)


@given(st.permutations(range(6)), st.integers(0, 10**6))
def test_pairs_are_made_by_trial_and_not_by_position(order, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random(6), rng.random(6)
    straight = compare(cell(a), cell(b))
    mixed = compare(cell(a), cell(b[list(order)], trials=list(order)))
    assert mixed.difference == straight.difference
    assert straight.difference.mean == pytest.approx((a - b).mean())


def test_pairs_by_position_would_be_seen(monkeypatch):
    monkeypatch.setattr(Cell, "of", lambda self, name, trials: self.values[name])
    a, b = np.array([0.1, 0.5, 0.9]), np.array([0.9, 0.1, 0.5])
    assert compare(cell(a), cell(b, trials=[2, 0, 1])).difference.std > 0.3  # paired by trial it is 0


def test_only_trials_that_both_have_are_compared():
    both = compare(cell([0.5, 0.6, 0.7]), cell([0.4, 0.4], trials=[2, 0]))
    assert (both.difference.n, both.difference.mean) == (2, pytest.approx(0.2))
    assert compare(cell([0.5]), cell([0.4], trials=[7])) is None


def test_the_two_ratios_differ_where_they_should():
    a, b = np.array([100.0, 400.0]), np.array([100.0, 200.0])
    assert mean_of_ratios(a, b).value == 1.5
    assert ratio_of_means(a, b).value == pytest.approx(5 / 3)


def test_the_intervals_of_both_ratios_by_hand():
    a, b = np.array([10.0, 30.0, 20.0]), np.array([20.0, 20.0, 10.0])
    logs = np.log([0.5, 1.5, 2.0])
    half = t_quantile(2) * logs.std(ddof=1) / math.sqrt(3)
    ratio = mean_of_ratios(a, b)
    assert (ratio.value, ratio.n) == (pytest.approx(4 / 3), 3)
    assert (ratio.low, ratio.high) == (
        pytest.approx(math.exp(logs.mean() - half)),
        pytest.approx(math.exp(logs.mean() + half)),
    )
    without = np.array([50 / 30, 30 / 30, 40 / 40])  # one pair left out
    std = math.sqrt(2 / 3 * ((without - without.mean()) ** 2).sum())
    ratio = ratio_of_means(a, b)
    assert ratio.value == pytest.approx(60 / 50)
    assert (ratio.low, ratio.high) == (
        pytest.approx(1.2 - t_quantile(2) * std),
        pytest.approx(1.2 + t_quantile(2) * std),
    )


def test_a_single_pair_has_no_interval():
    for ratio in (mean_of_ratios([3.0], [2.0]), ratio_of_means([3.0], [2.0])):
        assert (ratio.value, ratio.text()) == (1.5, "1.50")
        assert math.isnan(ratio.low)


@given(st.floats(0.1, 10), st.lists(st.floats(1, 1e3), min_size=2, max_size=8))
def test_proportional_numbers_have_their_factor_as_both_ratios(factor, b):
    for ratio in (mean_of_ratios(factor * np.array(b), b), ratio_of_means(factor * np.array(b), b)):
        assert [ratio.value, ratio.low, ratio.high] == pytest.approx([factor] * 3)


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([1.0], [0.0]), ([1.0, 2.0], [1.0]), ([-1.0], [1.0]), ([[1.0]], [[1.0]])]
)
def test_ratios_need_positive_pairs(a, b):
    for ratio in (mean_of_ratios, ratio_of_means):
        with pytest.raises(ValueError, match="positive numbers"):
            ratio(a, b)


@pytest.mark.parametrize(
    ("first", "second", "bound"),
    [([0, 0], [0, 0], ""), ([0, 0], [0, 1], "at least"), ([1, 0], [0, 0], "at most"), ([1, 0], [0, 1], "unclear")],
)
def test_censored_steps_are_said_wherever_they_enter(first, second, bound):
    a, b = cell([0.5, 0.6], [50, 60], np.array(first, bool)), cell([0.5, 0.6], [90, 80], np.array(second, bool))
    both = compare(a, b)
    assert both.bound == bound
    shown = "not told (both censored)" if bound == "unclear" else f"{bound} {both.ratio_of_means.text()}".strip()
    assert ratio_text(both.ratio_of_means, both.bound) == shown
    assert ("at least" in stop_text(b)) is any(second)
    assert stop_text(b).endswith(f"({sum(second)} of 2 censored)") is any(second)


def test_a_training_that_is_best_before_its_first_step_has_no_ratio():
    both = compare(cell([0.5, 0.6], [0, 60]), cell([0.5, 0.6], [50, 60]))
    assert both.mean_of_ratios is both.ratio_of_means is None
    assert ratio_text(None, "at least") == "none"


def test_draws_are_averaged_within_their_replicate():
    rows = [row(0), row(1)] + [
        row(t, "reinit", 0, d, test_accuracy_stop=a) for t, d, a in ((0, 0, 0.2), (0, 1, 0.4), (1, 0, 0.6), (1, 1, 0.8))
    ]
    found = cells(rows)
    assert found[0, "reinit"].values["test_accuracy_stop"] == pytest.approx([0.3, 0.7])
    assert compare(found[0, "ticket"], found[0, "reinit"]).difference.n == 2  # replicates, and not draws
    assert found[0, "ticket"].values["live_units_2"].tolist() == [2.0, 2.0]


def test_a_replicate_with_a_missing_draw_waits():
    rows = [row(0, "reinit", 0, 0), row(0, "reinit", 0, 1), row(1, "reinit", 0, 0)]
    assert cells(rows)[0, "reinit"].trials == (0,)


def test_any_censored_draw_flags_its_replicate():
    rows = [
        row(0, "reinit", 0, 0),
        row(0, "reinit", 0, 1, censored=True),
        row(1, "reinit", 0, 0),
        row(1, "reinit", 0, 1),
    ]
    assert cells(rows)[0, "reinit"].censored.tolist() == [True, False]


def test_the_text_of_a_ratio():
    assert RatioInterval(1.456, 1.2, 1.7, 5).text() == "1.46 (1.20 to 1.70)"
