"""The dropout ensemble: a net with n units that can be dropped is 2^n nets that share their weights.

Training visits these subnetworks at random; which of them answers in the end? For a small net all of them can be run,
each with its probability, and nothing has to be believed:

    logits, probability = every_subnetwork(net, theta, x)          # (2^n, N, K), (2^n,)
    predict(logits, probability).probabilities                     # what the ensemble says, exactly

For a larger net there are two ways to answer without the whole list. *Weight scaling* is one pass without masks: the
normalized geometric mean of the subnetworks where there is theory for it (Equations (D10), (D11)), an approximation
elsewhere. *Monte Carlo* runs T of them and converges to the arithmetic mean; how far the T answers differ says how
uncertain the net is. ``predict`` and the means are in ``numpynet.equations.ensemble``.

Masks are stacked along a first axis of their own, so a whole ensemble is a few calls of ``MLP.forward``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from numpynet.network import MLP
from numpynet.parameters import Parameters

MAX_UNITS = 24  # 2^24 are 17 million subnetworks: minutes, where 2^16 are a second
MAX_BYTES = 2**31  # of a result that is handed out in one piece
BLOCK_BYTES = 2**24  # of activations in one forward pass; much larger blocks leave the processor's cache and are slower


# ---- all subnetworks -------------------------------------------------------------------------------------------------


class Subnetworks(NamedTuple):
    """A stack of S subnetworks: a unit mask for each layer, and how probable each is."""

    unit_masks: list[np.ndarray | None]  # (S, ..., 1, d) for the input of each layer, None where nothing is dropped
    probability: np.ndarray  # (S,) float64


def droppable_units(net: MLP) -> int:
    """Return n, how many units dropout can remove: those of the layer inputs with keep_prob below 1.

    Parameters
    ----------
    net : an ``MLP``

    Returns
    -------
    n : an integer

    Raises
    ------
    ValueError
        The net has layer rules with noise, which are not in its keep_prob.

    Examples
    --------
    >>> droppable_units(MLP((784, 500, 10), keep_prob=0.8))
    500
    """
    return sum(d for d, q in zip(net.sizes, _keep_probs(net)) if q is not None and q < 1)


def list_subnetworks(net: MLP, *, axes: int = 0, dtype: np.typing.DTypeLike = np.float64) -> Subnetworks:
    """List all 2^n masks of a net in one stack, with P(m) = product over units of q^d (1 - q)^(1 - d).   Equation (D1)

    Subnetwork s drops unit k, counted through the layers, where bit k of s is 0: the first drops all, the last none.

    Parameters
    ----------
    net : with few enough units that can be dropped
    axes : room for that many leading axes of x or theta: a mask is (2^n, 1, ..., 1, d)
    dtype : of the masks, that of the activations

    Returns
    -------
    Subnetworks : masks and their probabilities

    Raises
    ------
    ValueError
        The masks would take more than 2 GiB; the message says how many they are and how much they would take.

    Examples
    --------
    >>> masks, probability = list_subnetworks(MLP((1, 2, 1), keep_prob=0.8))
    >>> masks[1][:, 0].tolist(), probability.round(2).tolist()
    ([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [0.04, 0.16, 0.16, 0.64])
    """
    n = droppable_units(net)
    _check_enumeration(n, "masks", n * np.dtype(dtype).itemsize)
    return _subnetworks(net, 0, 2**n, axes, dtype)


def every_subnetwork(
    net: MLP, theta: Parameters, x: np.ndarray, *, weight_mask: Parameters | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Run all 2^n subnetworks of a small net on x, block by block: their logits and probabilities.   Equation (D1)

    All examples meet the mask of their subnetwork. A mean over subnetworks of something about one example is the same
    as for masks drawn anew for each example; the joint law of two examples is not.

    Parameters
    ----------
    net : with at most 24 units that can be dropped
    theta : its parameters
    x : (..., N, d_0)
    weight_mask : binary, of the form of theta, or None

    Returns
    -------
    logits : (2^n, ..., N, d_L), in the order of ``list_subnetworks``
    probability : (2^n,) float64

    Raises
    ------
    ValueError
        Too many units, or logits of more than 2 GiB; the message says how many masks there are and what they would take.

    Examples
    --------
    >>> net = MLP((1, 2, 1), keep_prob=0.8)
    >>> theta = Parameters(np.array([1.0, 2.0, 0.0, 0.0, 1.0, 1.0, 0.0]), net.layout)
    >>> logits, probability = every_subnetwork(net, theta, np.array([[4.0]]))
    >>> logits[:, 0, 0].tolist(), float(probability @ logits[:, 0, 0])              # units 4 / 0.8 and 8 / 0.8
    ([0.0, 5.0, 10.0, 15.0], 12.0)
    """
    n, lead = droppable_units(net), _lead(theta, x)
    shape = (*lead, x.shape[-2], net.sizes[-1])
    _check_enumeration(n, "logits", math.prod(shape) * theta.dtype.itemsize, max_units=MAX_UNITS)
    logits = np.empty((2**n, *shape), np.result_type(theta.dtype, x.dtype))
    probability = np.empty(2**n)
    for start, stop in _blocks(net, theta, x, 2**n):
        masks, probability[start:stop] = _subnetworks(net, start, stop, len(lead), theta.vector.real.dtype)
        logits[start:stop], _ = net.forward(
            theta, x, weight_mask=weight_mask, unit_masks=masks, trusted=start > 0
        )  # the first block has checked x and the weight mask
    return logits, probability


# ---- one pass: weight scaling ----------------------------------------------------------------------------------------


def evaluate_inverted(
    net: MLP, theta: Parameters, x: np.ndarray, *, weight_mask: Parameters | None = None
) -> np.ndarray:
    """Return the logits of weight scaling for a net trained with D * h / q: the net as it is.   Equation (D2)

    Parameters
    ----------
    net : an ``MLP``
    theta : its parameters
    x : (..., N, d_0)
    weight_mask : None for a dense net

    Returns
    -------
    logits : (..., N, d_L)

    Examples
    --------
    >>> net = MLP((1, 2, 1), keep_prob=0.8)
    >>> theta = Parameters(np.array([1.0, 2.0, 0.0, 0.0, 1.0, 1.0, 0.0]), net.layout)
    >>> evaluate_inverted(net, theta, np.array([[4.0]]))
    array([[12.]])
    """
    return net.forward(theta, x, weight_mask=weight_mask)[0]


def evaluate_standard(
    net: MLP, theta: Parameters, x: np.ndarray, *, weight_mask: Parameters | None = None
) -> np.ndarray:
    """Return the logits of weight scaling for a net trained with D * h, unscaled: the net with q W for W.   Equation (D2)

    Parameters
    ----------
    net : an ``MLP``
    theta : its parameters
    x : (..., N, d_0)
    weight_mask : None for a dense net

    Returns
    -------
    logits : (..., N, d_L)

    Examples
    --------
    >>> net = MLP((1, 2, 1), keep_prob=0.8)
    >>> theta = Parameters(np.array([1.0, 2.0, 0.0, 0.0, 1.0, 1.0, 0.0]), net.layout)
    >>> evaluate_standard(net, theta, np.array([[4.0]]))
    array([[9.6]])
    """
    return net.forward(standard_to_inverted(net, theta), x, weight_mask=weight_mask)[0]


def standard_to_inverted(net: MLP, theta: Parameters) -> Parameters:
    """Return V_l = q_l W_l, the inverted net that computes what a standard net computes; biases stay.   Equation (D4)

    Parameters
    ----------
    net : an ``MLP``, for its keep probabilities
    theta : of the standard net

    Returns
    -------
    Parameters : of the inverted net

    Examples
    --------
    >>> net = MLP((1, 1, 1), keep_prob=0.8)
    >>> standard_to_inverted(net, Parameters(np.array([10.0, 20.0, 30.0, 40.0]), net.layout)).vector
    array([10., 20., 24., 40.])
    """
    converted = theta.copy()
    for name, q in zip(net.layout.weight_names, _keep_probs(net)):
        converted[name] *= 1.0 if q is None else q
    return converted


def inverted_to_standard(net: MLP, theta: Parameters) -> Parameters:
    """Return W_l = V_l / q_l, the way back from ``standard_to_inverted``.   Equation (D4)

    Parameters
    ----------
    net : an ``MLP``, for its keep probabilities
    theta : of the inverted net

    Returns
    -------
    Parameters : of the standard net

    Examples
    --------
    >>> net = MLP((1, 1, 1), keep_prob=0.8)
    >>> inverted_to_standard(net, Parameters(np.array([10.0, 20.0, 24.0, 40.0]), net.layout)).vector
    array([10., 20., 30., 40.])
    """
    converted = theta.copy()
    for name, q in zip(net.layout.weight_names, _keep_probs(net)):
        converted[name] /= 1.0 if q is None else q
    return converted


def without_scale(net: MLP) -> MLP:
    """Return the net whose training pass is that of standard dropout: it takes unit masks but divides by 1.   Equation (D2)

    Draw the masks from the net itself, whose keep probabilities say how often a unit stays.

    Parameters
    ----------
    net : an ``MLP``

    Returns
    -------
    An ``MLP`` of the same sizes.

    Examples
    --------
    >>> without_scale(MLP((4, 3, 2), keep_prob=0.8)).keep_probs
    (None, 1.0)
    """
    return replace(net, keep_prob=tuple(None if q is None else 1.0 for q in _keep_probs(net)), rules=None)


# ---- Monte Carlo -----------------------------------------------------------------------------------------------------


def monte_carlo(
    net: MLP,
    theta: Parameters,
    x: np.ndarray,
    rng: np.random.Generator,
    n_masks: int,
    *,
    shared: bool = False,
    weight_mask: Parameters | None = None,
) -> np.ndarray:
    """Run T subnetworks drawn at random: logits whose mean over T converges to the ensemble's.   Equation (D15)

    Mask after mask is drawn from the generator, so the first T of 2 T subnetworks are those of a call with T.

    Parameters
    ----------
    net : with dropout
    theta : its parameters
    x : (..., N, d_0)
    rng : numpy.random.Generator
    n_masks : T
    shared : True for one mask that all examples share in each of the T passes, so that each pass is one function of x;
        False for a mask for each example
    weight_mask : binary, of the form of theta, or None

    Returns
    -------
    logits : (T, ..., N, d_L)

    Raises
    ------
    ValueError
        The net has no dropout, n_masks is less than 1, or the logits would take more than 2 GiB.

    Examples
    --------
    >>> net = MLP((1, 2, 1), keep_prob=0.8)
    >>> theta = Parameters(np.array([1.0, 2.0, 0.0, 0.0, 1.0, 1.0, 0.0]), net.layout)
    >>> monte_carlo(net, theta, np.array([[4.0]]), np.random.default_rng(0), 4)[:, 0, 0]
    array([10., 15., 15., 15.])
    """
    if isinstance(n_masks, bool) or not isinstance(n_masks, (int, np.integer)):
        raise TypeError(f"n_masks must be an integer >= 1, got {type(n_masks).__name__}")
    if n_masks < 1:
        raise ValueError(f"n_masks is {n_masks}, but an integer >= 1 is needed")
    if not net.has_dropout:
        raise ValueError(f"net has no dropout (keep_prob {net.keep_probs}): all subnetworks would be the same")
    lead, dtype = _lead(theta, x), theta.vector.real.dtype
    shape = (*lead, x.shape[-2], net.sizes[-1])
    if (wanted := int(n_masks) * math.prod(shape) * theta.dtype.itemsize) > MAX_BYTES:
        raise ValueError(
            f"the logits of n_masks = {n_masks} passes of shape {shape} would take {_gib(wanted)}, and "
            f"{_gib(MAX_BYTES)} is the limit: take fewer examples at a time"
        )
    batch_shape = (1,) * (len(lead) + 1) if shared else shape[:-1]
    logits = np.empty((n_masks, *shape), np.result_type(theta.dtype, x.dtype))
    one = net.sample_unit_masks(np.random.default_rng(0), batch_shape, dtype=dtype)  # only to see how large it is
    noise_bytes = sum(noise.nbytes for noise in one if noise is not None)
    for start, stop in _blocks(net, theta, x, int(n_masks), noise_bytes=noise_bytes):
        drawn = [net.sample_unit_masks(rng, batch_shape, dtype=dtype) for _ in range(start, stop)]
        masks = [None if layer[0] is None else np.stack(layer) for layer in zip(*drawn)]
        logits[start:stop], _ = net.forward(theta, x, weight_mask=weight_mask, unit_masks=masks, trusted=start > 0)
    return logits


# ---- parts -----------------------------------------------------------------------------------------------------------


def _keep_probs(net: MLP) -> tuple[float | None, ...]:
    """Return the keep probability at the input of each layer, or raise if the noise of the net is not told by them."""
    noisy = [rule.name for rule in net.layer_rules if rule.sample is not None]
    if net.rules is not None and noisy:
        raise ValueError(
            f"net has rules with noise ({', '.join(noisy)}), but its subnetworks and its scale are known for unit dropout "
            "alone, given as keep_prob: MLP(sizes, keep_prob=...). monte_carlo draws from any rules"
        )
    return net.keep_probs


def _subnetworks(net: MLP, start: int, stop: int, axes: int, dtype: np.typing.DTypeLike) -> Subnetworks:
    """Return subnetworks start ... stop - 1: bit k of a number says whether unit k stays."""
    numbers = np.arange(start, stop)[:, None]
    masks: list[np.ndarray | None] = []
    probability, first = np.ones(stop - start), 0
    for d, q in zip(net.sizes, _keep_probs(net)):
        if q is None or q == 1:
            masks.append(None)
            continue
        kept = (numbers >> np.arange(first, first + d)) & 1  # (S, d)
        probability *= np.where(kept == 1, q, 1 - q).prod(axis=-1)
        masks.append(kept.astype(dtype).reshape(-1, *(1,) * axes, 1, d))
        first += d
    return Subnetworks(masks, probability)


def _lead(theta: Parameters, x: np.ndarray) -> tuple[int, ...]:
    """Return the leading axes that theta and x have together, before (N, d)."""
    if x.ndim < 2:
        raise ValueError(f"x has shape {x.shape}, but (..., N, d_0) is needed; a single example is x[None, :]")
    return np.broadcast_shapes(theta.replicates, x.shape[:-2])


def _blocks(net: MLP, theta: Parameters, x: np.ndarray, n: int, *, noise_bytes: int = 0) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) of blocks of 0 ... n - 1 whose arrays take about BLOCK_BYTES."""
    # Each layer keeps its input with and without mask, and its output before the activation and behind it. DropConnect
    # has a mask of the weights for each example, which outweighs them: drawn, stacked, and multiplied with W.
    activations = math.prod(_lead(theta, x)) * x.shape[-2] * 4 * sum(net.sizes) * theta.dtype.itemsize
    size = max(1, BLOCK_BYTES // (max(activations, 3 * noise_bytes) or 1))
    return ((start, min(start + size, n)) for start in range(0, n, size))


def _check_enumeration(n: int, what: str, bytes_per_mask: int, *, max_units: int | None = None) -> None:
    """Raise unless 2^n subnetworks are few enough; say how many they are and how much memory they would take."""
    wanted = 2**n * bytes_per_mask
    if wanted > MAX_BYTES or (max_units is not None and n > max_units):
        limit = _gib(MAX_BYTES) if max_units is None else f"{max_units} units and {_gib(MAX_BYTES)}"
        raise ValueError(
            f"net has {n} units that can be dropped, which makes 2^{n} = {_count(2**n)} masks; their {what} would take "
            f"{_gib(wanted)}, and the limit is {limit}. Use monte_carlo, a smaller net, fewer examples at a time, or "
            "keep_prob None for some layers."
        )


def _gib(n_bytes: int) -> str:
    """Return a number of bytes in words; it may be larger than any float."""
    return f"{_count(n_bytes >> 30)} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**30:.2g} GiB"


def _count(n: int) -> str:
    """Return a number as it is if short, else as a power of ten."""
    return str(n) if n < 10**6 else f"10^{math.log10(n):.1f}"
