"""Messages between the grader and the process that runs a student's code.

    frame = magic, number of the message, length of the header, length of the body; the header; the body
    header = JSON: what is said, with a place for every array (dtype, shape, order)
    body = the bytes of the arrays, one after the other

Both lengths are looked at before anything is read, and the header says how long the body must be, to the byte, before
anything is allocated for it. What comes out are plain ndarrays of ten or so dtypes, numbers, text and containers. There is
no pickle anywhere, so reading a message runs no code.

This file is also run by the child, so it imports nothing of the package.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

MAGIC = b"NPN1"
PREFIX = struct.Struct("<4sIIQ")  # magic, number, header length, body length
MAX_HEADER = 1 << 18
MAX_BODY = 1 << 26  # 64 MiB
MAX_DEPTH = 8
MAX_ITEMS = 5000
MAX_DIMENSIONS = 16
MAX_TEXT = 1 << 16

DTYPES = frozenset(
    ["|b1", "|i1", "|u1"] + [f"<{kind}" for kind in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")]
)


class WireError(ValueError):
    """A message that is not one of ours, or asks for too much."""


class Reference(NamedTuple):
    """Something that stays on the other side: a value by its number, with the name of its type, or a function."""

    kind: str  # "value": of the child; "own": of the grader; "function": of the grader
    number: int
    type_name: str = ""


class Seeded(NamedTuple):
    """A random generator that is made on the other side, from a seed."""

    seed: int


def pack(number: int, message: Any, refer: Callable[[Any], Any]) -> list[bytes]:
    """Return the frame of a message, in parts.

    Parameters
    ----------
    number : of the message
    message : of None, bool, int, float, complex, str, bytes, ndarrays, NumPy scalars, and tuples, lists and dicts of them
    refer : makes a ``Reference`` or ``Seeded`` of anything else

    Returns
    -------
    Prefix, header and the bytes of each array.

    Raises
    ------
    WireError
        The message is too long.

    Examples
    --------
    >>> prefix, header, body = pack(7, {"a": np.zeros(2)}, lambda value: None)
    >>> PREFIX.unpack(prefix)[1:], header
    ((7, 35, 16), b'{"d":[["a",{"a":["<f8",[2],"C"]}]]}')
    """
    blobs: list[bytes] = []
    header = json.dumps(_spell(message, blobs, refer, 0), separators=(",", ":")).encode("ascii")
    length = sum(map(len, blobs))
    if len(header) > MAX_HEADER or length > MAX_BODY:
        raise WireError(f"a message of {len(header)} + {length} bytes is too long")
    return [PREFIX.pack(MAGIC, number, len(header), length), header, *blobs]


def _spell(value: Any, blobs: list, refer: Callable, depth: int) -> Any:
    """Return a value as JSON; arrays leave their bytes in ``blobs``."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int and abs(value) < 1 << 63:
        return value
    if kind is str and len(value) <= MAX_TEXT:
        return value.encode("utf-8", "replace").decode("utf-8")
    if kind is float:
        return {"f": value.hex()}
    if kind is complex:
        return {"c": [value.real.hex(), value.imag.hex()]}
    if kind is bytes:
        blobs.append(value)
        return {"b": len(value)}
    if depth < MAX_DEPTH:
        if kind in (tuple, list) and len(value) <= MAX_ITEMS:
            return {"t" if kind is tuple else "l": [_spell(v, blobs, refer, depth + 1) for v in value]}
        if kind is dict and len(value) <= MAX_ITEMS and all(type(key) is str for key in value):
            return {"d": [[key, _spell(v, blobs, refer, depth + 1)] for key, v in value.items()]}
    if isinstance(value, np.generic) and (name := value.dtype.newbyteorder("<").str) in DTYPES:
        blobs.append(np.asarray(value, dtype=name).tobytes())
        return {"n": name}
    if travels(value):
        name = value.dtype.newbyteorder("<").str
        turned = value.ndim > 1 and value.flags.f_contiguous and not value.flags.c_contiguous
        blobs.append((value.T if turned else value).astype(name, copy=False).tobytes())
        return {"a": [name, list(value.shape), "F" if turned else "C"]}
    return _spell_reference(kind(*value) if kind in (Reference, Seeded) else refer(value))


