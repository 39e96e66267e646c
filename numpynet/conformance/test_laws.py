"""Every law of the suite, put to the implementation under test with many draws. See the package's docstring."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky

from numpynet.conformance.contract import Subject
from numpynet.conformance.laws import Law, text_of
from numpynet.conformance.layer_laws import NETWORK_LAWS, STAGE_LAWS, VALUE_LAWS
from numpynet.conformance.mask_laws import MASK_LAWS
from numpynet.conformance.profiles import chosen, in_plain_words
from numpynet.conformance.ticket_laws import TICKET_LAWS
from numpynet.gradcheck.draws import Sizes, clean_keep_probs
from numpynet.gradcheck.report import Report

CLEAN = Sizes(5, 7, 11, 3)  # no two factors coincide
seeds = st.integers(0, 2**32 - 1)


def tell_apart(sizes: Sizes) -> bool:
    """Say whether some keep probabilities leave no two explanations of a factor alike."""
    return len(clean_keep_probs(sizes)) >= 2


# All four differ. Drawn one by one, most would not: Hypothesis likes to draw a number that it has drawn before.
DIFFERENT = [
    Sizes(N, d_in, d_out, K)
    for N, d_in, d_out, K in product(range(3, 9), range(2, 10), range(2, 10), range(3, 6))
    if len({N, d_in, d_out, K}) == 4
]
drawn_sizes = st.sampled_from(DIFFERENT).filter(tell_apart)


def params(laws: tuple[Law, ...]) -> list:
    """Return the laws as test parameters, each with a marker for every function that it is about."""
    return [pytest.param(law, id=repr(law), marks=[getattr(pytest.mark, task) for task in law.tasks]) for law in laws]


def judge(report: Report) -> None:
    """Turn a report into a test result; a failure is the report's text, and nothing else."""
    __tracebackhide__ = True
    if report.status in ("skip", "wait"):
        pytest.skip(f"WAIT: {report.message}")
    if not report.passed:
        raise AssertionError(text_of(report))


def put(law: Law, subject: Subject, how: settings) -> None:
    """Put a law to an implementation: once by hand, so that most of what is wrong is said at once, then many times."""
    __tracebackhide__ = True
    judge(law.report(subject, 0, CLEAN))

    @how
    @given(seed=seeds, sizes=drawn_sizes)
    def many_times(seed, sizes):
        __tracebackhide__ = True
        judge(law.report(subject, seed, sizes))

    try:
        many_times()
    except Flaky as error:
        raise AssertionError(in_plain_words(error)) from None


@pytest.mark.parametrize("law", params((*STAGE_LAWS, *VALUE_LAWS, *MASK_LAWS)))
def test_law(under_test, law):
    put(law, under_test, chosen())


@pytest.mark.parametrize("law", params((*NETWORK_LAWS, *TICKET_LAWS)))
def test_law_of_many_steps(under_test, law):
    put(law, under_test, chosen(share=0.4))
