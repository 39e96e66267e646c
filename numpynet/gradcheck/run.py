"""One check under way: calls the functions under test with fresh copies and turns whatever they do into findings.

Nothing that the code under test does may end in a traceback: an exception, a None, a wrong shape or an edited input
becomes a ``Finding``, which names the layer, the array and what was expected.
"""

from __future__ import annotations

import os
import traceback
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from numpynet.gradcheck.candidates import Candidate, Scene
from numpynet.gradcheck.compare import Comparison, compare, compare_at_kinks
from numpynet.gradcheck.diagnosis import Cause, Diagnosis, diagnose
from numpynet.gradcheck.draws import Inputs, Sizes, factors
from numpynet.gradcheck.numeric import NumericGradient, numeric_gradient
from numpynet.gradcheck.pairs import LayerPair
from numpynet.gradcheck.zoo import EXPLANATIONS

# Whose calls these are: where an exception comes from one of these folders, the call itself did not fit.
_HERE = os.path.dirname(os.path.abspath(__file__))
_CALLERS = (_HERE, os.path.join(os.path.dirname(_HERE), "conformance"))


class Finding(Exception):
    """The first thing that is wrong with a layer; it ends the check."""

    def __init__(
        self,
        stage: int,
        kind: str,
        message: str,
        *,
        array: str | None = None,
        causes: tuple[Cause, ...] = (),
        status: str = "fail",
        comparison: Comparison | None = None,
        diagnosis: Diagnosis | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.stage, self.kind, self.message, self.array = stage, kind, message, array
        self.causes, self.status, self.comparison, self.diagnosis = causes, status, comparison, diagnosis
        self.notes = notes
        self.masked_as = "ones that should be 0"


class Held:
    """Wraps a cache that is allowed to change: the state of a layer object."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def cause(id: str, *, score: float = 1.0) -> tuple[Cause, ...]:
    """Return the cause with this id, as the only one.

    Parameters
    ----------
    id : of the zoo, or another key of ``EXPLANATIONS``
    score : how good the evidence is, at most 1

    Returns
    -------
    a tuple of one

    Examples
    --------
    >>> cause("9")[0].text
    'the 1/keep_prob scale is missing in backward (forward multiplies by mask / keep_prob)'
    """
    return (Cause(id, EXPLANATIONS[id], 0.0, score),)


@dataclass
class Run:
    """The inputs of one check, and what the layer made of them."""

    pair: LayerPair
    sizes: Sizes
    keep_prob: float
    inputs: Inputs
    rng: np.random.Generator
    method: str | None = None  # of the numeric side; None: the best that works
    max_entries: int = 2000
    stage: int = 0
    # Set by the first stage, from the first calls:
    y: np.ndarray | float = 0.0
    dy: np.ndarray | float = 1.0
    gradients: tuple[np.ndarray, ...] = ()
    originals: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)  # returned arrays and copies of them
    modified: list[tuple[str, str]] = field(default_factory=list)  # (what, the bug it is)
    shared: list[tuple[str, str]] = field(default_factory=list)  # (gradient, what it shares memory with)
    cache: Any = None
    # Collected on the way:
    notes: list[str] = field(default_factory=list)
    worst_error: float = 0.0
    numerics: dict[str, NumericGradient] = field(default_factory=dict)
    kinks: list[tuple[tuple[int, ...], float]] = field(default_factory=list)
    used_method: tuple[str, float] = ("complex step", 1e-30)

    def __post_init__(self) -> None:
        if set(self.inputs.arrays) != set(self.pair.differentiable):
            raise ValueError(
                f"draw of {self.pair.name!r} gives the arrays {sorted(self.inputs.arrays)}, "
                f"but differentiable names {sorted(self.pair.differentiable)}"
            )

    # ---- calling the code under test --------------------------------------------------------------------------------

    def forward(self, inputs: Inputs | None = None, **changed: np.ndarray) -> tuple[Any, Any]:
        """Call forward with copies of the inputs; arrays given by name stand in for the drawn ones.

        Parameters
        ----------
        inputs : None for those of the check
        **changed : name of an array -> what stands in for it

        Returns
        -------
        output, cache
        """
        arrays, constants = self.fresh(self.inputs if inputs is None else inputs)
        return self.forward_with({**arrays, **changed}, constants)

    def forward_with(self, arrays: Mapping[str, np.ndarray], constants: Mapping[str, Any]) -> tuple[Any, Any]:
        """Call forward with these very arrays and return (output, cache).

        Parameters
        ----------
        arrays : name -> array, handed over by position
        constants : handed over by keyword

        Returns
        -------
        output, cache

        Raises
        ------
        Finding
            forward raises, or does not return two things of which the first is an array.
        """
        result = self.call("forward", self.pair.forward, *(arrays[n] for n in self.pair.differentiable), **constants)
        if result is None:
            raise self.found("none", "forward returns None instead of (output, cache)", causes=cause("28a"))
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            came = f"{len(result)} values" if isinstance(result, (tuple, list)) else type(result).__name__
            raise self.found("arity", f"forward returns {came}, where two are expected: (output, cache)")
        y, cache = result
        if y is None:
            raise self.found("none", "the output of forward is None", array="y", causes=cause("28a"))
        if not isinstance(y, (np.ndarray, np.generic, float, complex)):
            raise self.found("type", f"the output of forward is a {type(y).__name__}, not an array", array="y")
        return y, cache

    def backward(self, dy: np.ndarray | float, cache: Any) -> tuple[np.ndarray, ...]:
        """Call backward and return its gradients, one for each array, whatever container they came in.

        Parameters
        ----------
        dy : upstream gradient, in the shape of the output
        cache : of the forward pass

        Returns
        -------
        a gradient for each of ``pair.differentiable``

        Raises
        ------
        Finding
            backward raises, or does not return as many gradients.
        """
        names = self.pair.gradient_names()
        result = self.call("backward", self.pair.backward, dy, cache)
        if result is None:
            raise self.found("none", f"backward returns None instead of {', '.join(names)}", causes=cause("28a"))
        if isinstance(result, Mapping):
            for name in names:
                if name not in result and name[1:] not in result:
                    raise self.found(
                        "none", f"there is no gradient of {name[1:]} among those that come back", array=name
                    )
            result = tuple(result.get(name, result.get(name[1:])) for name in names)
        if not isinstance(result, (tuple, list)):
            result = (result,)
        if len(result) != len(names):
            expected = f"{len(names)} ({', '.join(names)})"
            raise self.found("arity", f"backward returns {len(result)} gradients, where {expected} are expected")
        for name, g in zip(names, result):
            if g is None:
                raise self.found("none", f"{name} is None", array=name, causes=cause("28a"))
            if not isinstance(g, (np.ndarray, np.generic, float)):
                raise self.found("type", f"{name} is a {type(g).__name__}, not an array", array=name)
        return tuple(result)

    def call(self, what: str, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function under test; an exception becomes a finding.

        Parameters
        ----------
        what : a word for messages, "forward" or "backward"
        function : under test
        *args, **kwargs : what it is called with

        Returns
        -------
        what it returns

        Raises
        ------
        Finding
            It is no function, it raises, or it is not written yet.
        """
        if not callable(function):
            raise self.found("type", f"{what} is a {type(function).__name__}, not a function")
        try:
            return function(*args, **kwargs)
        except NotImplementedError as error:
            raise self.found("wait", str(error) or f"{what} is not written yet", status="wait") from None
        except (Exception, SystemExit) as error:
            message = f"{what} raised {type(error).__name__}: {error}"
            frame = traceback.extract_tb(error.__traceback__)[-1]
            if os.path.dirname(frame.filename) not in _CALLERS:
                message += f" (line {frame.lineno} of {os.path.basename(frame.filename)})"
            elif isinstance(error, TypeError) and what.startswith("forward"):  # the call itself did not fit
                arguments = [*self.pair.differentiable, *(f"{keyword}=..." for keyword in kwargs)]
                message += f"; it is called as forward({', '.join(arguments)})"
                if self.pair.name == "linear" and "_mask'" in str(error):
                    message += (
                        ". A layer without masks wants another name, and a line in the file: "
                        "PAIRS = [linear_pair(affine_forward, affine_backward, name='affine', masked=False)]"
                    )
            raise self.found(f"raised in {what}", message, status="error") from error

    def fresh(self, inputs: Inputs) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return copies of all arrays, so that nothing can be changed behind our back.

        Parameters
        ----------
        inputs : to be copied

        Returns
        -------
        arrays, constants
        """
        return {n: a.copy() for n, a in inputs.arrays.items()}, copied(inputs.constants)

    def found(self, kind: str, message: str, **more: Any) -> Finding:
        """Return a finding of the present stage.

        Parameters
        ----------
        kind : a short word, see ``Report``
        message : one sentence
        **more : further arguments of ``Finding``

        Returns
        -------
        the finding, to be raised
        """
        return Finding(self.stage, kind, message, **more)

    # ---- numbers ----------------------------------------------------------------------------------------------------

    @property
    def is_large(self) -> bool:
        """Whether there are too many entries to look at all of them."""
        return sum(a.size for a in self.inputs.arrays.values()) > self.max_entries

    def value(self, **changed: np.ndarray) -> np.ndarray:
        """Return the output that is differentiated: of forward, or of the law where forward cannot be trusted.

        Parameters
        ----------
        **changed : name of an array -> what stands in for it

        Returns
        -------
        an array, of no axes for a loss
        """
        if not self.pair.numeric_law or self.pair.law is None:
            return np.asarray(self.forward(**changed)[0])
        arrays, constants = self.fresh(self.inputs)
        arrays |= changed
        return np.asarray(self.pair.law(*(arrays[n] for n in self.pair.differentiable), **constants))

    def scalar_function(self, name: str) -> Any:
        """Return f(array) = sum(dy * y), as a function of one of the arrays.

        Parameters
        ----------
        name : of the array

        Returns
        -------
        function: array, real or complex -> one number
        """

        def f(array: np.ndarray) -> complex:
            return np.sum(self.dy * self.value(**{name: array.copy()}))

        return f

    def numeric(self, name: str) -> NumericGradient:
        """Return the numeric gradient of sum(dy * y) with respect to one array, over all its entries.

        Parameters
        ----------
        name : of the array

        Returns
        -------
        the gradient; the first call works it out, later ones return the same
        """
        if name not in self.numerics:
            result = numeric_gradient(
                self.scalar_function(name), self.inputs.arrays[name], rng=self.rng, method=self.method
            )
            if result.note and result.note not in self.notes:
                self.notes.append(result.note)
            self.numerics[name] = result
        return self.numerics[name]

    def compared(self, name: str, gradient: np.ndarray) -> Comparison:
        """Compare one gradient with the numeric one, from both sides where there is a kink.

        Parameters
        ----------
        name : of the array
        gradient : what backward gave for it

        Returns
        -------
        the comparison
        """
        numeric = self.numeric(name)
        floor = 1e-8 * max(largest(g) for g in self.gradients)
        x = self.inputs.arrays[name]
        comparison = compare_at_kinks(self.scalar_function(name), x, np.asarray(gradient), numeric, floor)
        self.used_method = (numeric.method, numeric.step)
        for k in comparison.kinks:
            self.kinks.append((tuple(int(i) for i in np.unravel_index(k, x.shape)), float(x.reshape(-1)[k])))
        return comparison

    def note_error(self, comparison: Comparison) -> None:
        """Remember the largest error of a comparison that passed.

        Parameters
        ----------
        comparison : one that passed
        """
        self.worst_error = max(self.worst_error, comparison.relative_error)

    def candidates(self, array: str) -> list[Candidate]:
        """Return what known bugs would give for one array.

        Parameters
        ----------
        array : "dx", "dW", ..., or "y"

        Returns
        -------
        candidates, none for a pair without known bugs
        """
        if self.pair.candidates is None:
            return []
        scene = Scene({**self.inputs.arrays, **self.inputs.constants}, self.dy)
        with np.errstate(all="ignore"):
            return [c for c in self.pair.candidates(scene) if c.array == array]

    def factors(self) -> dict[str, float]:
        """Return the factors that may explain a ratio."""
        return factors(self.sizes, self.keep_prob)

    def diagnosed(self, name: str, gradient: np.ndarray, comparison: Comparison | None = None) -> Diagnosis:
        """Say what may be wrong with one gradient.

        Parameters
        ----------
        name : of the array
        gradient : what backward gave for it
        comparison : with the numeric one, if it is made already

        Returns
        -------
        the diagnosis
        """
        candidates = self.candidates("d" + name)
        for other in () if self.is_large else self.pair.differentiable:
            if other != name:
                candidates.append(Candidate("d" + name, "28b", self.numeric(other).value))
        if np.ndim(self.dy) == 0 and self.dy and not self.is_large:
            candidates.append(Candidate("d" + name, "25", self.numeric(name).value / self.dy))
        return diagnose(
            np.asarray(gradient),
            self.numeric(name).value if comparison is None else comparison.numeric,
            candidates=candidates,
            factors=self.factors(),
            wrong=None if comparison is None else comparison.wrong,
        )

    def compare_output(self, y: Any, expected: Any) -> Comparison:
        """Compare an output with the law of the layer.

        Parameters
        ----------
        y : what forward gave
        expected : what the law gives

        Returns
        -------
        the comparison, with the tolerance 1e-9 of the largest entry
        """
        return compare(np.asarray(y), np.asarray(expected), rtol=1e-9, atol=1e-12)


def copied(value: Any) -> Any:
    """Return a copy of nested lists, tuples and dicts in which every array is copied.

    Parameters
    ----------
    value : an array, a container of them, or anything else, which is passed on

    Returns
    -------
    of the same form

    Examples
    --------
    >>> one = {"mask": np.ones(2), "rest": [None, 0.8]}
    >>> copied(one)["mask"] is one["mask"]
    False
    """
    return mapped(value, np.copy)


def as_dtype(value: Any, dtype: type) -> Any:
    """Return nested containers in which every floating array has another dtype; labels stay integers.

    Parameters
    ----------
    value : an array, a container of them, or anything else, which is passed on
    dtype : of floating arrays

    Returns
    -------
    of the same form; all arrays are copies

    Examples
    --------
    >>> [a.dtype.name for a in as_dtype([np.ones(2), np.array([0, 1])], np.float32)]
    ['float32', 'int64']
    """
    return mapped(value, lambda a: a.astype(dtype) if a.dtype.kind == "f" else a.copy())


def mapped(value: Any, function: Any) -> Any:
    """Return nested lists, tuples and dicts with a function applied to every array.

    Parameters
    ----------
    value : an array, a container of them, or anything else, which is passed on
    function : array -> what stands in its place

    Returns
    -------
    of the same form

    Examples
    --------
    >>> mapped({"a": np.ones(2), "b": (None, 0.8)}, np.shape)
    {'a': (2,), 'b': (None, 0.8)}
    """
    if isinstance(value, np.ndarray):
        return function(value)
    if isinstance(value, dict):
        return {k: mapped(v, function) for k, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(mapped(v, function) for v in value)
    return value


def arrays_in(value: Any, depth: int = 4, seen: set[int] | None = None) -> Iterator[np.ndarray]:
    """Yield the arrays that a cache holds: in containers, attributes and closures, but not in ``Held`` state.

    Parameters
    ----------
    value : a cache of any form
    depth : how many containers deep to look
    seen : identities of what was looked at already

    Yields
    ------
    array : not a copy

    Examples
    --------
    >>> [a.shape for a in arrays_in({"x": np.ones(2), "more": [np.ones((2, 3)), "word"]})]
    [(2,), (2, 3)]
    """
    seen = set() if seen is None else seen
    if depth < 0 or id(value) in seen or isinstance(value, (Held, types.ModuleType, type, str, bytes)):
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        yield value
        return
    parts: list[Any] = []
    if isinstance(value, Mapping):
        parts = list(value.values())
    elif isinstance(value, (list, tuple)):
        parts = list(value)
    elif isinstance(value, types.FunctionType):
        parts = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
    elif hasattr(value, "__dict__"):
        parts = list(vars(value).values())
    for part in parts:
        yield from arrays_in(part, depth - 1, seen)


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True


def equal(a: Any, b: Any) -> bool:
    """Say whether two arrays are the same, bit by bit but for the sign of 0; NaN equals NaN.

    Parameters
    ----------
    a, b : arrays or numbers

    Returns
    -------
    whether shapes and values are the same

    Examples
    --------
    >>> equal(np.array([0.0, np.nan]), np.array([-0.0, np.nan])), equal(np.ones(2), np.ones((1, 2)))
    (True, False)
    """
    a, b = np.asarray(a), np.asarray(b)
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc" and b.dtype.kind in "fc")


def largest(x: Any) -> float:
    """Return max |x|, ignoring what is not finite.

    Parameters
    ----------
    x : an array or a number

    Returns
    -------
    a number >= 0; 0 if nothing is finite

    Examples
    --------
    >>> largest(np.array([1.0, -3.0, np.inf]))
    3.0
    """
    x = np.abs(np.asarray(x))
    return float(x[np.isfinite(x)].max(initial=0.0))