def _spell_reference(value: Any) -> dict:
    if type(value) is Reference:
        return {"r": [value.kind, value.number, value.type_name]}
    if type(value) is Seeded:
        return {"g": value.seed}
    raise WireError(f"a {type(value).__name__} cannot be sent")


def travels(array: Any) -> bool:
    """Whether this is an array that can be sent as it is.

    Parameters
    ----------
    array : anything

    Returns
    -------
    False for what is no array.

    Examples
    --------
    >>> travels(np.zeros(3)), travels(np.array([None]))
    (True, False)
    """
    if type(array) is not np.ndarray or array.nbytes > MAX_BODY or array.ndim > MAX_DIMENSIONS:
        return False
    return array.dtype.newbyteorder("<").str in DTYPES


def arrays_of(value: Any) -> list[np.ndarray]:
    """Return the arrays in a value that can be sent, in the order in which they travel.

    Parameters
    ----------
    value : tuples, lists and dicts of anything

    Returns
    -------
    Arrays.

    Examples
    --------
    >>> arrays_of((np.zeros(2), {"a": [np.ones(1), 3]}))
    [array([0., 0.]), array([1.])]
    """
    if type(value) in (tuple, list):
        return [array for part in value for array in arrays_of(part)]
    if type(value) is dict:
        return [array for part in value.values() for array in arrays_of(part)]
    return [value] if travels(value) else []


class Plan(NamedTuple):
    """A header that was read and found to be in order; it knows how long the body must be."""

    number: int
    tree: Any
    length: int


def prefix_of(data: bytes) -> tuple[int, int, int]:
    """Return the number and both lengths of a frame, or raise.

    Parameters
    ----------
    data : as many bytes as ``PREFIX`` has

    Returns
    -------
    number, header, body : the last two in bytes

    Raises
    ------
    WireError
        The bytes are no prefix, or the message is too long.

    Examples
    --------
    >>> prefix_of(PREFIX.pack(MAGIC, 1, 10, 1 << 50))
    Traceback (most recent call last):
    ...
    numpynet.classroom.sandbox.wire.WireError: a message of 10 + 1125899906842624 bytes is too long
    """
    magic, number, header, body = PREFIX.unpack(data)
    if magic != MAGIC:
        raise WireError("these bytes are no message")
    if header > MAX_HEADER or body > MAX_BODY:
        raise WireError(f"a message of {header} + {body} bytes is too long")
    return number, header, body


def plan_of(number: int, header: bytes, body_length: int) -> Plan:
    """Check a header, whatever it may hold, and that the body is exactly as long as its arrays need.

    Parameters
    ----------
    number : of the message
    header : as it came, not to be trusted
    body_length : in bytes

    Returns
    -------
    Plan

    Raises
    ------
    WireError
        The header is not in order, or does not fit the body.

    Examples
    --------
    >>> plan_of(1, b'{"a":["<f8",[1000000000000],"C"]}', 8)
    Traceback (most recent call last):
    ...
    numpynet.classroom.sandbox.wire.WireError: the header promises 8000000000000 bytes, the message has 8
    """
    try:
        tree = json.loads(header)
        needed = _bytes_of(tree, 0, [0])
    except WireError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError, OverflowError) as error:
        raise WireError(f"the header is not in order ({type(error).__name__})") from None
    if needed != body_length:
        raise WireError(f"the header promises {needed} bytes, the message has {body_length}")
    return Plan(number, tree, needed)


