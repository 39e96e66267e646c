"""Schedules of the keep probability: nested masks (D24), early and late dropout (D25), and whole trainings with them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.keep_schedules import Curriculum, Early, KeepSchedule, Late, Linear
from numpynet.equations.losses import softmax_cross_entropy
from numpynet.equations.masks import sample_mask
from numpynet.network import MLP
from numpynet.optimizers import Adam
from numpynet.parameters import Parameters
from tests.checks import assert_close
from tests.strategies import keep_probs, seeds

steps = st.integers(1, 40)


@pytest.mark.equation("D24")
@given(q=keep_probs, gamma=st.sampled_from([0.01, 0.1, 1.0]), seed=seeds)
def test_a_curriculum_only_loses_units(q: float, gamma: float, seed: int) -> None:
    """With common uniform numbers the masks of later steps are subsets, bit for bit."""
    schedule = Curriculum(q, gamma)
    assert schedule(0) == 1.0
    masks = [sample_mask(np.random.default_rng(seed), (20, 30), schedule(t)) for t in (0, 1, 5, 20, 500)]
    assert np.array_equal(masks[0], np.ones((20, 30), np.float32))
    for earlier, later in zip(masks, masks[1:]):
        assert (later <= earlier).all()
    assert masks[-1].sum() < masks[0].sum()


@pytest.mark.equation("D24")
@given(q=keep_probs, t=st.integers(0, 200))
def test_a_curriculum_in_closed_form(q: float, t: int) -> None:
    schedule = Curriculum(q, gamma=0.05)
    assert_close(schedule(t), q + (1 - q) * math.exp(-0.05 * t))
    assert q < schedule(t + 1) < schedule(t) <= 1  # falls, and never below its end
    assert_close(schedule(10_000), q)


@pytest.mark.equation("D25")
@given(q=keep_probs, n=steps, t=st.integers(0, 60))
def test_early_and_late_drop_probabilities_add_up_to_a_constant(q: float, n: int, t: int) -> None:
    for early, late in ((Early(q, n), Late(q, n)), (Linear(q, 1.0, n), Linear(1.0, q, n))):
        assert_close((1 - early(t)) + (1 - late(t)), 1 - q)
    assert (Early(q, n)(t), Late(q, n)(t)) == ((q, 1.0) if t < n else (1.0, q))


@pytest.mark.equation("D25")
@given(q=keep_probs, n=steps)
def test_linear_early_dropout_ends_exactly_without_dropout(q: float, n: int) -> None:
    schedule = Linear(q, 1.0, n)
    assert schedule(0) == q and schedule(n) == 1.0 and schedule(n + 7) == 1.0
    assert_close(np.diff([schedule(t) for t in range(n + 1)]), np.full(n, (1 - q) / n))
    assert all(0 < schedule(t) <= 1 for t in range(n + 1))


def train(net: MLP, theta: Parameters, schedule: KeepSchedule | None, first: int, last: int, seed: int) -> Parameters:
    """Steps first ... last - 1 of a small training; the data of a step depend on its number alone, not on the masks."""
    theta, state = theta.copy(), Adam().init(theta.vector)
    for t in range(first, last):
        rng, mask_rng = np.random.default_rng([seed, t]), np.random.default_rng([seed, t, 1])
        x, labels = rng.normal(size=(8, 3)).astype(np.float32), rng.integers(0, 2, 8)
        now = net if schedule is None else replace(net, keep_prob=schedule(t))
        masks = None if schedule is None else now.sample_unit_masks(mask_rng, (8,))
        logits, caches = now.forward(theta, x, unit_masks=masks)
        _, cache = softmax_cross_entropy.forward(logits, labels)
        gradients = now.backward(softmax_cross_entropy.backward(1.0, cache), caches)
        Adam().step(theta.vector, gradients.vector, state, 0.01)
    return theta


@pytest.mark.equation("D25")
@pytest.mark.parametrize("schedule", [Early(0.8, 5), Linear(0.3, 1.0, 5)], ids=str)
def test_after_an_early_cut_off_training_is_plain_training_bit_for_bit(schedule: KeepSchedule) -> None:
    """At keep_prob 1 masks are drawn, multiplied and divided by, and change no bit."""
    net = MLP((3, 9, 7, 2))
    theta = net.init(np.random.default_rng(0))
    after = train(net, theta, schedule, 0, 5, seed=1)
    assert not np.array_equal(after.vector, train(net, theta, None, 0, 5, seed=1).vector)
    with_masks = train(net, after, schedule, 5, 25, seed=1)
    assert np.array_equal(with_masks.vector, train(net, after, None, 5, 25, seed=1).vector)


@pytest.mark.equation("D25")
def test_before_a_late_start_training_is_plain_training_bit_for_bit() -> None:
    net = MLP((3, 9, 7, 2))
    theta = net.init(np.random.default_rng(0))
    late = train(net, theta, Late(0.8, 5), 0, 5, seed=1)
    assert np.array_equal(late.vector, train(net, theta, None, 0, 5, seed=1).vector)
    assert not np.array_equal(
        train(net, theta, Late(0.8, 5), 0, 6, seed=1).vector, train(net, theta, None, 0, 6, seed=1).vector
    )


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Curriculum(0.0, 0.1), ValueError, "keep_prob is 0.0, but 0 < keep_prob <= 1"),
        (lambda: Curriculum(0.8, 0.0), ValueError, "gamma is 0.0, but a finite number > 0"),
        (lambda: Curriculum(0.8, float("nan")), ValueError, "gamma is nan"),
        (lambda: Curriculum(0.8, "slow"), TypeError, "gamma must be a number, got str"),
        (lambda: Early(1.5, 3), ValueError, "keep_prob is 1.5"),
        (lambda: Early(0.8, 0), ValueError, "steps is 0, but an integer >= 1"),
        (lambda: Late(0.8, 2.5), TypeError, "steps must be an integer >= 1, got float"),
        (lambda: Linear(0.8, float("nan"), 3), ValueError, "end is nan, but 0 < end <= 1"),
        (lambda: Linear("0.8", 1.0, 3), TypeError, r"start must be a number in \(0, 1\], got str"),
        (lambda: Early(np.array([0.8]), 3), TypeError, "keep_prob must be one number in .*, got an array"),
    ],
)
def test_wrong_schedules(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_schedules_are_records_of_python_numbers() -> None:
    assert str(Curriculum(np.float64(0.8), np.float32(1))) == "Curriculum(keep_prob=0.8, gamma=1.0)"
    assert str(Early(1, np.int64(3))) == "Early(keep_prob=1.0, steps=3)"
    assert Linear(0.8, 1.0, 3) == Linear(0.8, 1.0, 3)
