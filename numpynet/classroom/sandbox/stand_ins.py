"""Functions that stand in for those of a student: a call of one travels to the child, the answer comes back.

What cannot travel stays where it is: a cache or a ticket of the student's comes back as a ``Handle``, which can be handed
on to other functions and says nothing of what is in it. A function of the grader that is an argument gets a stand-in in the
child, whose calls are answered here.

Changed arguments, overwritten results and edited caches are told by the child. They are done to the arrays here only for
checks that ask for it (``Check.sees_changes``), because these are checks for just that, and hand over copies. Elsewhere a
submission could otherwise turn the inputs into such for which its answer is right.
"""

from __future__ import annotations

import re
import time
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from numpynet.classroom.sandbox.host import Child
from numpynet.classroom.sandbox.wire import Reference, Seeded, WireError, arrays_of

# What these return is opaque as a whole: a ticket.
TICKETS = ("begin_ticket", "train_ticket", "prune_ticket", "rewind_ticket", "reinit_ticket", "load_ticket")
MAX_ASKED, MAX_OWN = 50_000, 1000
MAX_ASKED_SECONDS, MAX_ASKED_SIZE = 20.0, 1 << 14  # of all answers; of the arrays in one question
RECENT = 8  # calls whose arrays may still be reported as changed


class Handle:
    """Something of the student's that stays in the child."""

    def __init__(self, number: int, ends: Callable[[int], None], read: Callable[[int, str], dict]) -> None:
        self.number, self._ends, self._read = number, ends, read
        self.canaries: list[np.ndarray] = []  # arrays that change when an array in there does; checks look for those

    def __del__(self) -> None:
        self._ends(self.number)

    @property
    def theta(self) -> dict[str, np.ndarray]:
        """The weights of a ticket."""
        return self._read(self.number, "theta")

    @property
    def weight_mask(self) -> dict[str, np.ndarray]:
        """The masks of a ticket."""
        return self._read(self.number, "weight_mask")


class Own:
    """A value of the grader's as it comes back from the child: only a function of the grader looks inside."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class StandIns:
    """The functions of one child.

    Parameters
    ----------
    child : running
    may_say : whether the name of a type that came from the child may be repeated to the student
    """

    def __init__(self, child: Child, may_say: Callable[[str], bool] = lambda name: True) -> None:
        self.child, self.may_say = child, may_say
        self.seconds: float | None = None  # for a call; None takes the child's limit
        self.sees_changes = False
        self.until = float("inf")  # when the time for all calls of a check is over
        self.dropped: list[int] = []
        self.own: list[Any] = []  # values of the grader that the child has names for
        self.functions_given: list[Callable] = []
        self.asked, self.asked_seconds = 0, 0.0
        self.recent: dict[tuple[int, str, int], Any] = {}
        child.refer, child.resolve, child.answer_ask = self._refer, self._resolve, self._answer

    def begin_check(self, seconds: float, until: float, *, sees_changes: bool) -> None:
        """Set what the calls of a check may take, and whether it sees what the student's code edits.

        Parameters
        ----------
        seconds : for one call
        until : when the time for all calls of the check is over, by the monotonic clock
        sees_changes : whether arguments that the student's code edits are edited here too
        """
        self.seconds, self.until, self.sees_changes = seconds, until, sees_changes
        self.asked, self.asked_seconds = 0, 0.0

    def functions(self) -> dict[str, Callable]:
        """Return the stand-ins of all functions that are there."""
        return {name: self._stand_in(name) for name in self.child.imported["functions"]}

    def _stand_in(self, name: str) -> Callable:
        opaque = "whole" if name in TICKETS else "second" if name.endswith("_forward") else ""

        def function(*args: Any, **kwargs: Any) -> Any:
            return self._call(name, opaque, args, kwargs)

        function.__name__ = function.__qualname__ = name
        return function

    def _call(self, name: str, opaque: str, args: tuple, kwargs: dict) -> Any:
        given = arrays_of([args, dict(kwargs)])
        drop, self.dropped = self.dropped, []
        self.functions_given, self.own = [], []
        request = {"call": name, "opaque": opaque, "args": args, "kwargs": dict(kwargs), "drop": drop[:4000]}
        number, answer = self.child.request(request, self._left())
        if self.sees_changes:
            self._carry_over(answer, number, given)
        if "raised" in answer:
            raise_here(answer["raised"], self.child._setup["file"])
        result = answer.get("returned")
        if self.sees_changes:
            result = _aliased(result, arrays_of(result), given, answer.get("same"))
            self._remember(number, result)
        return result

    def _read(self, number: int, part: str) -> dict[str, np.ndarray]:
        request = {"read": Reference("value", number), "part": part, "drop": []}
        _, answer = self.child.request(request, self._left())
        if "raised" in answer:
            raise_here(answer["raised"], self.child._setup["file"])
        result = answer.get("returned")
        return result if type(result) is dict else {}

    def _left(self) -> float:
        """Return the seconds that a call may take."""
        seconds = self.child.limits.seconds if self.seconds is None else self.seconds
        left = min(seconds, self.until - time.monotonic())
        if left <= 0:
            raise self.child.gone("timeout", "its calls took too long together, and it was stopped")
        return left

    # ---- what changed in the child changes here ---------------------------------------------------------------------

    def _remember(self, number: int, result: Any) -> None:
        self.recent = {key: ref for key, ref in self.recent.items() if key[0] > number - RECENT}
        for k, array in enumerate(arrays_of(result)):
            self.recent[number, "result", k] = weakref.ref(array)
        for part in result if type(result) is tuple else (result,):
            if isinstance(part, Handle):
                part.canaries.append(np.zeros(1))
                self.recent[number, "cache", 0] = weakref.ref(part.canaries[0])

    def _carry_over(self, answer: dict, number: int, given: list[np.ndarray]) -> None:
        changed = answer.get("changed")
        for entry in changed[:200] if type(changed) is list else ():
            if type(entry) is not tuple or len(entry) != 4:
                continue
            when, kind, k, now = entry
            if kind == "argument" and when == number and type(k) is int and 0 <= k < len(given):
                _overwrite(given[k], now)
            elif kind == "result" and type(when) is int and type(k) is int and (when, kind, k) in self.recent:
                _overwrite(self.recent[when, kind, k](), now)
            elif kind == "cache" and type(when) is int and (when, kind, 0) in self.recent:
                canary = self.recent[when, kind, 0]()
                if canary is not None:
                    canary += 1

    # ---- references -------------------------------------------------------------------------------------------------

    def _refer(self, value: Any) -> Any:
        if isinstance(value, Handle):
            return Reference("value", value.number)
        if type(value) is Own:
            return self._refer(value.value)
        if type(value) is Reference:
            return value
        if isinstance(value, np.random.Generator):
            return Seeded(int(value.integers(1 << 62)))
        if isinstance(value, np.ndarray):
            raise TypeError(f"a check hands over a {type(value).__name__} of dtype {value.dtype}, which cannot travel")
        if callable(value):
            self.functions_given.append(value)
            return Reference("function", len(self.functions_given) - 1)  # without its name: it may be a mutant
        if len(self.own) >= MAX_OWN:
            raise ValueError("too many values of the grader are held by the child")
        self.own.append(value)
        return Reference("own", len(self.own) - 1, "Cache")

    def _resolve(self, reference: Any) -> Any:
        """Return what a reference of the child's stands for; only numbers that were given out mean anything."""
        if type(reference) is Reference and reference.kind == "value":
            name = re.sub(r"\W", "_", reference.type_name)[:40]
            name = name if name and self.may_say(name) else "object"
            return type(name, (Handle,), {})(reference.number, self.dropped.append, self._read)
        if type(reference) is Reference and reference.kind == "own" and 0 <= reference.number < len(self.own):
            return Own(self.own[reference.number])
        if type(reference) is Reference and reference.kind == "function":
            return reference
        raise WireError("a reference to something that was never there")

    def _answer(self, message: dict) -> dict:
        """Call a function of the grader for the child."""
        self.asked += 1
        reference, args, kwargs = (message.get(name) for name in ("ask", "args", "kwargs"))
        known = type(reference) is Reference and 0 <= reference.number < len(self.functions_given)
        if not known or type(args) is not tuple or type(kwargs) is not dict:
            return {"raised": "there is no such function"}
        if self.asked > MAX_ASKED or self.asked_seconds > MAX_ASKED_SECONDS:
            return {"raised": "the functions were called too often"}
        if sum(array.size for array in arrays_of([args, kwargs])) > MAX_ASKED_SIZE:
            return {"raised": "the arguments are too large"}
        started = time.monotonic()
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                return {"returned": self.functions_given[reference.number](*_opened(args), **_opened(kwargs))}
        except Exception as error:
            return {"raised": f"{type(error).__name__}: {error}"[:500]}
        finally:
            self.asked_seconds += time.monotonic() - started


