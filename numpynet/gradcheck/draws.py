"""Draws for gradient checks: sizes, keep probabilities, arrays and masks that leave no bug a place to hide.

A check is as sharp as its inputs. With N = 2 a missing 1/N looks like "counted twice"; with keep_prob 0.5 keep and drop
are the same number; with an all-ones mask a forgotten mask is invisible; in a square layer a forgotten transpose is
silent. So sizes differ pairwise, masks hold a 0 and a 1, weights under a mask are not zero, and a draw in which two
explanations of a wrong factor would coincide is thrown away.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

KEEP_PROBS = (0.3, 0.6, 0.7, 0.8, 0.9)  # never 0.5: there keep and drop are one number


class Sizes(NamedTuple):
    """The sizes of one check; ``--shape N,d_in,d_out,K`` on the command line."""

    N: int  # examples
    d_in: int
    d_out: int
    K: int  # classes


class Inputs(NamedTuple):
    """What a forward pass is called with."""

    arrays: dict[str, np.ndarray]  # differentiable, float64, in the order of the forward's arguments
    constants: dict[str, Any]  # masks, keep_prob, labels ...: handed over by keyword


Draw = Callable[[np.random.Generator, Sizes, float], Inputs]


def factors(sizes: Sizes, keep_prob: float) -> dict[str, float]:
    """Return the factors that a wrong gradient can be explained with, by name.

    Parameters
    ----------
    sizes : of the check
    keep_prob : q in (0, 1]; at 1 the factors with 1 - q are left out

    Returns
    -------
    name -> value

    Examples
    --------
    >>> factors(Sizes(5, 7, 11, 3), 0.7)["q/(1-q)"]
    2.3333333
    """
    N, K, q = float(sizes.N), float(sizes.K), keep_prob
    values = {"N": N, "1/N": 1 / N, "K": K, "1/K": 1 / K, "NK": N * K, "1/(NK)": 1 / (N * K), "2": 2.0, "1/2": 0.5}
    values |= {"-1": -1.0, "q": q, "1/q": 1 / q, "q^2": q * q, "1/q^2": 1 / q**2}
    if q < 1:
        values |= {"1-q": 1 - q, "1/(1-q)": 1 / (1 - q), "q/(1-q)": q / (1 - q), "(1-q)/q": (1 - q) / q}
        values["q(1-q)"] = q * (1 - q)
    return values


def coincidences(sizes: Sizes, keep_prob: float) -> list[tuple[str, str]]:
    """Return the pairs of factors that no single draw of these sizes could tell apart (closer than 1e-3, relatively).

    Parameters
    ----------
    sizes, keep_prob : as for ``factors``

    Returns
    -------
    pairs of names

    Examples
    --------
    >>> coincidences(Sizes(5, 7, 11, 3), 0.7)
    []
    >>> coincidences(Sizes(5, 7, 11, 3), 0.8)
    [('N', '1/(1-q)'), ('1/N', '1-q')]
    """
    items = list(factors(sizes, keep_prob).items())
    return [
        (name, other)
        for i, (name, value) in enumerate(items)
        for other, other_value in items[i + 1 :]
        if abs(value - other_value) <= 1e-3 * max(abs(value), abs(other_value))
    ]


@functools.lru_cache(maxsize=1024)  # draw_sizes has 300 to choose from, and every check asks
def clean_keep_probs(sizes: Sizes) -> tuple[float, ...]:
    """Return the ``KEEP_PROBS`` whose factors do not coincide for these sizes.

    Parameters
    ----------
    sizes : of the check

    Returns
    -------
    keep probabilities, none where all have a coincidence

    Examples
    --------
    >>> clean_keep_probs(Sizes(5, 7, 11, 3))
    (0.3, 0.6, 0.7, 0.9)
    """
    return tuple(q for q in KEEP_PROBS if not coincidences(sizes, q))


def draw_sizes(rng: np.random.Generator) -> Sizes:
    """Return sizes that differ pairwise and leave at least two keep probabilities without a coincidence.

    Parameters
    ----------
    rng : numpy.random.Generator

    Returns
    -------
    sizes: N in 4 ... 8, d_in and d_out in 6 ... 11, K in 3 ... 5

    Examples
    --------
    >>> len(set(draw_sizes(np.random.default_rng(0))))
    4
    """
    while True:
        K, N, d_in, d_out = (int(rng.integers(low, high)) for low, high in ((3, 6), (4, 9), (6, 12), (6, 12)))
        sizes = Sizes(N, d_in, d_out, K)
        if len(set(sizes)) == 4 and len(clean_keep_probs(sizes)) >= 2:
            return sizes


def draw_keep_prob(rng: np.random.Generator, sizes: Sizes) -> float:
    """Return a keep probability whose factors do not coincide for these sizes; any, if there is none such.

    Parameters
    ----------
    rng : numpy.random.Generator
    sizes : of the check

    Returns
    -------
    one of ``KEEP_PROBS``

    Examples
    --------
    >>> draw_keep_prob(np.random.default_rng(0), Sizes(5, 7, 11, 3)) in (0.3, 0.6, 0.7, 0.9)
    True
    """
    return float(rng.choice(clean_keep_probs(sizes) or KEEP_PROBS))


def streams(seed: int) -> tuple[np.random.Generator, ...]:
    """Return four generators of one seed: for sizes, keep_prob, arrays, and directions.

    They are separate, so that giving the sizes of a draw by hand changes nothing else: the line that reproduces a
    finding names both.

    Parameters
    ----------
    seed : an integer >= 0

    Returns
    -------
    four generators

    Examples
    --------
    >>> len(streams(0))
    4
    """
    return tuple(np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(4))


def draw_mask(rng: np.random.Generator, shape: tuple[int, ...], density: float) -> np.ndarray:
    """Return a binary mask, float64, with a 0 and a 1 in it; its rows are not all alike.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : of the mask, with two entries at least
    density : probability of a 1

    Returns
    -------
    mask, of this shape

    Raises
    ------
    ValueError
        The shape has fewer than two entries.

    Examples
    --------
    >>> mask = draw_mask(np.random.default_rng(0), (3, 2), 0.9)
    >>> float(mask.min()), float(mask.max())
    (0.0, 1.0)
    """
    if np.prod(shape) < 2:
        raise ValueError(f"a mask of shape {shape} cannot hold both a 0 and a 1; take larger sizes")
    for _ in range(1000):
        mask = (rng.random(shape) < density).astype(np.float64)
        rows = mask.reshape(-1, shape[-1])
        if mask.min() == 0 and mask.max() == 1 and (len(rows) < 2 or (rows != rows[0]).any()):
            return mask
    mask.reshape(-1)[:2] = 0.0, 1.0  # tiny shapes with an extreme density
    return mask


def draw_signed(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return normal numbers of both signs, none close to 0: a gate has two sides, and no kink is nearby.

    Parameters
    ----------
    rng : numpy.random.Generator
    shape : of the array

    Returns
    -------
    float64, of this shape, |x| >= 0.05

    Examples
    --------
    >>> x = draw_signed(np.random.default_rng(0), (2, 3))
    >>> bool((x > 0).any() and (x < 0).any())
    True
    """
    x = rng.standard_normal(shape)
    x += np.copysign(0.05, x)
    if x.size > 1 and ((x > 0).all() or (x < 0).all()):
        x.reshape(-1)[0] *= -1
    return x


