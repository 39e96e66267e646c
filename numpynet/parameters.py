"""All parameters of a network in one vector, with a name for every part.

theta is one contiguous array; ``theta["W1"]`` and ``theta["b1"]`` are views into it, so writing to a view writes to
theta. Gradients, masks, optimizer state and the initial weights have the same form, and arithmetic acts on the whole
vector. Hence the lines of the papers can be written as they stand there::

    theta = mask * theta_0                     # rewind a lottery ticket
    theta -= lr * gradients                    # a step of SGD

Axes before the last one belong to replicates: ``Parameters`` of R networks hold an (R, P) array, and ``theta["W1"]`` is
(R, d_in, d_out).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np


class Layout:
    """Where each named array stands in the vector; shared by all vectors of one network.

    Parameters
    ----------
    shapes : name -> shape, in the order of the vector

    Attributes
    ----------
    shapes : dict of name -> shape
    size : P, the length of the vector

    Examples
    --------
    >>> layout = Layout.of_sizes((784, 300, 100, 10))
    >>> layout.size, layout.n_weights, list(layout.shapes)
    (266610, 266200, ['W1', 'b1', 'W2', 'b2', 'W3', 'b3'])
    """

    def __init__(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.shapes = {name: tuple(int(n) for n in shape) for name, shape in shapes.items()}
        self.slices: dict[str, slice] = {}
        start = 0
        for name, shape in self.shapes.items():
            self.slices[name] = slice(start, start + math.prod(shape))
            start += math.prod(shape)
        self.size = start

    @classmethod
    def of_sizes(cls, sizes: Iterable[int]) -> Layout:
        """Return the layout W1, b1, W2, b2, ... of a network with these layer sizes.

        Parameters
        ----------
        sizes : d_0, d_1, ..., d_L

        Returns
        -------
        Layout

        Examples
        --------
        >>> Layout.of_sizes((2, 3)).shapes
        {'W1': (2, 3), 'b1': (3,)}
        """
        sizes = tuple(sizes)
        shapes: dict[str, tuple[int, ...]] = {}
        for layer, (d_in, d_out) in enumerate(zip(sizes, sizes[1:]), start=1):
            shapes[f"W{layer}"] = (d_in, d_out)
            shapes[f"b{layer}"] = (d_out,)
        return cls(shapes)

    @property
    def weight_names(self) -> tuple[str, ...]:
        """The names of the weight matrices; the other arrays are biases, which are never pruned and never decay."""
        return tuple(name for name, shape in self.shapes.items() if len(shape) == 2)

    @property
    def bias_names(self) -> tuple[str, ...]:
        """The names of all other arrays."""
        return tuple(name for name, shape in self.shapes.items() if len(shape) != 2)

    @property
    def n_weights(self) -> int:
        """How many entries belong to weight matrices."""
        return sum(math.prod(self.shapes[name]) for name in self.weight_names)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Layout) and list(self.shapes.items()) == list(other.shapes.items()))

    def __hash__(self) -> int:
        return hash(tuple(self.shapes.items()))

    def __repr__(self) -> str:
        return f"Layout({self.shapes})"


class Parameters(np.lib.mixins.NDArrayOperatorsMixin):
    """One contiguous vector with named views.

    Parameters
    ----------
    vector : (..., P) floating array; it is used as it is, not copied
    layout : where the names stand

    Raises
    ------
    ValueError
        The last axis of the vector does not have the layout's length.

    Examples
    --------
    >>> theta = Parameters.zeros(Layout.of_sizes((2, 3)))
    >>> theta["W1"][0, 0] = 5.0                       # a view: theta changes
    >>> theta.vector
    array([5., 0., 0., 0., 0., 0., 0., 0., 0.], dtype=float32)
    >>> (2 * theta)["W1"][0]
    array([10.,  0.,  0.], dtype=float32)
    """

    __slots__ = ("_views", "layout", "vector")

    def __init__(self, vector: np.ndarray, layout: Layout) -> None:
        if not isinstance(vector, np.ndarray) or vector.ndim < 1 or vector.shape[-1] != layout.size:
            came = f"shape {vector.shape}" if isinstance(vector, np.ndarray) else type(vector).__name__
            raise ValueError(f"vector must be an array (..., {layout.size}) for {layout}, got {came}")
        if vector.dtype.kind not in "fcb":  # booleans are what comparisons give
            raise TypeError(
                f"vector has dtype {vector.dtype}, but parameters are floating point numbers: use float32 or float64"
            )
        self.vector = vector
        self.layout = layout
        self._views: dict[str, np.ndarray] = {}

    @classmethod
    def zeros(cls, layout: Layout, *, replicates: tuple[int, ...] = (), dtype: Any = np.float32) -> Parameters:
        """Return Parameters full of 0.

        Parameters
        ----------
        layout : names and shapes
        replicates : leading axes of a stack, () for one net
        dtype : of the vector

        Returns
        -------
        Parameters

        Examples
        --------
        >>> Parameters.zeros(Layout.of_sizes((2, 3)), replicates=(4,))["W1"].shape
        (4, 2, 3)
        """
        return cls(np.zeros((*replicates, layout.size), dtype), layout)

    @classmethod
    def ones(cls, layout: Layout, *, replicates: tuple[int, ...] = (), dtype: Any = np.float32) -> Parameters:
        """Return Parameters full of 1: the mask of a dense network.

        Parameters
        ----------
        layout : names and shapes
        replicates : leading axes of a stack, () for one net
        dtype : of the vector

        Returns
        -------
        Parameters

        Examples
        --------
        >>> Parameters.ones(Layout.of_sizes((1, 2))).vector
        array([1., 1., 1., 1.], dtype=float32)
        """
        return cls(np.ones((*replicates, layout.size), dtype), layout)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray], layout: Layout) -> Parameters:
        """Return new Parameters that hold copies of named arrays, all of them, in one dtype.

        Parameters
        ----------
        arrays : name -> array, one for each name of the layout
        layout : names and shapes

        Returns
        -------
        Parameters

        Raises
        ------
        ValueError
            A name is missing or unknown, or a shape does not fit.
        TypeError
            The arrays differ in dtype.

        Examples
        --------
        >>> Parameters.from_arrays({"W1": np.ones((1, 2)), "b1": np.zeros(2)}, Layout.of_sizes((1, 2))).vector
        array([1., 1., 0., 0.])
        """
        if set(arrays) != set(layout.shapes):
            raise ValueError(f"arrays are named {sorted(arrays)}, but the network has {sorted(layout.shapes)}")
        first = next(iter(layout.shapes))
        lead = arrays[first].ndim - len(layout.shapes[first])
        if lead < 0:
            raise ValueError(f"{first} has shape {arrays[first].shape}, expected (..., *{layout.shapes[first]})")
        parameters = cls.zeros(layout, replicates=arrays[first].shape[:lead], dtype=arrays[first].dtype)
        for name, array in arrays.items():
            if array.dtype != parameters.dtype:
                raise TypeError(
                    f"{name} has dtype {array.dtype}, but {first} has {parameters.dtype}: one dtype is needed"
                )
            parameters[name] = array
        return parameters

    # ---- names ------------------------------------------------------------------------------------------------------

    def __getitem__(self, name: str) -> np.ndarray:
        view = self._views.get(name)
        if view is None:
            self._check_name(name)
            part = self.vector[..., self.layout.slices[name]]
            view = self._views[name] = part.reshape(part.shape[:-1] + self.layout.shapes[name])
        return view

    def __setitem__(self, name: str, value: np.ndarray) -> None:
        view = self[name]
        if np.shape(value) != view.shape:
            raise ValueError(f"{name} must have shape {view.shape}, got {np.shape(value)}")
        if np.iscomplexobj(value) and not np.iscomplexobj(view):
            raise TypeError(f"{name} is real ({view.dtype}), got {value.dtype}: its imaginary part would be lost")
        view[...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.shapes)

    def __contains__(self, name: object) -> bool:
        return name in self.layout.shapes

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        """Iterate over (name, view), in the order of the vector."""
        return ((name, self[name]) for name in self)

    def _check_name(self, name: str) -> None:
        if name not in self.layout.shapes:
            raise KeyError(f"there is no parameter {name!r}; this network has {', '.join(self.layout.shapes)}")

    # ---- the vector -------------------------------------------------------------------------------------------------

    @property
    def dtype(self) -> np.dtype:
        """The dtype of all entries."""
        return self.vector.dtype

    @property
    def replicates(self) -> tuple[int, ...]:
        """The leading axes: () for one network, (R,) for R of them."""
        return self.vector.shape[:-1]

    def copy(self) -> Parameters:
        """Return a copy that shares no memory."""
        return Parameters(self.vector.copy(), self.layout)

    def astype(self, dtype: Any) -> Parameters:
        """Return a converted copy.

        Parameters
        ----------
        dtype : floating or complex

        Returns
        -------
        Parameters

        """
        return Parameters(self.vector.astype(dtype), self.layout)

    def replicate(self, index: int | tuple[int, ...]) -> Parameters:
        """Return one network of the stack; a view.

        Parameters
        ----------
        index : of the leading axes

        Returns
        -------
        Parameters

        Examples
        --------
        >>> Parameters.zeros(Layout.of_sizes((2, 3)), replicates=(4,)).replicate(2)["W1"].shape
        (2, 3)
        """
        return Parameters(self.vector[index], self.layout)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """Arithmetic acts on the vectors; what keeps the form of the vector comes back as Parameters."""
        for other in (*inputs, *kwargs.get("out", ())):
            if isinstance(other, Parameters) and other.layout != self.layout:
                raise ValueError(f"these belong to different networks: {self.layout} and {other.layout}")
        arrays = [i.vector if isinstance(i, Parameters) else i for i in inputs]
        out = kwargs.get("out", ())
        if out:
            kwargs["out"] = tuple(o.vector if isinstance(o, Parameters) else o for o in out)
        result = getattr(ufunc, method)(*arrays, **kwargs)
        if out:
            return out[0]
        if isinstance(result, np.ndarray) and result.ndim and result.shape[-1] == self.layout.size:
            return Parameters(result, self.layout)
        return result

    def __bool__(self) -> bool:
        raise ValueError(
            "the truth of a whole vector is not defined: compare with np.array_equal(a.vector, b.vector), "
            "or use (a == b).vector.all()"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Copying and pickling rebuild the views; copied one by one they would be arrays of their own.
        return Parameters, (self.vector, self.layout)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.vector, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in self.items())
        return f"Parameters({self.dtype}, {shapes})"
