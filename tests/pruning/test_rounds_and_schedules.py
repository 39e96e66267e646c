"""How much at a time: rates over rounds, gradual pruning, the share of weights that moves."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.equations.masks import prune_count
from numpynet.parameters import Layout, Parameters
from numpynet.pruning import (
    ConstantDrop,
    CosineDrop,
    GradualDensity,
    PolynomialDrop,
    dense_mask,
    geometric_densities,
    magnitude,
    prune_globally,
    prune_in_rounds,
    prune_layerwise,
    rate_per_round,
    survivors,
)
from tests.pruning.nets import counts, random_theta
from tests.strategies import seeds


@pytest.mark.equation("L17")
@given(density=st.floats(0.01, 1.0), rounds=st.integers(1, 30))
def test_equal_rates_reach_the_density(density: float, rounds: int) -> None:
    rate = rate_per_round(density, rounds)
    assert (1 - rate) ** rounds == pytest.approx(density, rel=1e-12)
    assert geometric_densities(density, rounds) == pytest.approx([(1 - rate) ** k for k in range(1, rounds + 1)])
    assert rate_per_round(density, 1) == 1 - density


@pytest.mark.equation("L17", "L3")
@given(seed=seeds, density=st.floats(0.05, 1.0), rounds=st.integers(1, 8))
def test_rounds_end_within_the_rounding_of_one_shot(seed: int, density: float, rounds: int) -> None:
    theta = random_theta(Layout.of_sizes((11, 13)), seed)
    rate, mask = rate_per_round(density, rounds), dense_mask(theta)
    for _ in range(rounds):
        mask = prune_globally(magnitude(theta), mask, rate=rate)
    one_shot = prune_globally(magnitude(theta), dense_mask(theta), rate=1 - density)
    slack = 0.5 + ((1 - density) / (2 * rate) if rate else 0)  # half a weight, and the bound of the recursion
    assert abs(counts(mask)[0] - counts(one_shot)[0]) <= slack + 1e-9
    if rounds == 1:
        assert np.array_equal(mask.vector, one_shot.vector)


@given(seed=seeds)
@pytest.mark.parametrize("prune", [prune_globally, prune_layerwise])
def test_with_scores_that_do_not_change_rounds_are_one_shot(prune, seed: int) -> None:
    theta = random_theta(Layout.of_sizes((7, 6, 5)), seed)
    seen = []

    def score(mask: Parameters) -> Parameters:
        seen.append(counts(mask))
        return magnitude(theta)

    mask = prune_in_rounds(score, dense_mask(theta), densities=[0.9, 0.7, 0.4], prune=prune)
    assert np.array_equal(mask.vector, prune(magnitude(theta), dense_mask(theta), density=0.4).vector)
    assert len(seen) == 3 and seen[0] == [42, 30] and sum(seen[1]) == survivors(0.9, 72)


@pytest.mark.parametrize(("density", "rounds"), [(1.5, 2), (-0.1, 2), (0.5, 0), (0.5, 1.0), (0.5, True)])
def test_rounds_and_densities_are_checked(density: float, rounds: int) -> None:
    for function in (rate_per_round, geometric_densities):
        with pytest.raises(ValueError, match="needed"):
            function(density, rounds)


# ---- gradual pruning -------------------------------------------------------------------------------------------------


@pytest.mark.equation("P16")
@given(
    shares=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted), start=st.integers(0, 50), steps=st.integers(1, 90)
)
def test_the_gradual_schedule_is_its_formula(shares: list[float], start: int, steps: int) -> None:
    final, initial = shares
    schedule = GradualDensity(final, steps=steps, start=start, initial=initial)
    s_i, s_f = 1 - initial, 1 - final
    for t in range(start, start + steps + 1):
        sparsity = s_f + (s_i - s_f) * (1 - (t - start) / steps) ** 3
        assert 1 - schedule(t) == pytest.approx(sparsity, abs=1e-12)
    assert schedule(0) == schedule(start) == initial
    assert schedule(start + steps) == schedule(start + steps + 999) == final
    falling = [schedule(t) for t in range(start + steps + 3)]
    assert all(a >= b for a, b in zip(falling, falling[1:]))


@pytest.mark.equation("P16")
@given(seed=seeds, final=st.floats(0.05, 1))
def test_gradual_pruning_leaves_the_counts_of_the_schedule_and_they_never_rise(seed: int, final: float) -> None:
    theta = random_theta(Layout.of_sizes((7, 9)), seed)
    schedule, mask, left = GradualDensity(final, steps=6, start=2), dense_mask(theta), 63
    for t in range(10):
        drifting = random_theta(theta.layout, seed + t)  # training goes on in between
        new = prune_globally(magnitude(drifting), mask, density=schedule(t))
        assert counts(new)[0] == 63 - math.floor((1 - schedule(t)) * 63 + 0.5) <= left
        assert (new.vector <= mask.vector).all()
        mask, left = new, counts(new)[0]
    assert left == survivors(final, 63)


@pytest.mark.equation("P16")
def test_gradual_pruning_starts_with_three_times_the_mean_slope() -> None:
    schedule = GradualDensity(0.1, steps=10**6, initial=0.8)
    assert (schedule(1) - schedule(0)) * 10**6 == pytest.approx(-3 * (0.8 - 0.1), rel=1e-5)


# ---- the share that moves --------------------------------------------------------------------------------------------


@pytest.mark.equation("P17")
def test_the_drop_fractions_of_the_book() -> None:
    cosine, linear, cubic = CosineDrop(steps=200), PolynomialDrop(steps=200), PolynomialDrop(steps=200, power=3)
    assert [cosine(t) for t in (0, 100, 200)] == pytest.approx([0.3, 0.15, 0.0])
    assert [linear(t) for t in (0, 50, 100, 200)] == pytest.approx([0.3, 0.225, 0.15, 0.0])
    assert [cubic(t) for t in (0, 50, 200)] == pytest.approx([0.3, 0.3 * 0.75**3, 0.0])
    assert {ConstantDrop(0.2)(t) for t in (0, 7, 10**6)} == {0.2}


@pytest.mark.equation("P17")
@given(schedule=st.sampled_from([CosineDrop, PolynomialDrop]), steps=st.integers(1, 99), initial=st.floats(1e-9, 1))
def test_drop_fractions_fall_from_the_first_to_0_and_stay_there(schedule, steps: int, initial: float) -> None:
    fractions = [schedule(steps=steps, initial=initial)(t) for t in range(steps + 5)]
    assert fractions[0] == initial and all(f == 0 for f in fractions[steps:])
    assert all(a >= b >= 0 for a, b in zip(fractions, fractions[1:]))
    assert all(prune_count(f, 100) <= 100 for f in fractions)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: GradualDensity(0.5, steps=0),
        lambda: GradualDensity(0.5, steps=3, start=-1),
        lambda: GradualDensity(0.5, steps=3, initial=0.4),
        lambda: GradualDensity(1.5, steps=3),
        lambda: GradualDensity("0.5", steps=3),
        lambda: ConstantDrop(1.2),
        lambda: CosineDrop(steps=1.5),
        lambda: CosineDrop(steps=5, initial=-0.1),
        lambda: PolynomialDrop(steps=5, power=0),
    ],
)
def test_schedules_refuse_what_they_cannot_follow(wrong) -> None:
    with pytest.raises((TypeError, ValueError), match=r"needed|must be"):
        wrong()


def test_schedules_keep_python_numbers_and_print() -> None:
    schedule = GradualDensity(np.float64(0.25), steps=np.int64(4))
    assert repr(schedule) == "GradualDensity(final=0.25, steps=4, start=0, initial=1.0)"
    assert type(schedule(2)) is float
