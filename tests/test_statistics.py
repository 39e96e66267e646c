"""Means with intervals: against tables, by hand, and by how often they are right."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.statistics import Interval, t_interval, t_quantile

# Student's t, as any textbook prints it: df, 0.975 and 0.995.
TABLE = [
    (1, 12.706, 63.657),
    (2, 4.303, 9.925),
    (3, 3.182, 5.841),
    (4, 2.776, 4.604),
    (5, 2.571, 4.032),
    (7, 2.365, 3.499),
    (10, 2.228, 3.169),
    (15, 2.131, 2.947),
    (30, 2.042, 2.750),
    (60, 2.000, 2.660),
    (120, 1.980, 2.617),
]

numbers = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12)


@pytest.mark.parametrize(("df", "q975", "q995"), TABLE)
def test_quantiles_are_those_of_the_table(df, q975, q995):
    assert round(t_quantile(df), 3) == q975
    assert round(t_quantile(df, 0.995), 3) == q995


@given(st.floats(0.501, 0.9999))
def test_quantiles_of_one_and_two_degrees_have_closed_forms(probability):
    assert t_quantile(1, probability) == pytest.approx(math.tan(math.pi * (probability - 0.5)), rel=1e-9)
    a = 2 * probability - 1
    assert t_quantile(2, probability) == pytest.approx(a * math.sqrt(2 / (1 - a * a)), rel=1e-9)


def test_quantiles_fall_to_those_of_the_normal_law():
    quantiles = [t_quantile(df) for df in (*range(1, 40), 400, 4000)]
    assert all(a > b for a, b in zip(quantiles, quantiles[1:]))
    assert quantiles[-1] == pytest.approx(1.959964, abs=1e-3)  # the difference is about 2.4 / df


@pytest.mark.parametrize(
    "wrong",
    [
        (0, 0.975),
        (-3, 0.975),
        (4, 0.5),
        (4, 0.2),
        (4, 1.0),
        (4, math.nan),
        (2.5, 0.975),
        (math.nan, 0.975),
        (math.inf, 0.975),
    ],
)
def test_quantiles_that_do_not_exist_are_refused(wrong):
    with pytest.raises(ValueError, match=r"df must be an integer >= 1 and probability in \(0\.5, 1\)"):
        t_quantile(*wrong)


def test_what_is_remembered_of_a_quantile_does_not_depend_on_how_its_arguments_are_written():
    """Once 3 had been asked for, 3.0 was answered, and else refused; an array of one probability was refused at all."""
    for df, probability in [(3.0, 0.99), (np.int64(3), np.float64(0.99)), (3, np.array(0.99)), (3, 0.99)]:
        quantile = t_quantile(df, probability)
        assert type(quantile) is float
        assert quantile == pytest.approx(4.541, abs=5e-4)


def test_an_interval_by_hand():
    interval = t_interval([2.0, 4.0, 9.0])  # mean 5; squares 9, 1, 16 add to 26, over n - 1 is 13
    assert interval.mean == 5.0
    assert interval.n == 3
    assert interval.std == pytest.approx(math.sqrt(13))
    assert interval.half_width == pytest.approx(4.302653 * math.sqrt(13 / 3), rel=1e-6)
    assert interval.text(scale=1) == "5.00 ± 8.96"
    assert interval.text(scale=1, digits=1, sign=True) == "+5.0 ± 9.0"
    assert not interval.excludes_zero


def test_a_single_value_has_no_interval():
    interval = t_interval([0.25])
    assert (interval.mean, interval.n) == (0.25, 1)
    assert math.isnan(interval.half_width)
    assert math.isnan(interval.std)
    assert not interval.excludes_zero  # nothing is known of its spread
    assert interval.text() == "25.00"
    assert interval.text(sign=True) == "+25.00"


@pytest.mark.parametrize(
    ("mean", "half_width", "excludes"),
    [(1.0, 0.9, True), (-1.0, 0.9, True), (1.0, 1.1, False), (-1.0, 1.1, False), (1.0, 1.0, False), (0.0, 0.0, False)],
)
def test_zero_is_outside_only_if_the_interval_ends_before_it(mean, half_width, excludes):
    assert Interval(mean, half_width, 1.0, 5).excludes_zero is excludes


@given(numbers, st.floats(-100, 100), st.floats(0.01, 100))
def test_shifting_and_scaling_the_values_shifts_and_scales_the_interval(values, shift, scale):
    before, after = t_interval(values), t_interval(shift + scale * np.array(values))
    largest = scale * max(map(abs, values)) + abs(shift) + 1e-300
    assert after.mean == pytest.approx(shift + scale * before.mean, abs=1e-12 * largest)
    assert after.half_width == pytest.approx(scale * before.half_width, rel=1e-6, abs=1e-10 * largest)


@given(numbers, st.randoms(use_true_random=False))
def test_the_order_of_the_values_does_not_matter(values, random):
    mixed = random.sample(values, len(values))
    assert t_interval(mixed).mean == pytest.approx(t_interval(values).mean, abs=1e-9)
    assert t_interval(mixed).half_width == pytest.approx(t_interval(values).half_width, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("wrong", [[], np.zeros((2, 3)), 3.0])
def test_values_must_be_a_list(wrong):
    with pytest.raises(ValueError, match=r"values must be a list of at least one number, got shape"):
        t_interval(wrong)


def test_nan_is_not_hidden():
    assert math.isnan(t_interval([1.0, math.nan, 2.0]).mean)
    assert not t_interval([1.0, math.nan]).excludes_zero


@pytest.mark.parametrize("n", [2, 5, 9])
def test_95_of_100_intervals_hold_the_mean(n):
    # The number of hits among m trials is binomial with probability 0.95 exactly, for normal values. Hoeffding bounds
    # the share: |share - 0.95| > sqrt(ln(2 / 1e-9) / 2 m) = 3.2724 / sqrt(m) happens for one seed in 10^9.
    m = 20_000
    rng = np.random.default_rng(n)
    values = 3.0 + 2.0 * rng.standard_normal((m, n))
    half_width = t_interval(values[0]).half_width / values[0].std(ddof=1) * values.std(axis=1, ddof=1)
    share = np.mean(np.abs(values.mean(axis=1) - 3.0) <= half_width)
    assert abs(share - 0.95) <= 3.2724 / math.sqrt(m)
    for row, expected in zip(values[:20], half_width):  # the shortcut above is what t_interval does
        assert t_interval(row).half_width == pytest.approx(expected)


def test_the_normal_quantile_would_fail_the_count():
    rng = np.random.default_rng(5)
    values = rng.standard_normal((20_000, 5))
    too_narrow = 1.96 * values.std(axis=1, ddof=1) / math.sqrt(5)
    assert np.mean(np.abs(values.mean(axis=1)) <= too_narrow) < 0.95 - 3.2724 / math.sqrt(20_000)
