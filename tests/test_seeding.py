"""One seed, one stream for each purpose: repeatable, and independent of each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.seeding import Streams, stream, streams

any_seed = st.integers(0, 2**128)


def first_numbers(generators):
    return np.array([rng.random(4) for rng in generators])


@given(any_seed)
def test_equal_seeds_give_equal_bits_and_each_purpose_its_own(seed):
    numbers = first_numbers(streams(seed))
    assert np.array_equal(numbers, first_numbers(streams(seed)))
    assert len(np.unique(numbers)) == numbers.size, "two purposes share a stream"
    assert not np.isin(numbers, first_numbers(streams(seed + 1))).any(), "two seeds share a stream"


@given(any_seed, st.integers(0, 20))
def test_drawing_from_one_stream_moves_no_other(seed, drawn):
    quiet, busy = streams(seed), streams(seed)
    busy.dropout.random(drawn)
    busy.init.random(3 * drawn)
    for name in ("batches", "reinit", "shuffle", "split"):
        assert getattr(quiet, name).random() == getattr(busy, name).random(), name


@given(any_seed)
def test_the_number_of_a_purpose_is_for_ever(seed):
    """A run of today can be repeated after a new purpose has been appended: child k depends on k alone."""
    assert Streams._fields[:6] == ("init", "batches", "dropout", "reinit", "shuffle", "split")
    children = np.random.SeedSequence(seed).spawn(20)
    expected = [np.random.default_rng(child) for child in children[: len(Streams._fields)]]
    assert np.array_equal(first_numbers(streams(seed)), first_numbers(expected))


@given(any_seed, st.sampled_from(Streams._fields), st.integers(0, 5))
def test_a_stream_of_another_draw_is_that_child_of_its_purpose(seed, purpose, draw):
    child = np.random.SeedSequence(seed).spawn(20)[Streams._fields.index(purpose)]
    expected = np.random.default_rng(child.spawn(draw)[-1] if draw else child)
    assert np.array_equal(stream(seed, purpose, draw).random(4), expected.random(4))


def test_integers_of_numpy_are_integers():
    assert np.array_equal(first_numbers(streams(np.uint8(7))), first_numbers(streams(7)))


@pytest.mark.parametrize("seed", [None, 1.0, True, "1", [1], np.random.default_rng(0)])
def test_a_seed_that_cannot_be_repeated_is_refused(seed):
    with pytest.raises(TypeError, match="seed must be an integer >= 0"):
        streams(seed)


def test_a_negative_seed_is_refused():
    with pytest.raises(ValueError, match="seed is -1"):
        streams(-1)
