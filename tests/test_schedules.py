"""Learning-rate schedules are their formulas, and say so when they cannot be."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.schedules import Constant, Cosine, Exponential, Step, Warmup

rates = st.floats(1e-6, 10)
factors = st.floats(0.1, 1)
lengths = st.integers(1, 60)
times = st.integers(0, 200)


@given(rates, times)
def test_constant(lr, t):
    assert Constant(lr)(t) == lr


@pytest.mark.equation("O10")
@given(rates, factors, lengths, times)
def test_step_falls_by_the_factor_after_every_so_many_steps(lr, factor, every, t):
    schedule = Step(lr, factor, every)
    expected = lr
    for _ in range(t // every):
        expected *= factor
    assert math.isclose(schedule(t), expected, rel_tol=1e-12)
    first_of_stair = t - t % every
    assert schedule(t) == schedule(first_of_stair) == schedule(first_of_stair + every - 1)


@pytest.mark.equation("O11")
@given(rates, factors, times)
def test_exponential_is_a_step_of_length_one(lr, factor, t):
    schedule = Exponential(lr, factor)
    assert schedule(0) == lr
    assert math.isclose(schedule(t + 1), factor * schedule(t), rel_tol=1e-12)
    assert schedule(t) == Step(lr, factor, every=1)(t)


@pytest.mark.equation("O12")
@given(rates, st.floats(0, 1), lengths)
def test_cosine_is_symmetric_and_its_mean_lies_in_the_middle(lr, share, steps):
    lr_min = share * lr
    schedule = Cosine(lr, steps, lr_min)
    values = np.array([schedule(t) for t in range(steps + 1)])
    assert math.isclose(values[0], lr, rel_tol=1e-12)
    assert math.isclose(values[-1], lr_min, rel_tol=1e-12, abs_tol=1e-16 * lr)
    np.testing.assert_allclose(values + values[::-1], lr + lr_min, rtol=1e-12)
    assert math.isclose(values.mean(), (lr + lr_min) / 2, rel_tol=1e-12)
    assert (np.diff(values) <= 0).all()
    assert [schedule(steps + t) for t in (1, 2, 100)] == [schedule(steps)] * 3, "past the end it stays at lr_min"


@pytest.mark.equation("O12")
def test_cosine_between_the_ends():
    schedule, quarter = Cosine(0.9, 8, 0.1), math.sqrt(2) / 2
    assert math.isclose(schedule(2), 0.1 + 0.4 * (1 + quarter), rel_tol=1e-14)
    assert math.isclose(schedule(6), 0.1 + 0.4 * (1 - quarter), rel_tol=1e-14)


@pytest.mark.equation("O13")
@pytest.mark.parametrize(
    "base", [Constant(0.3), Step(0.3, 0.5, 4), Exponential(0.3, 0.9), Cosine(0.3, 20, 0.01)], ids=repr
)
@given(steps=lengths, t=times)
def test_warm_up_climbs_to_the_base_and_then_is_the_base(base, steps, t):
    schedule = Warmup(steps, base)
    climb = [schedule(s) for s in range(steps)]
    np.testing.assert_allclose(climb, 0.3 * np.arange(1, steps + 1) / steps, rtol=1e-12)
    assert math.isclose(climb[-1], 0.3, rel_tol=1e-15), "the full rate is reached in the last step of the warm-up"
    assert schedule(steps + t) == base(t)


def test_equal_schedules_print_alike_and_cannot_change():
    schedule = Cosine(np.float64(0.1), np.int64(10))
    assert repr(schedule) == "Cosine(lr=0.1, steps=10, lr_min=0.0)"
    assert schedule == Cosine(0.1, 10)
    assert type(schedule(3)) is float
    assert Constant(np.float32(0.5)) == Constant(0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule.lr = 0.2


@pytest.mark.parametrize(
    "make, error, words",
    [
        (lambda: Constant(0), ValueError, "lr is 0"),
        (lambda: Constant(-0.1), ValueError, "lr is -0.1"),
        (lambda: Constant(math.nan), ValueError, "lr is nan"),
        (lambda: Constant("fast"), TypeError, "lr must be a number, got 'fast'"),
        (lambda: Constant(True), TypeError, "lr must be a number"),
        (lambda: Step(0.1, 0.0, 10), ValueError, "factor is 0"),
        (lambda: Step(0.1, 0.5, 0), ValueError, "every is 0"),
        (lambda: Step(0.1, 0.5, 2.5), TypeError, "every must be an integer"),
        (lambda: Exponential(0.1, math.inf), ValueError, "factor is inf"),
        (lambda: Cosine(0.1, -3), ValueError, "steps is -3"),
        (lambda: Cosine(0.1, 10, 0.2), ValueError, "lr_min is 0.2"),
        (lambda: Cosine(0.1, 10, None), TypeError, "lr_min must be a number"),
        (lambda: Warmup(2.5, Constant(0.1)), TypeError, "steps must be an integer"),
        (lambda: Warmup(2, 0.1), TypeError, "base must be a schedule"),
        (lambda: Warmup(2, Constant), TypeError, "base must be a schedule"),
    ],
)
def test_wrong_settings_are_refused_by_name(make, error, words):
    with pytest.raises(error, match=words):
        make()