def _opened(value: Any) -> Any:
    """Return arguments of a function of the grader, with values of the grader instead of what stood for them."""
    if type(value) is Own:
        return value.value
    if type(value) in (tuple, list):
        return type(value)(_opened(part) for part in value)
    return {key: _opened(part) for key, part in value.items()} if type(value) is dict else value


def raise_here(told: Any, file: str) -> None:
    """Raise what was raised in the child, with a traceback that ends in the line of the student's file.

    Parameters
    ----------
    told : "type", "message" and "line", as the child says; none of it is believed
    file : name of the student's file

    Raises
    ------
    Exception
        Always: one of a few known types, or a new one of the name that was told.
    """
    told = told if type(told) is dict else {}
    name, message, line = told.get("type"), told.get("message"), told.get("line")
    name = re.sub(r"\W", "_", name)[:40] if type(name) is str and name else "Exception"
    message = message[:500] if type(message) is str else ""
    known = {"NotImplementedError": NotImplementedError, "TypeError": TypeError, "ValueError": ValueError}
    error = known.get(name, type(name, (Exception,), {}))(message)
    if type(line) is int and 0 < line < 100_000:
        exec(compile("\n" * (line - 1) + "raise error", file, "exec"), {"error": error})
    raise error


def _overwrite(array: Any, now: Any) -> None:
    """Give an array other numbers, if it is still there and they fit."""
    if type(array) is np.ndarray and type(now) is np.ndarray and array.flags.writeable and _alike(array, now):
        array[...] = now


def _alike(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype


def _aliased(result: Any, returned: list[np.ndarray], given: list[np.ndarray], same: Any) -> Any:
    """Return the result with views of the arguments where the child says that it returned (a view of) one."""
    replaced: dict[int, np.ndarray] = {}
    for pair in same[:50] if type(same) is list else ():
        if type(pair) is tuple and len(pair) == 2 and all(type(k) is int and k >= 0 for k in pair):
            i, j = pair
            there = i < len(returned) and j < len(given) and _alike(returned[i], given[j])
            if there and np.array_equal(returned[i], given[j], equal_nan=True):
                replaced[id(returned[i])] = given[j].view()

    def put(value: Any) -> Any:
        if type(value) in (tuple, list):
            return type(value)(put(part) for part in value)
        if type(value) is dict:
            return {key: put(part) for key, part in value.items()}
        return replaced.get(id(value), value)

    return put(result) if replaced else result