def _bytes_of(tree: Any, depth: int, count: list[int]) -> int:
    """Return how many bytes of body a tree needs; refuse what is not in order."""
    count[0] += 1
    if depth > MAX_DEPTH + 1 or count[0] > 4 * MAX_ITEMS:
        raise WireError("the message is nested too deeply, or has too many parts")
    if tree is None or type(tree) is bool or (type(tree) is int and abs(tree) < 1 << 63):
        return 0
    if type(tree) is str:
        return 0
    if type(tree) is not dict or len(tree) != 1:
        raise WireError("the header is not in order")
    ((kind, value),) = tree.items()
    if kind == "a":
        name, shape, order = value
        return _array_bytes(name, shape, order)
    if kind == "n":
        return _array_bytes(value, [], "C")
    if kind in ("t", "l") and type(value) is list:
        return sum(_bytes_of(part, depth + 1, count) for part in value)
    if kind == "d" and type(value) is list:
        if not all(type(key) is str for key, _ in value):
            raise WireError("the keys of a dict are not text")
        return sum(_bytes_of(part, depth + 1, count) for _, part in value)
    if kind == "b" and type(value) is int and 0 <= value <= MAX_BODY:
        return value
    if kind == "f":
        float.fromhex(value)
        return 0
    if kind == "c":
        real, imag = value
        float.fromhex(real), float.fromhex(imag)
        return 0
    if kind == "r":
        where, number, name = value
        if where in ("value", "own", "function") and type(number) is int and type(name) is str:
            return 0
    if kind == "g" and type(value) is int and 0 <= value < 1 << 63:
        return 0
    raise WireError("the header is not in order")


def _array_bytes(name: Any, shape: Any, order: Any) -> int:
    if type(name) is not str or name not in DTYPES:
        raise WireError(f"arrays of dtype {str(name)[:20]!r} are not read")
    if type(shape) is not list or len(shape) > MAX_DIMENSIONS or order not in ("C", "F"):
        raise WireError("the shape of an array is not in order")
    if not all(type(n) is int and 0 <= n < 1 << 40 for n in shape):
        raise WireError("the shape of an array is not in order")
    return math.prod(shape) * np.dtype(name).itemsize


def unpack(plan: Plan, body: bytes, resolve: Callable[[Any], Any]) -> Any:
    """Return the message; each array in it owns its memory.

    Parameters
    ----------
    plan : see ``plan_of``
    body : exactly ``plan.length`` bytes
    resolve : makes a value of a ``Reference`` or of ``Seeded``

    Returns
    -------
    What ``pack`` was given, references resolved.

    Examples
    --------
    >>> _, header, body = pack(0, [np.arange(3), 1.5], lambda value: None)
    >>> unpack(plan_of(0, header, len(body)), body, lambda reference: None)
    [array([0, 1, 2]), 1.5]
    """
    return _read(plan.tree, memoryview(body), [0], resolve)


def _read(tree: Any, body: memoryview, at: list[int], resolve: Callable) -> Any:
    if type(tree) is str:
        return tree.encode("utf-8", "replace").decode("utf-8")  # JSON can spell halves of characters
    if type(tree) is not dict:
        return tree
    ((kind, value),) = tree.items()
    if kind in ("a", "n", "b"):
        length = value if kind == "b" else _bytes_of(tree, 0, [0])
        piece = body[at[0] : at[0] + length]
        at[0] += length
        if kind == "b":
            return bytes(piece)
        name, shape, order = value if kind == "a" else (value, [], "C")
        flat = np.frombuffer(piece, dtype=name).astype(np.dtype(name).newbyteorder("="))  # a copy: writable, its own
        if kind == "n":
            return flat[0]
        return flat.reshape(shape) if order == "C" else flat.reshape(shape[::-1]).T
    if kind in ("t", "l"):
        parts = [_read(part, body, at, resolve) for part in value]
        return tuple(parts) if kind == "t" else parts
    if kind == "d":
        return {key: _read(part, body, at, resolve) for key, part in value}
    if kind == "f":
        return float.fromhex(value)
    if kind == "c":
        return complex(float.fromhex(value[0]), float.fromhex(value[1]))
    return resolve(Seeded(value) if kind == "g" else Reference(*value))
