"""Messages: what is sent arrives, and nothing else is read, whatever the bytes are."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from numpynet.classroom.sandbox import wire

DTYPES = ["?", "i1", "u1", "<i2", "<i4", "<i8", "<u4", "<u8", "<f2", "<f4", "<f8", "<c8", "<c16"]
ARRAYS = hnp.arrays(st.sampled_from(DTYPES), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats()
    | st.complex_numbers()
    | st.text()
    | st.binary()
    | ARRAYS
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def there_and_back(value, refer=lambda value: None):
    frame = b"".join(wire.pack(5, value, refer))
    number, header_length, body_length = wire.prefix_of(frame[: wire.PREFIX.size])
    header = frame[wire.PREFIX.size :][:header_length]
    body = frame[wire.PREFIX.size + header_length :]
    assert (number, len(body)) == (5, body_length)
    return wire.unpack(wire.plan_of(number, header, body_length), body, lambda reference: reference)


def same(a, b):
    if isinstance(a, np.ndarray):
        return type(b) is np.ndarray and a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and repr(a) == repr(b)


@given(VALUES)
def test_what_is_sent_arrives(value):
    if any("\ud800" <= c <= "\udfff" for c in str(value)):
        return
    assert same(there_and_back(value), value)


@given(hnp.arrays("f8", hnp.array_shapes(min_dims=2, max_dims=3, min_side=2)))
def test_order_in_memory_and_ownership(array):
    for given_ in (np.asfortranarray(array), array[::2], array[..., ::-1], array.astype(">f8")):
        back = there_and_back(given_)
        assert np.array_equal(back, given_, equal_nan=True)
        assert back.flags.writeable
        assert back.dtype.isnative
        assert back.flags.f_contiguous or not given_.flags.f_contiguous


def test_what_cannot_travel_is_referred_to():
    kept = []

    def refer(value):
        kept.append(value)
        return wire.Reference("value", len(kept), type(value).__name__)

    class Sub(np.ndarray):
        pass

    odd = [
        np.zeros(2).view(Sub),
        np.array([None]),
        np.array("2020", "M8[D]"),
        1 << 70,
        {1, 2},
        np.zeros(2, [("a", "f8")]),
        object(),
        {1: 2},
    ]
    assert all(type(part) is wire.Reference for part in there_and_back(odd, refer))
    assert len(kept) == len(odd)
    with pytest.raises(wire.WireError, match="cannot be sent"):
        wire.pack(0, object(), lambda value: None)


@pytest.mark.parametrize(
    "tree",
    [
        {"a": ["<f8", [10**12], "C"]},
        {"a": ["<f8", [-1], "C"]},
        {"a": ["<f8", [2, -4], "C"]},
        {"a": ["|O", [1], "C"]},
        {"a": ["<f8", [1.0], "C"]},
        {"a": ["<f8", [True], "C"]},
        {"a": ["<f8", [1] * 17, "C"]},
        {"a": ["<f8", [1], "X"]},
        {"a": ["<f8"]},
        {"a": 3},
        {"n": "<M8[D]"},
        {"f": "zero"},
        {"f": 3},
        {"f": "0x1p99999"},
        {"c": ["0x1p1"]},
        {"r": ["file", 0, ""]},
        {"r": ["value", "0", ""]},
        {"g": -1},
        {"d": [[1, None]]},
        {"d": [["a"]]},
        {"l": {}},
        {"z": 1},
        {"a": 1, "n": 2},
        {},
        [],
        1.5,
        1 << 70,
        {"b": -1},
        {"b": 1 << 40},
    ],
)
def test_a_header_that_is_not_in_order_is_refused(tree):
    with pytest.raises(wire.WireError):
        wire.plan_of(0, json.dumps(tree).encode(), 8)


@given(st.binary(max_size=60), st.integers(0, 100))
@example(b"[" * 100_000, 0)
@example(b'{"l":[' * 5000 + b"]}" * 5000, 0)
@example(b"1" * 5000, 0)
@example(b"NaN", 0)
def test_any_bytes_are_a_header_or_refused(header, length):
    try:
        plan = wire.plan_of(0, header, length)
    except wire.WireError:
        return
    assert plan.length == length
    wire.unpack(plan, bytes(length), lambda reference: reference)


@given(st.binary(min_size=wire.PREFIX.size, max_size=wire.PREFIX.size))
def test_any_bytes_are_a_prefix_or_refused(data):
    try:
        _, header, body = wire.prefix_of(data)
    except wire.WireError:
        return
    assert header <= wire.MAX_HEADER
    assert body <= wire.MAX_BODY


def test_a_header_is_as_large_as_it_says():
    _, header, body = wire.pack(0, np.zeros(3), lambda value: None)
    with pytest.raises(wire.WireError, match="promises 24 bytes, the message has 16"):
        wire.plan_of(0, header, 16)
    assert wire.plan_of(0, header, len(body)).length == 24


def test_half_characters_do_not_come_through():
    plan = wire.plan_of(0, rb'"a\ud800b"', 0)
    assert wire.unpack(plan, b"", None) == "a?b"
