"""The diagnosis of two arrays: what it names, what it declines to name, and what it says then."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numpynet.gradcheck import Candidate, Sizes, diagnose
from numpynet.gradcheck.compare import compare
from numpynet.gradcheck.diagnosis import Cause, scaling_law, settled_causes
from numpynet.gradcheck.draws import factors

seeds = st.integers(0, 2**32 - 1)
SIZES = Sizes(5, 7, 11, 3)
FACTORS = factors(SIZES, 0.7)


def normal(seed, shape=(4, 6)):
    return np.random.default_rng(seed).normal(size=shape)


@given(seed=seeds, label=st.sampled_from(sorted(FACTORS)))
def test_every_factor_is_read_off(seed, label):
    n = normal(seed)
    result = diagnose(FACTORS[label] * n, n, factors=FACTORS)
    assert result.factors == (label,)
    assert len(result.causes) == 1
    assert result.c == pytest.approx(FACTORS[label])
    assert result.ratio == pytest.approx(FACTORS[label])


@given(seed=seeds)
@example(seed=493)  # n[1, 2] is nearly 0 there: an entry that is off by a share of itself could not be seen
def test_a_factor_is_named_only_if_it_fits_every_entry(seed):
    n = normal(seed)
    a = 0.7 * n
    a[1, 2] += 1e-3 * np.abs(n).max()
    result = diagnose(a, n, factors=FACTORS)
    assert result.causes == ()
    assert result.ratio is None
    assert "no known pattern" in result.description


@given(seed=seeds)
def test_a_candidate_comes_before_a_factor(seed):
    n = normal(seed)
    result = diagnose(0.7 * n, n, candidates=[Candidate("dx", "9", 0.7 * n)], factors=FACTORS)
    assert [cause.id for cause in result.causes] == ["9"]
    assert result.causes[0].score == 1.0


@given(seed=seeds)
def test_two_candidates_that_both_match_are_both_listed(seed):
    n, a = normal(seed), normal(seed + 1)
    result = diagnose(a, n, candidates=[Candidate("dx", "15", a), Candidate("dx", "17", a.copy())])
    assert [cause.id for cause in result.causes] == ["15", "17"]


@given(seed=seeds)
def test_a_candidate_that_equals_the_right_gradient_explains_nothing(seed):
    n = normal(seed)
    assert diagnose(n + normal(seed + 1), n, candidates=[Candidate("dx", "9", n.copy())]).causes == ()


@given(seed=seeds)
def test_a_known_bug_times_a_factor_is_named_with_less_confidence(seed):
    n, wrong = normal(seed), normal(seed + 1)
    [cause] = diagnose(wrong / 5, n, candidates=[Candidate("dW", "15", wrong)], factors=FACTORS).causes
    assert cause.id == "15"
    assert cause.score < 1
    assert "times 1/N" in cause.text


@given(seed=seeds)
def test_float32_and_whole_numbers_are_seen(seed):
    n = 3 * normal(seed)
    assert diagnose(n.astype(np.float32).astype(float), n).causes[0].id == "27a"
    assert diagnose(np.trunc(n), n).causes[0].id == "27b"


@given(seed=seeds)
def test_one_slightly_wrong_entry_is_not_called_float32(seed):
    n = normal(seed)
    a = n.copy()
    a[2, 3] *= 1 + 1e-6
    assert diagnose(a, n).causes == ()


def test_another_mask_is_recognised_by_its_support():
    n = normal(0, (5, 8))
    full = normal(1, (5, 8))
    rng = np.random.default_rng(2)
    D, other = (rng.random((2, 5, 8)) < 0.7) * 1.0
    n = full * D
    result = diagnose(full * other, n)
    assert result.causes[0].id == "14a"
    assert result.n_spurious == ((D == 0) & (other == 1)).sum()
    assert result.n_missing == ((D == 1) & (other == 0)).sum()


def test_what_is_known_of_the_unknown():
    n = normal(3)
    rows = n * np.array([1.0, 2.0, 0.5, -1.0])[:, None]
    described = diagnose(rows, n).description
    assert "ratio constant in each row: 1, 2, 0.5, -1" in described
    assert "wrong only in row 1, 2, 3" in described
    one_column = n.copy()
    one_column[:, 4] = normal(4, 4)
    assert "wrong only in column 4" in diagnose(one_column, n).description
    assert "all of yours are 0" in diagnose(0 * n, n).description
    assert f"{float((rows * n).sum() / np.sqrt((rows**2).sum() * (n**2).sum())):.4f}" in described


def test_a_wrong_shape_is_matched_by_candidates_of_that_shape():
    n = normal(5, (6,))
    result = diagnose(n[None], n, candidates=[Candidate("db", "22b", n[None])])
    assert [cause.id for cause in result.causes] == ["22b"]
    assert "(1, 6)" in result.description


def test_zeros_and_empty_arrays_do_no_harm():
    assert diagnose(np.zeros((2, 3)), np.zeros((2, 3))).c is None
    assert diagnose(np.ones((2, 3)), np.zeros((2, 3))).n_spurious == 6
    assert diagnose(np.zeros((0, 3)), np.zeros((0, 3))).causes == ()


@given(
    seed=seeds,
    N=st.integers(-2, 2),
    q=st.integers(-2, 2),
    sign=st.sampled_from([-1, 1]),
)
def test_a_scaling_law_is_recovered_from_draws_of_other_sizes(seed, N, q, sign):
    rng = np.random.default_rng(seed)
    keep = rng.uniform(0.2, 0.9, 8)
    draws = [{"N": float(rng.integers(3, 30)), "q": k, "1-q": 1 - k, "K": float(rng.integers(3, 9))} for k in keep]
    cs = [sign * draw["N"] ** N * draw["q"] ** q for draw in draws]
    assert scaling_law(cs, draws) == {name: e for name, e in (("N", N), ("q", q)) if e}
    noisy = [c * (1 + 1e-3 * k) for k, c in enumerate(cs)]
    assert scaling_law(noisy, draws) is None


def test_a_scaling_law_settles_two_explanations():
    both = (Cause("1", "N", 0.0, 0.9), Cause("factor", "1/(1-q)", 0.0, 0.9))
    assert [cause.id for cause in settled_causes(both, {"N": 1}, 5.0)] == ["1"]
    [unknown] = settled_causes(both, {"d_in": -1, "q": 1}, 0.1)
    assert unknown.id == "factor"
    assert "d_in^-1 * q" in unknown.text
    assert settled_causes(both, None, 5.0) == both


def test_the_tolerance_is_that_of_the_array_and_nan_is_wrong():
    n = np.array([1.0, 1e-12, -2.0])
    assert compare(n * (1 + 1e-12), n).passed
    assert compare(n + 1e-11 * np.array([0, 1, 0]), n).passed  # tiny beside the largest entry
    assert not compare(n * np.array([1 + 1e-8, 1, 1]), n).passed
    nan = compare(np.array([1.0, math.nan, -2.0]), n)
    assert not nan.passed
    assert nan.index == (1,)
    assert compare(100 * n * 1e-9, n * 1e-9).wrong.any()  # an absolute rule would let this pass