def draw_labels(rng: np.random.Generator, n_examples: int, n_classes: int) -> np.ndarray:
    """Return integer labels of at least two classes.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_examples, n_classes : N and K

    Returns
    -------
    (N,) integers in 0 ... K - 1

    Examples
    --------
    >>> len(set(draw_labels(np.random.default_rng(0), 5, 3).tolist())) > 1
    True
    """
    labels = rng.integers(n_classes, size=n_examples)
    if n_examples > 1 and (labels == labels[0]).all():
        labels[-1] = (labels[0] + 1) % n_classes
    return labels


def draw_normal(**shapes: tuple[str | int, ...]) -> Draw:
    """Return a draw function for a layer of your own: normal arrays, with shapes given by the names of ``Sizes``.

    Parameters
    ----------
    shapes : argument name -> shape, as in ``draw_normal(x=("N", "d_in"), gain=("d_in",))``

    Returns
    -------
    function: rng, sizes, keep_prob -> ``Inputs``

    Examples
    --------
    >>> draw = draw_normal(x=("N", "d_in"), gain=("d_in",))
    >>> {name: a.shape for name, a in draw(np.random.default_rng(0), Sizes(5, 7, 11, 3), 0.7).arrays.items()}
    {'x': (5, 7), 'gain': (7,)}
    """

    def draw(rng: np.random.Generator, sizes: Sizes, keep_prob: float) -> Inputs:
        named = sizes._asdict()
        return Inputs(
            {
                name: draw_signed(rng, tuple(named[n] if isinstance(n, str) else n for n in shape))
                for name, shape in shapes.items()
            },
            {},
        )

    return draw
